"""Imports predictions from a file or array, matched to samples and classes, as a run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from ..core.errors import BadInputError, NotFoundError
from ..core.plural import counted
from ..core.progress import QUIET, Task
from ..dataset.arrays import MISSING
from ..dataset.columns import SHOWN_CLASSES, Frame
from ..dataset.runs import Run
from ..dataset.stored_predictions import (
    create_imported_run,
    imported_run_info,
    refuse_to_lose,
    refuse_to_replace,
)
from ..dataset.target import Target, as_dataset, as_view
from ..dataset.view import View
from . import agreement
from .arrays import Arrays, Source, add_embeddings, from_array, open_npy, open_npz, whole_numbers
from .classes import Columns, match_classes, shown, unknown_sentence
from .matching import BY, FILEPATH, ID, ORDER, check_both, find_paths, folder_of, match_rows
from .numbers import LogitConverter, check_kind, doubt
from .tables import from_frame, open_csv, open_parquet

IMPORTED = "imported"  # default name of the run
SUFFIXES = (".npy", ".npz", ".csv", ".tsv", ".parquet")

SourceLike: TypeAlias = str | os.PathLike | np.ndarray | pd.DataFrame


@dataclass(frozen=True)
class SourceSummary:
    """How a source of predictions was interpreted. Its fields are stored with the run."""

    source: str  # name of the file
    rows: int
    samples: int  # of the dataset
    by: str  # id, filepath or order: how rows were matched to samples
    kind: str  # logits or probabilities
    missing: list[str]  # classes of the dataset without a column; no sample has them
    extra: list[str]  # classes that the dataset does not have
    unused: list[str]  # columns that were not read
    embeddings: int | None  # length of the embeddings
    placed: list[str]  # first classes that columns without names were assigned to
    doubt: str | None  # why rows or columns may be in another order, as a sentence
    about_extra: str  # a sentence about `extra`; "" for none

    @property
    def uncovered(self) -> int:
        """Number of samples without a prediction."""
        return self.samples - self.rows

    def sentences(self) -> list[str]:
        """Return the summary as text."""
        lines = [f"{counted(self.rows, 'row')} of {self.kind}, matched by {self.by}."]
        if self.uncovered:
            lines.append(f"Not predicted: {self.uncovered:,} of {counted(self.samples, 'sample')}.")
        if self.placed:
            lines.append(f"The columns have no names; taken in this order: {shown(self.placed)}.")
        if self.missing:
            lines.append(f"Classes without a column or a sample: {shown(self.missing)}.")
        if self.extra:
            lines.append(self.about_extra)
        if self.unused:
            lines.append(f"Not read: {shown(self.unused)}.")
        if self.embeddings:
            lines.append(f"Embeddings of {self.embeddings:,} numbers: similar images can be shown.")
        return lines + [self.doubt] * bool(self.doubt)


def import_predictions(
    dataset: Target,
    source: SourceLike,
    run: str = IMPORTED,
    *,
    kind: str | None = None,
    classes: Sequence | None = None,
    by: str | None = None,
    ids: Sequence[int] | np.ndarray | None = None,
    embeddings: np.ndarray | str | os.PathLike | None = None,
    out_of_sample: bool = False,
    replace: bool = False,
    task: Task = QUIET,
) -> Run:
    """Import predictions of your own model as a run; score it with `compute_scores`.

    source: a NumPy array (n, C), a pandas frame, or the path of a file:

    - .npy: (n, C); it is memory-mapped;
    - .npz: `logits` or `probabilities` (n, C), and optionally `ids` (n,), `filepaths` (n,),
      `classes` (C,), `embeddings` (n, D);
    - .csv, .tsv, .parquet: a column for each class with its name, and `id` or `filepath`; in
      Parquet also one column of lists, `logits` or `probabilities`. Tables are streamed.

    by: how rows are matched to samples: "id"; "filepath" (the stored path, the end of it if only
    one sample's path ends so, or a path relative to the source's folder; with or without suffix);
    "order" (as many rows as samples, by id). By default the first of these that the source has.
    The names of the columns may have blanks, capitals and other usual forms, such as `Image ID`.
    The index of a frame counts if it has such a name, and rules out "order" unless it is 0, 1, 2 ….
    ids: of an array's rows. Samples without a row have no prediction.
    Without `by`, predictions are compared with the labels: rows matched in order or by id must
    agree clearly better than by chance, ids must not look like positions, and ids and filepaths
    must not contradict each other. A block of rows that agrees much less than the others is noted
    in `Run.info`.
    classes: names of the columns, by default `Dataset.classes` in order. Give them for a model that
    was trained on an export after the classes were reordered: an export numbers the classes in the
    new order, and `Dataset.classes` keeps its own. Classes that the dataset does not have are
    stored too: an image that belongs to one of them has a wrong label. A class of the dataset may
    be missing only if no sample has that label.
    kind: "logits" or "probabilities"; by default detected from the numbers (see
    `numbers.detect_kind`). Probabilities are stored as log(max(p, 1e-12)).
    embeddings: (n, D), or the path of an .npy file: the model's features of each image, with which
    similar images can be found.
    out_of_sample: whether the model was not trained on these labels (cross-validation). This is
    stored and shown; suspicion is fitted to the predictions in either case.

    dataset: or its name, or a view: then "order" is its order, and rows of other samples are an
    error.

    An earlier imported run of this name is replaced; another run of this name is an error, and so
    is one with predictions of samples that the source does not have, unless `replace`. To add to a
    run, batch by batch, use `Dataset.add_predictions`. Storing
    is one commit: after an error or a stop nothing has changed.
    Raises LabelAuditError, naming file, row or id, if the source cannot be read or matched, for a
    number that is not finite, a row of probabilities that does not sum to 1, and an id that is
    unknown or occurs twice. Raises StoppedError after a stop.
    """
    started = time.monotonic()
    view, dataset = as_view(dataset), as_dataset(dataset)
    refuse_to_replace(dataset, run)
    request = _Import(view, source, kind, classes, by, ids, embeddings)
    if not replace:
        refuse_to_lose(dataset, run, request.ids)
    summary = request.summary
    imported = {**asdict(summary), "out_of_sample": bool(out_of_sample)}
    notes = [*summary.sentences(), *request.notes]
    request.notes = notes  # completed while the rows are read, before the run is stored
    info = imported_run_info(request.frame, imported, time.monotonic() - started, notes)
    return create_imported_run(request.frame, run, info, request.batches(task), task)


def inspect_source(
    dataset: Target,
    source: SourceLike,
    *,
    kind: str | None = None,
    classes: Sequence | None = None,
    by: str | None = None,
    ids: Sequence[int] | np.ndarray | None = None,
    embeddings: np.ndarray | str | os.PathLike | None = None,
) -> SourceSummary:
    """Return how `import_predictions` would interpret a source; nothing is stored.

    Reads its keys and first rows. Raises LabelAuditError if they cannot be interpreted.
    """
    return _Import(as_view(dataset), source, kind, classes, by, ids, embeddings).summary


class _Import:
    """A source with its rows matched to samples and its columns to classes, before it is read."""

    def __init__(
        self,
        view: View,
        source: SourceLike,
        kind: str | None,
        classes: Sequence | None,
        by: str | None,
        ids: Sequence[int] | np.ndarray | None,
        embeddings: np.ndarray | str | os.PathLike | None,
    ) -> None:
        check_kind(kind)
        self.frame = view.frame
        self.source = _open(source, self.frame.classes, classes)
        rows, what = self.source.rows, self.source.what
        if not rows:
            raise BadInputError(f"{what} has no rows.")
        if ids is not None:
            self.source.ids, self.source.ambiguous = whole_numbers(ids, rows, what), None
        if embeddings is not None:
            self._add_embeddings(embeddings)
        self.stated = by is not None
        self.by, self.ids = match_source(self.frame, self.source, by, folder_of(source), view)
        self.notes: list[str] = []  # about all rows: complete after `batches`
        names = self.source.names if classes is None else classes
        self.columns: Columns = match_classes(self.frame, names, self.source.width, what)
        self.kind = kind or self.source.kind

    @cached_property
    def summary(self) -> SourceSummary:
        """The summary; reads the first rows."""
        converter = self._converter()
        values, _ = next(self.source.batches())
        predicted = self._predicted(converter(values, self.ids))
        ids, labels = self.ids[: len(predicted)], self.frame.label
        self.kind = converter.kind
        given = labels[self.frame.positions(ids)]
        self._check_rows(predicted, given)
        by_position, extra = self.columns.by_position, self.columns.extra
        return SourceSummary(
            source=self.source.what,
            rows=self.source.rows,
            samples=len(self.frame.ids),
            by=self.by,
            kind=self.kind,
            missing=self.columns.missing,
            extra=extra,
            unused=self.source.unused,
            embeddings=self.source.embedded,
            placed=self.frame.classes[: SHOWN_CLASSES + 1] if by_position else [],
            doubt=doubt(predicted, given, labels, self.columns.classes),
            about_extra=unknown_sentence(self.frame, extra) if extra else "",
        )

    def batches(self, task: Task) -> Iterator[tuple]:
        """Yield ids, logits and, if there are any, embeddings of all rows."""
        stage = task.stage("reading predictions", self.source.rows)
        converter = self._converter()
        start, predicted = 0, np.empty(self.source.rows, np.int32)
        for values, embeddings in self.source.batches():
            task.check("the import")
            ids = self.ids[start : start + len(values)]
            logits = converter(values, ids)
            predicted[start : start + len(values)] = self._predicted(logits)
            yield (ids, logits) if embeddings is None else (ids, logits, embeddings)
            start += len(values)
            stage.advance(len(values))
        given = self.frame.label[self.frame.positions(self.ids)]
        self._check_rows(predicted, given)
        found = agreement.disagreeing_rows(predicted, given, self.columns.classes)
        self.notes += [found] * bool(found)

    def _predicted(self, logits: np.ndarray) -> np.ndarray:
        """Return the predicted classes, int (n,); MISSING for those that the dataset lacks."""
        predicted = logits.argmax(axis=1)
        return np.where(predicted < len(self.frame.classes), predicted, MISSING)

    def _check_rows(self, predicted: np.ndarray, given: np.ndarray) -> None:
        """Raise BadInputError if the first rows are probably matched to the wrong samples, unless
        the caller stated how they are matched."""
        labels, what = self.frame.label, self.source.what
        if self.stated:
            return
        by_id = self.by == ID
        if by_id:
            at = self.frame.positions(self.ids[: len(predicted)])
            if step := agreement.shifted(predicted, at, labels):
                raise BadInputError(
                    f"{what}: the predictions fit the labels of the samples with the "
                    f"{'next' if step == 1 else 'previous'} ids better than those of their own: "
                    f"are the ids {'positions counted from 0' if step == 1 else 'one too large'}? "
                    "Correct them, or state that they are the ids (by='id')."
                )
        if by_id or self.by == ORDER:
            agreement.check_order(predicted, given, labels, self.columns.classes, what, by_id)

    def _converter(self) -> LogitConverter:
        return LogitConverter(self.columns, self.kind, self.source.what, self.source.unused)

    def _add_embeddings(self, embeddings) -> None:
        if not isinstance(self.source, Arrays):
            raise BadInputError(
                f"{self.source.what} is a table: give its embeddings as its column `embeddings`."
            )
        if isinstance(embeddings, str | os.PathLike):
            embeddings = open_npy(Path(embeddings).expanduser()).values
        add_embeddings(self.source, np.asarray(embeddings))


def match_source(
    frame: Frame, source: Source, by: str | None, folder: Path | None, view: View | None = None
) -> tuple[str, np.ndarray]:
    """Return how the rows of a source are matched, and the id of each row's sample, int64 (n,).

    by: as given by the caller. Raises BadInputError if the rows cannot be matched, or if ids and
    file paths contradict each other and the caller did not state which of them counts.
    """
    key, what = matching_key(source, by), source.what
    if view is not None and view.steps:
        return key, _match_in_view(view, source, key, folder)
    if key == ID and by is None and source.ambiguous is not None:
        _check_ambiguous(frame, source, folder)
    ids = match_rows(frame, source.rows, source.ids, source.paths, key, what, folder)
    if key == ID and by is None and source.paths is not None and source.ambiguous is None:
        check_both(frame, ids, source.paths, what, folder)
    return key, ids


def _match_in_view(view: View, source: Source, key: str, folder: Path | None) -> np.ndarray:
    """Return the id of each row's sample, int64 (n,), which must be in the view."""
    here, what = view.ids, source.what
    if key == ORDER:
        if source.rows != len(here):
            raise BadInputError(
                f"{what} has {counted(source.rows, 'row')} and the view "
                f"{counted(len(here), 'sample')}: give each row an id or a filepath."
            )
        return here
    ids = match_rows(view.frame, source.rows, source.ids, source.paths, key, what, folder)
    outside = np.flatnonzero(~np.isin(ids, here))
    if len(outside):
        row = int(outside[0])
        raise BadInputError(
            f"{what}, row {row + 1:,}: sample {ids[row]} is not in the view: leave the row out, or "
            "give the dataset."
        )
    return ids


def _check_ambiguous(frame: Frame, source: Source, folder: Path | None) -> None:
    """Raise BadInputError if numbers are ids of samples, and file names of other samples."""
    found, fits = find_paths(frame, source.paths, folder)
    if (fits == 1).all() and (found != source.ids).any():
        raise BadInputError(
            f"{source.what}: the numbers in column {source.ambiguous!r} may be ids or the names of "
            "the files: state which of them they are (by='id' or by='filepath')."
        )


def matching_key(source: Source, by: str | None) -> str:
    """Return how to match the rows of a source to samples: "id", "filepath" or "order".

    by: as given by the caller; None for the first that the source has. Raises LabelAuditError if
    the source does not allow it.
    """
    keys = [ID] * (source.ids is not None) + [FILEPATH] * (source.paths is not None)
    if by is None:
        if not keys and not source.in_order:
            raise BadInputError(
                f"{source.what} has neither id nor filepath, and an index that is not 0, 1, 2 …: "
                "name the index id if it contains ids, or state that the rows are in the order of "
                f"the ids ({agreement.HOW_TO_STATE_ORDER})."
            )
        return [*keys, ORDER][0]
    if by not in BY:
        raise BadInputError(f"by={by!r}: match rows by {', '.join(BY)}.")
    if by not in (*keys, ORDER):
        raise BadInputError(f"{source.what} has no {by} of its rows to match by.")
    return by


def _open(source: SourceLike, classes: list[str], named: Sequence | None) -> Source:
    if isinstance(source, np.ndarray):
        return from_array(source, "the array")
    if isinstance(source, pd.DataFrame):
        return from_frame(source, classes, named)
    path = existing_file(source, "predictions")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return open_npy(path)
    if suffix == ".npz":
        return open_npz(path)
    if suffix in (".csv", ".tsv"):
        return open_csv(path, classes, named)
    if suffix == ".parquet":
        return open_parquet(path, classes, named)
    raise BadInputError(
        f"{path.name} ends in {suffix or 'nothing'!r}: predictions are read from "
        f"{', '.join(SUFFIXES)}."
    )


def existing_file(source: str | os.PathLike, what: str) -> Path:
    """Return the path of a file. what: its content, for errors.

    Raises BadInputError for another type, and NotFoundError if there is no such file.
    """
    if not isinstance(source, str | os.PathLike):
        raise BadInputError(
            f"{what} of type {type(source).__name__}: give a NumPy array, a pandas frame or the "
            "path of a file."
        )
    path = Path(source).expanduser()
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}.")
    return path
