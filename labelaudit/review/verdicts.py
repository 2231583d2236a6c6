"""The verdicts of one reviewer: give, undo, redo, and count them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadInputError, NotFoundError
from ..dataset import verdict_log
from ..dataset.arrays import MISSING, as_ids
from ..dataset.target import Target, as_dataset, opened
from ..dataset.verdict_log import KEEP, REDO, RELABEL, REMOVE, UNDO, VERDICTS
from ..dataset.view import View
from ..features.duplicates import has_copy

if TYPE_CHECKING:
    from .queue import Queue

RECENT = 50  # verdicts in the recent yield


@dataclass(frozen=True)
class Verdict:
    """What one reviewer says about one sample."""

    verdict: str  # one of VERDICTS
    label: str | None  # the class that "relabel" gives
    reviewer: str
    time: str


@dataclass(frozen=True)
class Reviewed:
    """A reviewer's progress in a queue."""

    total: int  # samples that pass the filter, whatever their verdicts
    reviewed: int  # those with a verdict of this reviewer
    wrong: int  # those of them to be relabelled or removed, without removed duplicates
    recent: int  # the reviewer's latest verdicts on any sample, at most RECENT
    recent_wrong: int  # those of them that found a wrong label
    checks: int | None  # random checks among `reviewed`; None in a queue without them


class Review:
    """The verdicts of one reviewer on a dataset. Every verdict is on disk when the call returns.

    Verdicts do not change labels; `labelaudit.apply_verdicts` does.
    """

    def __init__(self, dataset: Target, reviewer: str) -> None:
        """dataset: or its name, or a view: then verdicts on other samples are refused."""
        target, self.reviewer = opened(dataset), verdict_log.check_reviewer(reviewer)
        self._only = target if isinstance(target, View) and target.steps else None
        self.dataset = as_dataset(target)
        self._frame = self.dataset.view().frame

    def decide(
        self,
        ids: int | Sequence[int] | np.ndarray,
        verdict: str,
        label: str | Sequence[str] | None = None,
        *,
        seen: Sequence[str | None] | None = None,
        earlier: Sequence[tuple[str, str | None] | None] | None = None,
    ) -> int:
        """Give samples one verdict. It replaces this reviewer's earlier verdict on them.

        ids: one id, or (n,). verdict: keep, relabel, remove or unsure. label: for relabel, a class
        for all samples or one for each. A sample that is relabelled as its current label is kept.
        seen: the labels that the reviewer was shown. earlier: this reviewer's verdict on each
        sample as it was shown, (verdict, label), None for none. Returns the number of the batch,
        which is undone as a whole.
        Raises BadInputError for an unknown verdict or class, and if a label differs from `seen`, or
        a verdict from `earlier`, by now; NotFoundError for an unknown id. Then no verdict is
        stored.
        """
        _check_verdict(verdict, label)
        ids = as_ids(ids)
        if not len(ids):
            raise BadInputError("no sample was given: choose at least one.")
        if self._only is not None:
            outside = ids[~np.isin(ids, self._only.ids)]
            if len(outside):
                raise NotFoundError(f"sample {outside[0]} is not in the view that is reviewed.")
        with self._frame.transaction():
            with self._frame.steady():
                given = self._frame.label[self._frame.positions(ids)]
            self._check_seen(ids, given, seen)
            self._check_earlier(ids, earlier)
            labels = self._label_codes(label, len(ids))
            code = VERDICTS.index(verdict)
            same = (code == RELABEL) & (labels == given)
            verdicts, labels = np.where(same, KEEP, code), np.where(same, MISSING, labels)
            return verdict_log.append(self._frame, self.reviewer, verdicts, ids, labels, given)

    def _label_codes(self, label: str | Sequence[str] | None, count: int) -> np.ndarray:
        """Return the class index for each of the samples, int32 (count,)."""
        if label is None:
            return np.full(count, MISSING, np.int32)
        names = [label] * count if isinstance(label, str) else list(label)
        labels = self._frame.class_codes(names)
        if len(labels) != count or (labels == MISSING).any():
            raise BadInputError(f"give each of the {count} samples a class.")
        return labels

    def _check_seen(
        self, ids: np.ndarray, given: np.ndarray, seen: Sequence[str | None] | None
    ) -> None:
        if seen is None:
            return
        changed = np.flatnonzero(self._frame.class_codes(seen) != given)
        if len(changed):
            raise BadInputError(
                f"sample {ids[changed[0]]} was relabelled in the meantime: look at it again, then "
                "decide."
            )

    def _check_earlier(
        self, ids: np.ndarray, earlier: Sequence[tuple[str, str | None] | None] | None
    ) -> None:
        if earlier is None:
            return
        for sample, shown, verdicts in zip(ids, earlier, self.of(ids), strict=True):
            own = next((each for each in verdicts if each.reviewer == self.reviewer), None)
            if (own and (own.verdict, own.label)) != (shown and tuple(shown)):
                now = f"{own.verdict} {own.label or ''}".strip() if own else "no verdict"
                raise BadInputError(
                    f"your verdict on sample {sample} was changed in another window ({now}): look "
                    "at it again, then decide."
                )

    def undo(self, except_for: Collection[int] = ()) -> np.ndarray:
        """Undo this reviewer's latest batch. Returns its samples, int64 (n,); empty without one.

        except_for: batches to leave alone, such as those of another browser tab.
        """
        return self._reverse(UNDO, except_for)

    def redo(self, except_for: Collection[int] = ()) -> np.ndarray:
        """Redo the batch that was undone last, unless there are newer verdicts.

        except_for: as in `undo`. Returns its samples, int64 (n,).
        """
        return self._reverse(REDO, except_for)

    def _reverse(self, event: int, except_for: Collection[int]) -> np.ndarray:
        with self._frame.transaction():
            log = verdict_log.read(self._frame)
            find = log.undoable if event == UNDO else log.redoable
            batch = find(self.reviewer, except_for)
            if batch is None:
                return np.empty(0, np.int64)
            verdict_log.append_events(self._frame, self.reviewer, event, np.array([batch]))
        return log.samples_of(batch)

    def judged(self) -> np.ndarray:
        """Return the samples with a verdict of this reviewer, int64 (n,), in verdict order."""
        log = verdict_log.read(self._frame)
        current = log.current
        return log.sample[current[log.reviewer[current] == log.code(self.reviewer)]]

    def reviewers(self) -> list[str]:
        """Return the names of everyone with at least one verdict that was not undone."""
        log = verdict_log.read(self._frame)
        return [log.reviewers[code] for code in np.unique(log.reviewer[log.current])]

    def can(self, except_for: Collection[int] = ()) -> tuple[bool, bool]:
        """Return whether there is something to undo, and to redo. except_for: as in `undo`."""
        log = verdict_log.read(self._frame)
        found = (find(self.reviewer, except_for) for find in (log.undoable, log.redoable))
        can_undo, can_redo = (batch is not None for batch in found)
        return can_undo, can_redo

    def of(self, ids: Sequence[int] | np.ndarray) -> list[list[Verdict]]:
        """Return the verdicts on each of these ids, (n,), this reviewer's first."""
        log = verdict_log.read(self._frame)
        rows = log.current
        rows = rows[np.isin(log.sample[rows], as_ids(ids))]
        own = log.code(self.reviewer)
        found: dict[int, list[Verdict]] = {}
        for row in sorted(rows, key=lambda row: log.reviewer[row] != own):
            found.setdefault(int(log.sample[row]), []).append(self._verdict(log, row))
        return [found.get(int(sample), []) for sample in as_ids(ids)]

    def _verdict(self, log: verdict_log.VerdictLog, row: int) -> Verdict:
        label = log.label[row]
        return Verdict(
            VERDICTS[log.verdict[row]],
            None if label == MISSING else self._frame.classes[label],
            log.reviewers[log.reviewer[row]],
            log.time[row],
        )

    def progress(self, queue: Queue) -> Reviewed:
        """Return this reviewer's progress in a queue that `make_queue` returned."""
        log = verdict_log.read(self._frame)
        rows = log.current
        rows = rows[log.reviewer[rows] == log.code(self.reviewer)]
        removed = log.verdict[rows] == REMOVE
        if removed.any():
            removed[removed] = ~has_copy(self.dataset, log.sample[rows[removed]])
        wrong = removed | (log.verdict[rows] == RELABEL)
        inside = queue.covers(log.sample[rows])
        return Reviewed(
            total=len(queue.scope),
            reviewed=int(inside.sum()),
            wrong=int((inside & wrong).sum()),
            recent=len(rows[-RECENT:]),
            recent_wrong=int(wrong[-RECENT:].sum()),
            checks=int(np.isin(log.sample[rows], [*queue.checks]).sum()) if queue.checks else None,
        )


def _check_verdict(verdict: str, label: object) -> None:
    if verdict not in VERDICTS:
        raise BadInputError(f"there is no verdict {verdict!r}: use one of {', '.join(VERDICTS)}.")
    if verdict == VERDICTS[RELABEL] and label is None:
        raise BadInputError("relabel needs a label: give a class.")
    if verdict != VERDICTS[RELABEL] and label is not None:
        raise BadInputError(f"{verdict!r} takes no label ({label!r} was given).")
