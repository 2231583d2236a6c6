"""A dataset: samples with labels, kept in one folder, opened by name."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from ..core.errors import LabelAuditError
from ..storage import paths, schema
from ..storage.tables import Store
from . import edits, history_log, recovery
from .columns import BROUGHT, FIRST_LOOK, PREDICTING, Frame
from .ingest import Intake, check_class
from .runs import Run, begin_run, find_run, unfinished_runs
from .sample import Sample
from .view import View

log = logging.getLogger(__name__)


class Dataset:
    """An image-classification dataset. Get one with `labelaudit.load_dataset`.

    `len(dataset)` counts its samples, `dataset[id]` is one of them.
    """

    def __init__(self, name: str) -> None:
        _mend(name)
        self._store = Store(name)
        self._frame = Frame(self._store)
        if not self._store.exists("meta"):
            raise LabelAuditError(
                f"there is no dataset {name!r}: the datasets are {', '.join(list_datasets())}."
                if list_datasets()
                else f"there is no dataset {name!r}, nor any other: load one first."
            )
        meta = self._frame.meta  # one of a newer version says so
        # who writes now will do it, and may take long
        if PREDICTING in meta and not paths.is_locked(name):
            try:
                edits.settle_predictions(self._frame)
            except LabelAuditError as error:  # nothing may be written here, but all can be read
                log.warning("%s", error)

    @property
    def name(self) -> str:
        """Its name, by which `labelaudit.load_dataset` opens it."""
        return self._store.name

    @property
    def classes(self) -> list[str]:
        """Class names; a label's index into this list is what is stored."""
        return list(self._frame.classes)

    @property
    def created(self) -> str:
        """When it was made: ISO 8601, UTC, to the microsecond."""
        return self._frame.meta["created"]

    @property
    def info(self) -> dict:
        """Where it came from and what is in it: counts, splits, mistakes, runs, skipped files."""
        meta = self._frame.meta
        return {
            "name": self.name,
            "uri": self._store.uri,
            "source": meta["source"],
            "created": self.created,
            "classes": self.classes,
            "samples": len(self),
            "labelled": int((self._frame.label >= 0).sum()),
            "splits": self.view().count_values("split"),
            "tags": self.view().count_values("tags"),
            "runs": [run["name"] for run in self._frame.runs],
            "skipped": meta["skipped"],
            "noise": history_log.noise_report(self._frame),
        }

    def __len__(self) -> int:
        return len(self._frame.ids)

    def __getitem__(self, sample_id: int) -> Sample:
        self._frame.positions([sample_id])  # says so if there is none
        return self.view().select([sample_id]).head(1)[0]

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}: {len(self):,} samples, {len(self.classes)} classes)"

    def view(self, run: str | None = None) -> View:
        """All samples by id; with the predictions and scores of `run`, or of the latest."""
        view = View(self._frame)
        return view if run is None else view.use_run(run)

    # --- runs ---

    @property
    def runs(self) -> list[str]:
        """Names of the runs, oldest first."""
        return [run["name"] for run in self._frame.runs]

    @property
    def trained_runs(self) -> list[str]:
        """Names of the runs whose model was watched while it was trained, here or in a loop of the
        user's own (see `Recorder`), oldest first: no first looks, no imported predictions."""
        return [run["name"] for run in self._frame.runs if not {FIRST_LOOK, BROUGHT} & run.keys()]

    @property
    def unfinished_runs(self) -> list[str]:
        """Names of the runs whose training was cut short after an epoch or more, oldest first.

        `labelaudit.resume_training` goes on with them, on the machine that they began on.
        """
        return [run.name for run in unfinished_runs(self._frame)]

    def run(self, name: str | None = None) -> Run:
        """A run by name; without one, the latest that has predictions; a first look only where
        there is no other."""
        return Run(
            self._frame, self._frame.run_info(name or self.view().fields.run_info()["name"])["id"]
        )

    def find_run(self, marks: Mapping) -> Run | None:
        """The run, finished or not, that had these `Run.marks`; None where it is not there."""
        return find_run(self._frame, marks)

    def new_run(self, name: str | None = None) -> Run:
        """Begin a run of this name, or of the next free one (`run-1`, `run-2` …).

        It counts once it is finished, and then takes the place of an earlier one of its name.
        """
        return begin_run(self._frame, name)

    # --- changing ---

    def set_labels(self, ids: Sequence[int], labels: str | Sequence[str | None] | None) -> int:
        """Give samples new labels: one class name for all, or one each; None takes the label away.
        Returns how many changed.

        The first label a sample had stays readable as `original_label`.
        Raises LabelAuditError, with nothing changed, for an id or a class that does not exist and
        for an id given twice.
        """
        return edits.set_labels(self._frame, ids, labels)

    def tag(self, ids: Sequence[int], name: str) -> int:
        """Set a tag on samples. Returns how many did not have it.

        Raises LabelAuditError for an id that does not exist, and for a name that is longer than 64
        characters or has a `;`, a line break or blanks at its ends.
        """
        return edits.tag(self._frame, ids, name)

    def untag(self, ids: Sequence[int], name: str) -> int:
        """Take a tag from samples. Returns how many had it."""
        return edits.untag(self._frame, ids, name)

    def add_samples(
        self,
        samples: pd.DataFrame | pa.Table | Mapping | Iterable[Mapping] | Iterable[pa.RecordBatch],
    ) -> list[int]:
        """Add samples; returns their ids.

        samples: a data frame, an Arrow table, a mapping of columns, or an iterable of mappings or
        of Arrow batches, with `filepath` or `image` (PIL image, encoded bytes, or uint8 array
        (H, W) or (H, W, 3)), and optionally `label` (class name), `split`, `tags`, `id`. Files are
        referenced where they lie and not opened here. New class names are appended to `classes`.

        Raises LabelAuditError, with nothing added, for an id that is taken or given twice and for
        a row without an image.
        """
        with self._store.writing():
            history_log.settle(self._frame)
            recovery.clear_samples(self._frame)
            meta = self._frame.meta
            intake = Intake(meta["classes"], meta["next_id"], self._frame.ids)
            rows = intake.read(samples)
            if self._store.exists("samples"):
                self._store.append("samples", rows, schema.SAMPLES)
            else:
                self._store.overwrite("samples", rows, schema.SAMPLES)
            meta = {**meta, "classes": intake.classes, "next_id": intake.next_id}
            # last: a sample exists once it is here, so a kill before this line adds nothing
            with edits.growing(self._frame, meta):
                self._store.append("annotations", intake.annotations(), schema.ANNOTATIONS)
        return intake.ids.tolist()


def create_dataset(
    name: str,
    samples,
    *,
    classes: Sequence[str] = (),
    source: str = "",
    skipped: Mapping | None = None,
    overwrite: bool = False,
) -> Dataset:
    """Make a dataset of `samples` (as `Dataset.add_samples` takes them).

    classes: names in index order; further ones are appended as they come. skipped: a mapping that
    the source may go on filling while it is read. A dataset of this name is an error unless
    `overwrite`, and stays as it is until the new one is whole.
    """
    old = Store(name)
    recovery.clear_folders()
    with old.writing():
        paths.put_back(name)
        if old.exists("meta") and not overwrite:
            raise LabelAuditError(
                f"there is a dataset {name!r} already: pick another name, or delete it first "
                f"(labelaudit delete {name})."
            )
        paths.clear_away(name)  # of a load that was killed
        place = paths.unfinished_uri(name)
        try:
            _build(Store(name, place), samples, classes, source, skipped)
            old.check_lease()
        except BaseException:
            with suppress(LabelAuditError):  # where the storage fails, the next load clears it
                paths.remove(place)
            raise
        paths.put_in_place(name, place)
        paths.remove_checkpoints(name)  # of the dataset that was there before
    return Dataset(name)


def _build(store: Store, samples, classes: Sequence[str], source: str, skipped) -> None:
    intake = Intake([check_class(c) for c in dict.fromkeys(classes)], 1, np.empty(0, np.int64))
    store.overwrite("samples", intake.read(samples), schema.SAMPLES)
    if not len(intake.ids):
        first = next(iter((skipped or {}).get("files", ())), None)
        why = f" (the first one, {first['file']}: {first['why']})" if first else ""
        raise LabelAuditError(f"{source or 'the source'} holds no image that can be read{why}.")
    store.overwrite("annotations", intake.annotations(), schema.ANNOTATIONS)
    meta = {
        "source": source,
        "created": datetime.now(UTC).isoformat(),
        "classes": intake.classes,
        "next_id": intake.next_id,
        "skipped": dict(skipped or {"count": 0, "files": []}),
    }
    history_log.write_meta(store, meta)


def list_datasets() -> list[str]:
    """Names of the finished datasets under LABELAUDIT_HOME, sorted."""
    return [name for name in paths.dataset_names() if _is_whole(name)]


def _mend(name: str) -> None:
    """Bring back a dataset whose replacement was killed half-way."""
    if paths.is_set_aside(name):
        with Store(name).writing():
            paths.put_back(name)


def _is_whole(name: str) -> bool:
    """A folder that is damaged, or was never finished, must not take the others down."""
    _mend(name)
    try:
        return Store(name).exists("meta")
    except LabelAuditError as error:
        log.warning("%s", error)
        return False


def delete_dataset(name: str) -> None:
    """Delete a dataset with its runs, or what a load or a deletion that was killed left of it.
    Source images are not touched.

    Raises LabelAuditError for a name that no dataset has.
    """
    _mend(name)
    store = Store(name)
    if not store.exists("meta") and paths.has_leftovers(name):
        with store.writing():
            paths.clear_away(name)
        return
    dataset = Dataset(name)
    with dataset._store.writing():
        paths.take_away(name)
        paths.remove_checkpoints(name)
