"""Blind controls: samples with a known label in the queue, to measure how reliable a reviewer is.

A good control shows the sample's own label: one that two reviewers kept, or that the run is
confident about. A bad control shows another label, the most probable wrong one, to this reviewer
only: it is stored with the answer, never with the sample. Answers are stored in a table of their
own. They are not verdicts: they are not applied, not exported, and not part of any estimate.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError
from ..core.plural import counted
from ..dataset import verdict_log
from ..dataset.arrays import MISSING
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.history_log import now
from ..dataset.verdict_log import KEEP, RELABEL, UNSURE, VERDICTS
from ..ranking.evidence import suggested_labels
from ..storage import schema
from ..storage.schema import REMOVED
from .opinions import opinions
from .queue import Queue, QueueFilter
from .sampling import hashed, insert_at, least_hashed
from .verdicts import Verdict

SURE = 0.9  # from this confidence on, a label that the run predicts too is taken as correct
MOST = 200  # controls in a queue
WITHDRAWN = "withdrawn"  # stored as the verdict when an answer is undone


@dataclass(frozen=True)
class Control:
    """A sample, its true label, and the label that the reviewer is shown. Class names."""

    sample: int
    shown: str
    truth: str
    easy: bool  # no evidence speaks against the shown label


@dataclass(frozen=True)
class Answers:
    """How a reviewer answered controls. Unsure answers are counted separately."""

    bad: int  # controls with a wrong label
    missed: int  # those of them that were kept
    good: int  # controls with their own label
    false_alarms: int  # those of them that were relabelled or removed
    unsure: int

    @property
    def total(self) -> int:
        """Number of answers, without unsure ones."""
        return self.bad + self.good

    def sentence(self, who: str = "You") -> str:
        """Return the result in words: "You answered 19 of 20 controls correctly: …"."""
        correct = self.total - self.missed - self.false_alarms
        return (
            f"{who} answered {correct:,} of {counted(self.total, 'control')} correctly: "
            f"{self.missed:,} of {counted(self.bad, 'wrong label')} missed, "
            f"{counted(self.false_alarms, 'false alarm')} on "
            f"{counted(self.good, 'correct label')}."
        )


def with_controls(
    dataset: Dataset, queue: Queue, wanted: QueueFilter, reviewer: str, every: int
) -> Queue:
    """Return the queue with one control in each stretch of `every` places, at a random place.

    Half of the controls show a wrong label. A reviewer gets the same controls until they are
    answered. Controls are inserted only if all suspects pass the filter; in other queues they would
    be conspicuous. every: at least 2, or 0 for no controls.
    Raises LabelAuditError for another value of `every`.
    """
    if every == 0:
        return queue
    if every < 2:
        raise BadInputError(f"one control per {every} places: give 2 or more, or 0 for none.")
    if not wanted.whole:
        return queue
    count = min(len(queue) // (every - 1), MOST)
    run = dataset.run(wanted.run).name
    controls = _choose(dataset, run, queue, reviewer, count)
    ids = np.array([*controls], np.int64)
    ids = least_hashed(ids, (dataset.created, reviewer, "order"), count)
    rng = np.random.default_rng(int(queue.ids[:1].sum()))
    places = np.arange(len(ids)) * every + rng.integers(0, every, len(ids))
    return Queue(insert_at(queue.ids, ids, places), queue.scope, queue.checks, controls)


def _choose(
    dataset: Dataset, run: str, queue: Queue, reviewer: str, count: int
) -> dict[int, Control]:
    """Choose `count` controls, or as many as there are. Returns them by id."""
    frame, salt = dataset.view().frame, (dataset.created, reviewer)
    with frame.steady():
        hard, sure = _candidates(dataset, run, queue, reviewer)
        # the half is chosen by hash, so that a sample is always a control of the same kind
        is_bad = hashed(sure, (*salt, "bad")) % 2 == 1
        good = [least_hashed(hard, salt, len(hard)), least_hashed(sure[~is_bad], salt, count)]
        good = np.concatenate(good)[: count - count // 2]
        bad = least_hashed(sure[is_bad], salt, count // 2)
        suggested = suggested_labels(dataset, run, bad) if len(bad) else []
        known = np.isin(suggested, frame.classes)  # others cannot be given as a label
        bad, suggested = bad[known], [label for label in suggested if label in frame.classes]
        ids = np.concatenate([good, bad]).astype(np.int64)
        truth = [frame.classes[code] for code in frame.label[frame.positions(ids)]]
        shown = truth[: len(good)] + suggested
        easy = [*np.isin(good, sure), *[False] * len(bad)]
    rows = zip(ids.tolist(), shown, truth, easy, strict=True)
    return {sample: Control(sample, *rest) for sample, *rest in rows}


def _candidates(
    dataset: Dataset, run: str, queue: Queue, reviewer: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return ids of samples with a known label that this reviewer has not answered.

    First those whose label two reviewers kept, then those that the run is confident about. Nobody
    doubted a label of either, and none of them is in the queue.
    """
    view = dataset.view(run)
    frame = view.frame
    log = verdict_log.read(frame)
    said = opinions(log)
    reviewers = np.bincount(said.at, minlength=len(said.samples))
    doubted = said.samples[~said.agreed | (said.target == MISSING)]
    doubted = np.union1d(doubted, log.sample[log.current[log.verdict[log.current] != KEEP]])
    places = frame.positions(said.samples)
    kept = said.agreed & (reviewers > 1) & (said.target == frame.label[places])
    usable = ~frame.tagged(REMOVED)
    answered = np.array([*ControlLog.read(frame).answered(reviewer)], np.int64)
    for excluded in (queue.ids, answered, doubted):
        usable[frame.positions(excluded)] = False
    hard = said.samples[kept & usable[places]]
    usable[frame.positions(np.concatenate([queue.scope, hard]))] = False
    at = view.match(wrong=False).between("confidence", SURE, 1).positions()
    return hard, np.sort(frame.ids[at[usable[at]]])


class Controls:
    """The answers of one reviewer. Every answer is on disk when the call returns."""

    def __init__(self, dataset: Dataset, reviewer: str) -> None:
        self.reviewer = verdict_log.check_reviewer(reviewer)
        self._frame = dataset.view().frame

    def answer(self, control: Control, verdict: str, label: str | None = None) -> int:
        """Store an answer. It replaces an earlier answer to this control. Returns its id.

        Raises LabelAuditError for an unknown verdict, and unless exactly "relabel" has a label.
        """
        if verdict not in VERDICTS or (verdict == VERDICTS[RELABEL]) != (label is not None):
            raise BadInputError(f"{verdict!r} with label {label!r} is not an answer to a control.")
        code, shown, truth = (
            MISSING if name is None else int(self._frame.class_codes([name])[0])
            for name in (label, control.shown, control.truth)
        )
        return self._write(control.sample, verdict, code, shown, truth)

    @property
    def next_id(self) -> int:
        """The id of the next answer."""
        return len(ControlLog.read(self._frame).rows) + 1

    def since(self, first: int) -> set[int]:
        """Return the ids of this reviewer's answers from this one on."""
        rows = ControlLog.read(self._frame).rows[first - 1 :]
        return {row["id"] for row in rows if row["reviewer"] == self.reviewer}

    def undo(self, except_for: Collection[int] = (), batches: Collection[int] = ()) -> int | None:
        """Undo the latest answer, unless a verdict was given after it. Returns its sample.

        except_for, batches: answers, and batches of verdicts, to leave alone, such as those of
        another browser tab.
        """
        with self._frame.transaction():
            row = self._latest(except_for, batches)
            if row is None:
                return None
            self._write(row["sample"], WITHDRAWN, MISSING, row["shown"], row["truth"])
        return row["sample"]

    def can_undo(self, except_for: Collection[int] = (), batches: Collection[int] = ()) -> bool:
        """Whether there is an answer to undo. except_for, batches: as in `undo`."""
        return self._latest(except_for, batches) is not None

    def of(self, sample: int) -> list[Verdict]:
        """Return the answer to this control as a list, empty if there is none."""
        row = ControlLog.read(self._frame).answered(self.reviewer).get(sample)
        if row is None:
            return []
        label = None if row["label"] is None else self._frame.classes[row["label"]]
        return [Verdict(row["verdict"], label, self.reviewer, row["time"])]

    def _latest(self, except_for: Collection[int], batches: Collection[int]) -> dict | None:
        answered = ControlLog.read(self._frame).answered(self.reviewer).values()
        rows = [row for row in answered if row["id"] not in except_for]
        row = max(rows, key=lambda row: row["id"], default=None)
        batch = verdict_log.read(self._frame).undoable(self.reviewer, batches)
        return row if row and (batch is None or row["after"] >= batch) else None

    def _write(self, sample: int, verdict: str, label: int, shown: int, truth: int) -> int:
        frame = self._frame
        with frame.transaction():
            number = self.next_id
            row = {
                "id": number,
                "reviewer": self.reviewer,
                "sample": sample,
                "shown": shown,
                "truth": truth,
                "verdict": verdict,
                "label": None if label == MISSING else label,
                "after": verdict_log.read(frame).next_id - 1,
                "time": now(),
            }
            rows = pa.Table.from_pylist([row], schema=schema.CONTROLS)
            frame.append("controls", rows, schema.CONTROLS)
        return number


def answers(dataset: Dataset, reviewer: str) -> Answers:
    """Count how this reviewer answered the controls so far."""
    rows = ControlLog.read(dataset.view().frame).answered(reviewer).values()
    decided = [row for row in rows if row["verdict"] != VERDICTS[UNSURE]]
    bad = [row for row in decided if row["shown"] != row["truth"]]
    good = [row for row in decided if row["shown"] == row["truth"]]
    return Answers(
        bad=len(bad),
        missed=sum(map(_kept, bad)),
        good=len(good),
        false_alarms=sum(not _kept(row) for row in good),
        unsure=len(rows) - len(decided),
    )


def all_answers(dataset: Dataset) -> dict[str, Answers]:
    """Return the same by reviewer, for everyone who answered a control."""
    names = {row["reviewer"] for row in ControlLog.read(dataset.view().frame).rows}
    found = {name: answers(dataset, name) for name in sorted(names)}
    return {name: each for name, each in found.items() if each.total}


def _kept(row: dict) -> bool:
    """Whether the reviewer kept the shown label, or gave the same one."""
    again = row["verdict"] == VERDICTS[RELABEL] and row["label"] == row["shown"]
    return row["verdict"] == VERDICTS[KEEP] or again


@dataclass(frozen=True)
class ControlLog:
    """All rows of the table of answers, oldest first."""

    rows: list[dict]

    @classmethod
    def read(cls, frame: Frame) -> ControlLog:
        def load() -> ControlLog:
            table = frame.read("controls", schema.CONTROLS.names)
            return cls([] if table is None else table.sort_by("id").to_pylist())

        return frame.derived("controls", ["controls"], load)

    def answered(self, reviewer: str) -> dict[int, dict]:
        """Return the latest row of each sample that this reviewer answered, without undone ones."""
        last = {row["sample"]: row for row in self.rows if row["reviewer"] == reviewer}
        return {s: row for s, row in last.items() if row["verdict"] != WITHDRAWN}
