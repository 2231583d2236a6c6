"""The log of what reviewers decided: only ever appended to, undone by further lines of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from ..core.errors import LabelAuditError
from ..storage import schema
from .columns import MISSING, Frame
from .history_log import now, nullable

VERDICTS = ("keep", "relabel", "remove", "unsure")
KEEP, RELABEL, REMOVE, UNSURE = range(4)  # their codes
UNDO, REDO = 4, 5
_WORDS = (*VERDICTS, "undo", "redo")
NO_SAMPLE = -1
REVIEWER_LENGTH = 64


@dataclass(frozen=True)
class Log:
    """All lines of the log, oldest first. Arrays (n,); codes index `reviewers` and VERDICTS."""

    id: np.ndarray
    batch: np.ndarray
    sample: np.ndarray
    reviewer: np.ndarray
    verdict: np.ndarray
    label: np.ndarray  # MISSING but for RELABEL
    given: np.ndarray
    time: np.ndarray  # ISO 8601 texts
    reviewers: list[str]

    def __len__(self) -> int:
        return len(self.id)

    @property
    def next_id(self) -> int:
        return int(self.id[-1]) + 1 if len(self) else 1

    def code(self, reviewer: str) -> int:
        return self.reviewers.index(reviewer) if reviewer in self.reviewers else MISSING

    @cached_property
    def standing(self) -> np.ndarray:
        """Mask of the verdicts that are not undone."""
        said = self.verdict < UNDO
        undone = np.unique(self.batch[~said])
        if not len(undone):
            return said
        last = self._last_word(undone)
        gone = undone[self.verdict[last] == UNDO]
        return said & ~np.isin(self.batch, gone)

    def _last_word(self, batches: np.ndarray) -> np.ndarray:
        """Row of the last undo or redo of each of these sorted batches."""
        rows = np.flatnonzero((self.verdict >= UNDO) & np.isin(self.batch, batches))
        last = np.zeros(len(batches), np.int64)
        np.maximum.at(last, np.searchsorted(batches, self.batch[rows]), rows)
        return last

    def undoable(self, reviewer: str) -> int | None:
        """The latest batch of this reviewer that stands."""
        own = self.standing & (self.reviewer == self.code(reviewer))
        return int(self.batch[own].max()) if own.any() else None

    def redoable(self, reviewer: str) -> int | None:
        """The batch of this reviewer that was undone last, if nothing was decided since."""
        own = (self.verdict < UNDO) & (self.reviewer == self.code(reviewer))
        since = self.id[own].max(initial=0)
        undone = np.unique(self.batch[(self.verdict == UNDO) & (self.id > since)])
        undone = undone[np.isin(undone, self.batch[own])]
        if not len(undone):
            return None
        last = self._last_word(undone)
        last = last[self.verdict[last] == UNDO]
        return int(self.batch[last.max()]) if len(last) else None

    def samples_of(self, batch: int) -> np.ndarray:
        return self.sample[(self.batch == batch) & (self.verdict < UNDO)]

    def latest(self, rows: np.ndarray) -> np.ndarray:
        """Of these rows (sorted) the last one of each sample and reviewer, sorted."""
        key = self.sample[rows] * max(len(self.reviewers), 1) + self.reviewer[rows]
        _, last = np.unique(key[::-1], return_index=True)
        return np.sort(rows[::-1][last])

    @cached_property
    def current(self) -> np.ndarray:
        """Rows of the verdicts that count: the last that stands of each sample and reviewer."""
        return self.latest(np.flatnonzero(self.standing))

    def plus(self, rows: pa.Table) -> Log:
        """This log with further lines."""
        names = [*self.reviewers]
        for name in rows["reviewer"].unique().to_pylist():
            names += [] if name in names else [name]
        more = _columns(rows, names)
        return replace(
            self, reviewers=names,
            **{key: np.concatenate([getattr(self, key), value]) for key, value in more.items()},
        )  # fmt: skip


def read(frame: Frame) -> Log:
    """The log as it is now, from a cache where it has not changed."""
    with frame.store.steady():
        return frame.cached("verdicts", frame.store.stamp("verdicts"), lambda: _load(frame))


def _load(frame: Frame) -> Log:
    rows = frame.store.read("verdicts", schema.VERDICTS.names)
    rows = schema.VERDICTS.empty_table() if rows is None else rows.sort_by("id")
    empty = Log(**_columns(schema.VERDICTS.empty_table(), []), reviewers=[])
    return empty.plus(rows)


def append(
    frame: Frame, reviewer: str, verdict: np.ndarray, samples: np.ndarray, labels: np.ndarray,
    given: np.ndarray,
) -> int:  # fmt: skip
    """Write one batch of verdicts; they are on disk when this returns. Returns its id.

    verdict: int (n,), codes. labels: int32 (n,), the class that RELABEL gives. given: its class
    now.
    """
    check_reviewer(reviewer)
    with frame.store.writing():
        log = read(frame)
        ids = np.arange(log.next_id, log.next_id + len(samples))
        rows = _rows(ids, np.full(len(ids), ids[0]), samples, reviewer, verdict, labels, given)
        _write(frame, log, rows)
    return int(ids[0])


def append_events(frame: Frame, reviewer: str, event: int, batches: np.ndarray) -> None:
    """Write that these batches are undone, or redone (UNDO, REDO)."""
    check_reviewer(reviewer)
    with frame.store.writing():
        log, count = read(frame), len(batches)
        ids = np.arange(log.next_id, log.next_id + count)
        samples, nothing = np.full(count, NO_SAMPLE), np.full(count, MISSING)
        events = np.full(count, event)
        _write(frame, log, _rows(ids, batches, samples, reviewer, events, nothing, nothing))


def check_reviewer(name: str) -> str:
    if not isinstance(name, str) or not name.strip() or len(name) > REVIEWER_LENGTH:
        raise LabelAuditError(
            f"{name!r} cannot be a reviewer's name: use 1 to {REVIEWER_LENGTH} characters."
        )
    return name


def _write(frame: Frame, log: Log, rows: pa.Table) -> None:
    frame.store.append("verdicts", rows, schema.VERDICTS)
    # Nobody else wrote meanwhile (we hold the lock): no need to read the whole log again.
    frame.cached("verdicts", frame.store.stamp("verdicts"), lambda: log.plus(rows))


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
