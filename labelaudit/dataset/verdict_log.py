"""The log of reviewers' verdicts. Rows are only appended; undo and redo are rows too."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from unicodedata import category

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError
from ..storage import schema
from .arrays import MISSING, nullable
from .class_names import merged_into
from .columns import Frame
from .history_log import now

VERDICTS = ("keep", "relabel", "remove", "unsure")
KEEP, RELABEL, REMOVE, UNSURE = range(4)  # codes, indices into VERDICTS
UNDO, REDO = 4, 5
_WORDS = (*VERDICTS, "undo", "redo")
NO_SAMPLE = -1
REVIEWER_LENGTH = 64
CONTROL_MARKS = ("Cc", "Zl", "Zp")  # Unicode categories: line breaks, tabs and the like


@dataclass(frozen=True)
class VerdictLog:
    """All rows of the log, oldest first. Arrays (n,).

    `reviewer` holds indices into `reviewers`, `verdict` indices into VERDICTS, or UNDO or REDO.
    """

    id: np.ndarray
    batch: np.ndarray
    sample: np.ndarray
    reviewer: np.ndarray
    verdict: np.ndarray
    label: np.ndarray  # MISSING except for RELABEL
    given: np.ndarray
    time: np.ndarray  # ISO 8601 texts
    reviewers: list[str]

    def __len__(self) -> int:
        return len(self.id)

    @property
    def next_id(self) -> int:
        """The id of the next row."""
        return int(self.id[-1]) + 1 if len(self) else 1

    def code(self, reviewer: str) -> int:
        """Return a reviewer's index into `reviewers`, or MISSING."""
        return self.reviewers.index(reviewer) if reviewer in self.reviewers else MISSING

    @cached_property
    def standing(self) -> np.ndarray:
        """Mask of the verdicts that are not undone."""
        verdicts = self.verdict < UNDO
        undone = np.unique(self.batch[~verdicts])
        if not len(undone):
            return verdicts
        last = self._last_event(undone)
        undone = undone[self.verdict[last] == UNDO]
        return verdicts & ~np.isin(self.batch, undone)

    def _last_event(self, batches: np.ndarray) -> np.ndarray:
        """Return the row of the last undo or redo of each of these sorted batches."""
        rows = np.flatnonzero((self.verdict >= UNDO) & np.isin(self.batch, batches))
        last = np.zeros(len(batches), np.int64)
        np.maximum.at(last, np.searchsorted(batches, self.batch[rows]), rows)
        return last

    def batches_since(self, reviewer: str, first: int) -> np.ndarray:
        """Return this reviewer's batches from this one on, sorted int64 (n,), undone or not."""
        own = (self.verdict < UNDO) & (self.reviewer == self.code(reviewer))
        return np.unique(self.batch[own & (self.batch >= first)])

    def undoable(self, reviewer: str, except_for: Collection[int] = ()) -> int | None:
        """Return the latest batch of this reviewer that is not undone and not in `except_for`."""
        own = self.standing & (self.reviewer == self.code(reviewer))
        own &= ~np.isin(self.batch, list(except_for))
        return int(self.batch[own].max()) if own.any() else None

    def redoable(self, reviewer: str, except_for: Collection[int] = ()) -> int | None:
        """Return the batch that this reviewer undid last, if they decided nothing since.

        Batches in `except_for` are left alone.
        """
        own = (self.verdict < UNDO) & (self.reviewer == self.code(reviewer))
        since = self.id[own].max(initial=0)
        undone = np.unique(self.batch[(self.verdict == UNDO) & (self.id > since)])
        undone = undone[np.isin(undone, self.batch[own]) & ~np.isin(undone, list(except_for))]
        if not len(undone):
            return None
        last = self._last_event(undone)
        last = last[self.verdict[last] == UNDO]
        return int(self.batch[last.max()]) if len(last) else None

    def samples_of(self, batch: int) -> np.ndarray:
        """Return the ids of the samples in a batch, int64 (n,)."""
        return self.sample[(self.batch == batch) & (self.verdict < UNDO)]

    def latest(self, rows: np.ndarray) -> np.ndarray:
        """Return the last of these sorted rows for each sample and reviewer, sorted."""
        key = self.sample[rows] * max(len(self.reviewers), 1) + self.reviewer[rows]
        _, last = np.unique(key[::-1], return_index=True)
        return np.sort(rows[::-1][last])

    @cached_property
    def current(self) -> np.ndarray:
        """Rows of the valid verdicts: the last for each sample and reviewer that is not undone."""
        return self.latest(np.flatnonzero(self.standing))

    def plus(self, rows: pa.Table) -> VerdictLog:
        """Return this log with further rows."""
        names = [*self.reviewers]
        for name in rows["reviewer"].unique().to_pylist():
            names += [] if name in names else [name]
        more = _columns(rows, names)
        columns = {key: np.concatenate([getattr(self, key), part]) for key, part in more.items()}
        longer = replace(self, reviewers=names, **columns)
        if "current" in vars(self) and (more["verdict"] < UNDO).all():
            # without undo or redo, a verdict replaces at most that of its reviewer on its sample
            old, new = self.current, np.arange(len(self), len(longer))
            replaced = np.isin(self.reviewer[old], more["reviewer"])
            replaced &= np.isin(self.sample[old], more["sample"])
            new = longer.latest(np.concatenate([old[replaced], new]))
            vars(longer)["current"] = np.sort(np.concatenate([old[~replaced], new]))
        return longer


def read(frame: Frame) -> VerdictLog:
    """Return the current log, from the cache if it has not changed.

    Classes that were merged into others since then are given as these.
    """
    if not frame.meta.get("hidden_classes"):
        return _stored(frame)

    def merged() -> VerdictLog:
        log, target = _stored(frame), np.append(merged_into(frame), MISSING)
        return replace(log, label=target[log.label], given=target[log.given])

    return frame.derived("verdicts after merges", ["verdicts", "meta", "history"], merged)


def _stored(frame: Frame) -> VerdictLog:
    return frame.derived("verdicts", ["verdicts"], lambda: _load(frame))


def _load(frame: Frame) -> VerdictLog:
    rows = frame.read("verdicts", schema.VERDICTS.names)
    rows = schema.VERDICTS.empty_table() if rows is None else rows.sort_by("id")
    empty = VerdictLog(**_columns(schema.VERDICTS.empty_table(), []), reviewers=[])
    return empty.plus(rows)


def append(
    frame: Frame,
    reviewer: str,
    verdict: np.ndarray,
    samples: np.ndarray,
    labels: np.ndarray,
    given: np.ndarray,
) -> int:
    """Write one batch of verdicts durably. Returns its id.

    verdict: int (n,), codes. labels: int32 (n,), new classes of RELABEL. given: int32 (n,), the
    samples' present classes. Raises BadInputError for an invalid reviewer.
    """
    check_reviewer(reviewer)
    with frame.transaction():
        log = _stored(frame)
        ids = np.arange(log.next_id, log.next_id + len(samples))
        rows = _rows(ids, np.full(len(ids), ids[0]), samples, reviewer, verdict, labels, given)
        _write(frame, log, rows)
    return int(ids[0])


def append_events(frame: Frame, reviewer: str, event: int, batches: np.ndarray) -> None:
    """Record that these batches are undone or redone. event: UNDO or REDO."""
    check_reviewer(reviewer)
    with frame.transaction():
        log, count = _stored(frame), len(batches)
        ids = np.arange(log.next_id, log.next_id + count)
        samples, nothing = np.full(count, NO_SAMPLE), np.full(count, MISSING)
        events = np.full(count, event)
        _write(frame, log, _rows(ids, batches, samples, reviewer, events, nothing, nothing))


def check_reviewer(name: str) -> str:
    """Return a valid name of a reviewer. Raises BadInputError for any other value."""
    usable = isinstance(name, str) and name.strip() and len(name) <= REVIEWER_LENGTH
    if not usable or any(category(mark) in CONTROL_MARKS for mark in name):
        raise BadInputError(
            f"{name!r} cannot be a reviewer's name: use 1 to {REVIEWER_LENGTH} characters, without "
            "line breaks and tabs."
        )
    return name


def _write(frame: Frame, log: VerdictLog, rows: pa.Table) -> None:
    frame.append("verdicts", rows, schema.VERDICTS)
    # We hold the lock, so nobody else has written: the log need not be read again.
    frame.derived("verdicts", ["verdicts"], lambda: log.plus(rows))


def _rows(ids, batches, samples, reviewer: str, verdict: np.ndarray, labels, given) -> pa.Table:
    count = len(ids)
    return pa.table(
        [
            pa.array(ids, pa.int64()),
            pa.array(batches, pa.int64()),
            pa.array(samples, pa.int64(), mask=np.asarray(samples) == NO_SAMPLE),
            pa.array([reviewer] * count, pa.string()),
            pa.array(np.array(_WORDS, object)[verdict], pa.string()),
            nullable(labels),
            nullable(given),
            pa.array([now()] * count, pa.string()),
        ],
        schema=schema.VERDICTS,
    )


def _columns(rows: pa.Table, reviewers: list[str]) -> dict[str, np.ndarray]:
    def codes(column: str, names: list[str] | tuple[str, ...]) -> np.ndarray:
        coded = rows[column].combine_chunks().dictionary_encode()
        own = np.array([names.index(name) for name in coded.dictionary.to_pylist()], np.int32)
        return own[coded.indices.to_numpy()]

    def number(column: str, missing: int) -> np.ndarray:
        return rows[column].fill_null(missing).to_numpy()

    return {
        "id": number("id", 0),
        "batch": number("batch", 0),
        "sample": number("sample", NO_SAMPLE),
        "reviewer": codes("reviewer", reviewers),
        "verdict": codes("verdict", _WORDS),
        "label": number("label", MISSING),
        "given": number("given", MISSING),
        "time": rows["time"].to_numpy(),
    }
