"""Predictions from a file or array, matched to samples and classes, as a run of a dataset."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.errors import LabelAuditError
from ..core.progress import QUIET, Task
from ..dataset.columns import SHOWN_CLASSES
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..dataset.stored_predictions import create_imported_run, imported_run_info, refuse_to_replace
from .arrays import Arrays, Brought, add_embeddings, of_array, open_npy, open_npz, whole_numbers
from .classes import Columns, match_classes, shown
from .matching import BY, FILEPATH, ID, ORDER, folder_of, match_rows
from .numbers import Logits, check_kind, doubt
from .tables import of_frame, open_csv, open_parquet

IMPORTED = "imported"  # what such a run is called, unless it is named
SUFFIXES = (".npy", ".npz", ".csv", ".tsv", ".parquet")

Source = str | os.PathLike | np.ndarray | pd.DataFrame


@dataclass(frozen=True)
class Understood:
    """What a source of predictions was taken for."""

    source: str  # name of the file
    rows: int
    samples: int  # of the dataset
    by: str  # id, filepath or order: how rows were matched to samples
    kind: str  # logits or probabilities
    missing: list[str]  # classes of the dataset that it does not know; no sample has them
    extra: list[str]  # classes that the dataset does not have: left out
    unused: list[str]  # columns that were not read
    embeddings: int | None  # numbers of each embedding
    placed: list[str]  # classes that columns without names were taken for, the first ones
    doubt: str | None  # why rows or columns may be in another order, in a sentence

    @property
    def uncovered(self) -> int:
        """Samples that get no prediction."""
        return self.samples - self.rows

    def sentences(self) -> list[str]:
        """What was understood, in words."""
        said = [f"{self.rows:,} rows of {self.kind}, matched by {self.by}."]
        if self.uncovered:
            said.append(f"{self.uncovered:,} of {self.samples:,} samples have no prediction.")
        if self.placed:
            said.append(f"The columns have no names; taken in this order: {shown(self.placed)}.")
        if self.missing:
            said.append(f"No column, and no sample: {shown(self.missing)}.")
        if self.extra:
            said.append(f"No class of the dataset, left out: {shown(self.extra)}.")
        if self.unused:
            said.append(f"Not read: {shown(self.unused)}.")
        if self.embeddings:
            said.append(f"Embeddings of {self.embeddings:,} numbers: similar images can be shown.")
        return said + [self.doubt] * bool(self.doubt)


def import_predictions(
    dataset: Dataset | str,
    source: Source,
    run: str = IMPORTED,
    *,
    kind: str | None = None,
    classes: Sequence | None = None,
    by: str | None = None,
    ids: Sequence[int] | np.ndarray | None = None,
    embeddings: np.ndarray | str | os.PathLike | None = None,
    out_of_sample: bool = False,
    task: Task = QUIET,
) -> Run:
    """Keep predictions of your own model as a run; score it with `compute_scores`.

    source: a NumPy array (n, C), a pandas frame, or the path of a file:

    - .npy: (n, C); it is mapped, not read into memory;
    - .npz: `logits` or `probabilities` (n, C), and optionally `ids` (n,), `filepaths` (n,),
      `classes` (C,), `embeddings` (n, D);
    - .csv, .tsv, .parquet: a column for each class, called like it, and `id` or `filepath`; in
      Parquet also one column of lists, `logits` or `probabilities`. They are streamed.

    by: how rows are matched to samples: "id"; "filepath" (as stored, or the last parts of it where
    only one sample's path ends so, or relative to the source's folder); "order" (as many rows as
    samples, by id). By default the first of these that the source has; the index of a frame counts
    where it is called like one of them, and forbids "order" where it is not 0, 1, 2 …. ids: of an
    array's rows. Samples that no row is about have no prediction.
    classes: names of the columns, by default the dataset's in its order. Classes that the dataset
    does not have are left out; one that it has may lack only where no sample is labelled so.
    kind: "logits" or "probabilities"; by default told by the numbers (see `numbers.tell_kind`).
    Probabilities are kept as log(max(p, 1e-12)).
    embeddings: (n, D), or the path of an .npy, of what an image looks like to the model; with them
    the run has neighbours.
    out_of_sample: whether the model did not learn these labels (cross-validated). It is kept and
    shown; suspicion is fitted to the predictions either way.

    An earlier run of this name is replaced if it was brought in this way too; one that was made
    here is an error. One commit: an error or a stop leaves everything as it was.
    Raises LabelAuditError, naming file, row or id, for whatever cannot be understood: a number that
    is not finite, a row of probabilities that does not sum to 1, an id that is unknown or twice.
    """
    started = time.monotonic()
    dataset = Dataset(dataset) if isinstance(dataset, str) else dataset
    refuse_to_replace(dataset, run)
    plan = _Plan(dataset, source, kind, classes, by, ids, embeddings)
    understood = plan.understood
    brought = {**asdict(understood), "out_of_sample": bool(out_of_sample)}
    seconds = time.monotonic() - started
    info = imported_run_info(plan.frame, brought, seconds, understood.sentences())
    return create_imported_run(plan.frame, run, info, plan.batches(task), task)


def understand(
    dataset: Dataset | str,
    source: Source,
    *,
    kind: str | None = None,
    classes: Sequence | None = None,
    by: str | None = None,
    ids: Sequence[int] | np.ndarray | None = None,
    embeddings: np.ndarray | str | os.PathLike | None = None,
) -> Understood:
    """What `import_predictions` would take a source for; nothing is stored.

    Its keys and its first rows are read. Raises LabelAuditError where these cannot be understood.
    """
    dataset = Dataset(dataset) if isinstance(dataset, str) else dataset
    return _Plan(dataset, source, kind, classes, by, ids, embeddings).understood


class _Plan:
    """A source with all that is known of it before it is read."""

    def __init__(self, dataset, source, kind, classes, by, ids, embeddings) -> None:
        check_kind(kind)
        self.frame = dataset.view().frame
        self.source = _opened(source, self.frame.classes, classes)
        what = self.source.what
        if not self.source.rows:
            raise LabelAuditError(f"{what} has no rows.")
        if ids is not None:
            self.source.ids = whole_numbers(ids, self.source.rows, what)
        if embeddings is not None:
            self._add(embeddings)
        self.by = self._matched_by(by)
        self.ids = match_rows(
            self.frame, self.source.rows, self.source.ids, self.source.paths, self.by, what,
            folder_of(source),
        )  # fmt: skip
        names = self.source.names if classes is None else classes
        self.columns: Columns = match_classes(self.frame, names, self.source.width, what)
        self.kind = kind or self.source.kind

    @cached_property
    def understood(self) -> Understood:
        logits = self._logits()
        values, _ = next(self.source.batches())
        predicted = logits(values, self.ids).argmax(axis=1)
        ids, labels = self.ids[: len(predicted)], self.frame.label
        self.kind = logits.kind
        said = doubt(predicted, labels[self.frame.positions(ids)], labels, self.columns.classes)
        placed = self.frame.classes[: SHOWN_CLASSES + 1] if self.columns.placed else []
        return Understood(
            self.source.what, self.source.rows, len(self.frame.ids), self.by, self.kind,
            self.columns.missing, self.columns.extra, self.source.unused, self.source.embedded,
            placed, said,
        )  # fmt: skip

    def batches(self, task: Task) -> Iterator[tuple]:
        meter = task.stage("reading predictions", self.source.rows)
        logits = self._logits()
        start = 0
        for values, vectors in self.source.batches():
            task.check("the import")
            ids = self.ids[start : start + len(values)]
            made = logits(values, ids)
            yield (ids, made) if vectors is None else (ids, made, vectors)
            start += len(values)
            meter.advance(len(values))

    def _logits(self) -> Logits:
        return Logits(self.columns, self.kind, self.source.what, bool(self.source.unused))

    def _matched_by(self, by: str | None) -> str:
        there = [ID] * (self.source.ids is not None) + [FILEPATH] * (self.source.paths is not None)
        if by is None:
            if not there and not self.source.in_order:
                raise LabelAuditError(
                    f"{self.source.what} has neither id nor filepath, and an index that is not 0, "
                    "1, 2 …: call the index id if it holds ids, or say that the rows are in the "
                    "order of the ids (by='order')."
                )
            return [*there, ORDER][0]
        if by not in BY:
            raise LabelAuditError(f"by={by!r}: match rows by {', '.join(BY)}.")
        if by not in (*there, ORDER):
            raise LabelAuditError(f"{self.source.what} has no {by} of its rows to match by.")
        return by

    def _add(self, embeddings) -> None:
        if not isinstance(self.source, Arrays):
            raise LabelAuditError(
                f"{self.source.what} is a table: give its embeddings as its column `embeddings`."
            )
        if isinstance(embeddings, str | os.PathLike):
            embeddings = open_npy(Path(embeddings).expanduser()).values
        add_embeddings(self.source, np.asarray(embeddings))


def _opened(source: Source, classes: list[str], named: Sequence | None) -> Brought:
    if isinstance(source, np.ndarray):
        return of_array(source, "the array")
    if isinstance(source, pd.DataFrame):
        return of_frame(source, classes, named)
    if not isinstance(source, str | os.PathLike):
        raise LabelAuditError(
            f"predictions of type {type(source).__name__}: give a NumPy array, a pandas frame or "
            "the path of a file."
        )
    path = Path(source).expanduser()
    if not path.is_file():
        raise LabelAuditError(f"there is no file {path}.")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return open_npy(path)
    if suffix == ".npz":
        return open_npz(path)
    if suffix in (".csv", ".tsv"):
        return open_csv(path, classes, named)
    if suffix == ".parquet":
        return open_parquet(path, classes, named)
    raise LabelAuditError(
        f"{path.name} ends in {suffix or 'nothing'!r}: predictions are read from "
        f"{', '.join(SUFFIXES)}."
    )
