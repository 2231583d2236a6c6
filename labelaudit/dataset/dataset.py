"""A dataset: samples with labels, stored in one folder and opened by name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError, LabelAuditError, NotFoundError
from ..core.plural import counted
from ..storage import paths, schema
from ..storage.schema import FIRST_LOOK, IMPORTED
from ..storage.snapshot import Stamp
from ..storage.tables import Store
from . import conversion, history_log, own_fields, recovery
from .class_names import ClassNames
from .columns import Frame
from .dataset_edits import DatasetEdits
from .fields import Fields
from .history_log import write_meta
from .ingest import SampleReader, check_class
from .reading import Reading
from .run_lifecycle import begin_run, find_run
from .runs import Run, unfinished_runs
from .sample import Batch
from .view import View

log = logging.getLogger(__name__)


class Dataset(DatasetEdits, Reading):
    """An image-classification dataset. Get one with `labelaudit.load_dataset`.

    `len(dataset)` counts its samples, `dataset[id]` is one of them, and `for sample in dataset`
    reads all by id. What chooses, sorts and reads samples works as on `dataset.view()`:
    `dataset.match_tag("mistake").sort_by("hardness")`, `dataset.values("width")`.
    """

    def __init__(self, name: str) -> None:
        self._store = Store(name, convert=lambda: conversion.complete(self._columns))
        self._columns = Frame(self._store)
        if not self._store.exists("meta"):
            recovery.clean_up_folders()  # an earlier version may have been killed replacing it
        if not self._store.exists("meta"):
            names = list_datasets()
            raise NotFoundError(
                f"there is no dataset {name!r}: the datasets are {', '.join(names)}."
                if names
                else f"there is no dataset {name!r}, nor any other: load one first."
            )
        _ = self._frame.meta  # raises DamagedError for a newer format

    @classmethod
    def of(cls, frame: Frame) -> Dataset:
        """Return the dataset of these columns, without reading them again."""
        dataset = cls.__new__(cls)
        dataset._store, dataset._columns = frame.store, frame
        return dataset

    @property
    def name(self) -> str:
        """Its name. `labelaudit.load_dataset` opens it by this name."""
        return self._store.name

    @property
    def uri(self) -> str:
        """Where its tables are: a folder, or a URI of object storage."""
        return self._store.uri

    @property
    def classes(self) -> list[str]:
        """Class names. Labels are stored as indices into this list, which `plan_classes(order=…)`
        does not change."""
        return list(self._columns.classes)

    @property
    def offered_classes(self) -> list[str]:
        """Class names that a sample can be given, in the order in which they are listed and
        exported: `classes` without those that were merged away and have no sample."""
        classes = ClassNames.read(self._frame)
        hidden = set(classes.hidden)
        if hidden:
            counts = self.view().count_values("ground_truth")
            hidden = {name for name in hidden if not counts[name]}
        return [name for i in classes.listed if (name := classes.names[i]) not in hidden]

    @property
    def created(self) -> str:
        """When it was created: ISO 8601, UTC, to the microsecond."""
        return self._frame.meta["created"]

    @property
    def info(self) -> dict:
        """Its source and a summary: counts, splits, tags, runs, what was skipped and how the source
        was understood, black and white of grey images with more than 8 bits, injected noise."""
        meta = self._frame.meta
        return {
            "name": self.name,
            "uri": self.uri,
            "source": meta["source"],
            "created": self.created,
            "classes": self.classes,
            "samples": len(self),
            "labelled": int((self._frame.label >= 0).sum()),
            "splits": self.view().count_values("split"),
            "tags": self.view().count_values("tags"),
            "runs": [run["name"] for run in self._frame.runs],
            "skipped": meta["skipped"],
            "grey": meta.get("grey", {}),
            "noise": history_log.noise_report(self._frame),
        }

    def __len__(self) -> int:
        return len(self._columns.ids)

    def __getitem__(self, sample_id):
        """Return the sample with this id, or for a slice the view of the samples at these places.

        Raises NotFoundError for an id that does not exist.
        """
        if isinstance(sample_id, slice):
            return self.view().slice(sample_id)
        if np.ndim(sample_id):
            raise BadInputError(
                f"dataset[{sample_id!r}]: give one id, or choose several with dataset.select(ids)."
            )
        columns = self._columns
        if columns.pending is None or not columns.pending.has(sample_id):
            columns.positions([sample_id])  # raises NotFoundError
        ids = np.array([sample_id], np.int64)
        return Batch(Fields(columns), ids).samples()[0]

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            raise BadInputError(
                f"dataset.{name} = … would be lost: a dataset keeps its samples, tags and fields "
                "only (see `add_field`)."
            )
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        try:
            counts = f"{counted(len(self), 'sample')}, {counted(len(self.classes), 'class')}"
        except LabelAuditError as error:
            counts = f"cannot be read: {error}"
        return f"Dataset({self.name!r}: {counts})"

    def view(self, run: str | None = None) -> View:
        """Return all samples by id, with predictions and scores of `run`.

        By default it is the latest run with predictions of at least half of the samples, or if
        there is none, the latest with predictions. A first look is only used without others.
        """
        view = View(self._frame)
        return view if run is None else view.use_run(run)

    # --- for other modules of the library ---

    def steady(self) -> AbstractContextManager[None]:
        """Return a block in which all reads of this thread are consistent."""
        self._columns.flush()
        return self._store.steady()

    def transaction(self) -> AbstractContextManager[None]:
        """Return a block whose changes of this dataset happen together or not at all.

        Other threads and processes see them when the outermost block ends. Raises BusyError if
        another process writes to the dataset for too long.
        """
        self._columns.flush()
        return self._store.transaction()

    def stamp(self, table: str) -> Stamp | None:
        """Return a value that differs whenever the table's content does; None without a table."""
        return self._store.stamp(table)

    def refresh(self) -> None:
        """See at once what other processes wrote until now, also in object storage."""
        self._store.refresh()

    # --- runs ---

    @property
    def runs(self) -> list[str]:
        """Names of the runs, oldest first."""
        return [run["name"] for run in self._frame.runs]

    @property
    def trained_runs(self) -> list[str]:
        """Names of the runs with training dynamics, oldest first: trained here or recorded in the
        user's own training loop (see `Recorder`), but no first looks or imported predictions."""
        return [run["name"] for run in self._frame.runs if not {FIRST_LOOK, IMPORTED} & run.keys()]

    @property
    def unfinished_runs(self) -> list[str]:
        """Names of the runs with a training that was interrupted after one epoch or more, oldest
        first. `labelaudit.resume_training` continues them, on the machine where they began."""
        return [run.name for run in unfinished_runs(self._frame)]

    def run(self, name: str | None = None) -> Run:
        """Return a run by name; without a name, the latest with predictions. A first look is only
        returned if there is no other. Raises NotFoundError for a missing run."""
        if not name:
            return Run(self._frame, self.view().fields.run_info()["id"])
        return Run(self._frame, self._frame.run_info(name)["id"])

    def find_run(self, marks: Mapping) -> Run | None:
        """Return the run, finished or not, that had these `Run.marks`; None if it is gone."""
        return find_run(self._frame, marks)

    def new_run(self, name: str | None = None) -> Run:
        """Begin a run with this name, or with the next free one (`run-1`, `run-2` …).

        It is listed once it is finished, and then replaces an earlier run of the same name.
        """
        return begin_run(self._frame, name)


def create_dataset(
    name: str,
    samples,
    *,
    classes: Sequence[str] = (),
    source: str = "",
    skipped: Mapping | None = None,
    found: Callable[[], Mapping] = dict,
    files: Callable[[pa.Table], pa.Table | None] | None = None,
    overwrite: bool = False,
    fields: Mapping[str, str] | None = None,
) -> Dataset:
    """Create a dataset of `samples` (see `Dataset.add_samples`).

    classes: names in index order; others are appended as they occur. skipped: a mapping that may be
    filled while the samples are read. found: returns further entries of `meta` after that.
    files: returns the rows of `source-files` for the annotations (id, label …), if there are any.
    overwrite: whether to replace a dataset of this name, which
    stays unchanged until the new one is complete; otherwise it raises BadInputError.
    fields: kinds of own fields by name (see `Dataset.add_field`), which `samples` may have.
    """
    store = Store(name)
    recovery.clean_up_folders()
    with store.transaction():
        if store.exists("meta") and not overwrite:
            raise BadInputError(
                f"there is a dataset {name!r} already: pick another name, or delete it first, in "
                f"Python with labelaudit.delete_dataset({name!r})."
            )
        paths.remove_leftovers(name)
        store.start_over()
        _build(store, samples, classes, source, skipped, found, files, fields or {})
    paths.remove_checkpoints(name)  # of the replaced dataset
    return Dataset(name)


def _build(
    store: Store,
    samples,
    classes: Sequence[str],
    source: str,
    skipped,
    found,
    files,
    fields: Mapping[str, str],
) -> None:
    names = [check_class(name) for name in dict.fromkeys(classes)]
    reader = SampleReader(names, 1, np.empty(0, np.int64), fields)
    store.overwrite("samples", reader.read(samples), schema.SAMPLES)
    if not len(reader.ids):
        first = next(iter((skipped or {}).get("files", ())), None)
        why = f" (the first one, {first['file']}: {first['why']})" if first else ""
        raise BadInputError(f"{source or 'the source'} holds no image that can be read{why}.")
    annotations = reader.annotations()
    store.overwrite("annotations", annotations, schema.ANNOTATIONS)
    states = files(annotations) if files else None
    if states is not None:
        store.overwrite("source-files", states, schema.SOURCE_FILES)
    meta = {
        "source": source,
        "created": datetime.now(UTC).isoformat(),
        "classes": reader.classes,
        "next_id": reader.next_id,
        **found(),  # before `skipped`, which it may add to
        "skipped": dict(skipped or {"count": 0, "files": []}),
        **own_fields.first_fields(fields),
    }
    write_meta(store, meta)
    own_fields.append_values(Frame(store), reader.own_values())


def list_datasets() -> list[str]:
    """Return the sorted names of the complete datasets under LABELAUDIT_HOME."""
    return [name for name in paths.dataset_names() if _is_complete(name)]


def _is_complete(name: str) -> bool:
    """Whether a dataset was completely imported. A damaged one is logged and left out."""
    try:
        return Store(name).exists("meta")
    except LabelAuditError as error:
        log.warning("%s", error)
        return False


def delete_dataset(name: str) -> None:
    """Delete a dataset with its runs, or the rest of an interrupted import or deletion.

    Source images are not touched. Raises NotFoundError if there is no such dataset.
    """
    store = Store(name)
    if not store.exists("meta") and paths.has_leftovers(name):
        with store.transaction():
            paths.remove_leftovers(name)
        return
    Dataset(name)  # raises NotFoundError
    with store.transaction():
        store.delete_all()
        paths.remove_checkpoints(name)


def drop_all(confirm: bool = False) -> list[str]:
    """Delete all datasets under LABELAUDIT_HOME with their runs. Returns their names.

    Source images are not touched. Raises BadInputError without `confirm=True` if there are any.
    """
    names = list_datasets()
    if names and confirm is not True:
        raise BadInputError(
            f"drop_all deletes {counted(len(names), 'dataset')} in {paths.home()} "
            f"({', '.join(names[:5])}{' …' if len(names) > 5 else ''}): pass confirm=True."
        )
    for name in names:
        delete_dataset(name)
    return names
