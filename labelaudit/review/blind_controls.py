"""Blind controls: samples of known label, slipped in among the suspects, measure the reviewer.

A known-good control shows the sample's own label: one that two reviewers kept, or that the run is
sure of. A known-bad one shows another label, the most probable wrong one, to this reviewer only: it
is stored with the answer, never with the sample. What is answered goes into a table of its own and
is no verdict: it is not applied, not exported, and no part of any estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..core.errors import LabelAuditError
from ..dataset import verdict_log
from ..dataset.arrays import MISSING
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.history_log import now
from ..dataset.verdict_log import KEEP, RELABEL, UNSURE, VERDICTS
from ..ranking.evidence import suggested_labels
from ..storage import schema
from ..storage.schema import REMOVED
from .queue import Queue, QueueFilter, Verdict, hashed, least_hashed, mixed, opinions

SURE = 0.9  # confidence from which a label that the run predicts too counts as right
MOST = 200  # controls in a queue
WITHDRAWN = "withdrawn"  # in place of a verdict: the answer before is taken back


@dataclass(frozen=True)
class Control:
    """A sample and the label that the reviewer is shown; class names."""

    sample: int
    shown: str
    truth: str
    easy: bool  # nothing speaks against the shown label


@dataclass(frozen=True)
class Answers:
    """How a reviewer answered controls. `unsure` ones count for neither."""

    bad: int  # shown with a wrong label …
    missed: int  # … and kept
    good: int  # shown with their own label …
    false_alarms: int  # … and relabelled or removed
    unsure: int

    @property
    def total(self) -> int:
        return self.bad + self.good

    def sentence(self, who: str = "You") -> str:
        """You answered 19 of 20 controls right: missed 1 of 10 wrong labels, 0 of 10 …"""
        right = self.total - self.missed - self.false_alarms
        return (
            f"{who} answered {right:,} of {self.total:,} controls right: missed {self.missed:,} of "
            f"{self.bad:,} wrong labels, {self.false_alarms:,} of {self.good:,} false alarms."
        )


def with_controls(
    dataset: Dataset, queue: Queue, wanted: QueueFilter, reviewer: str, every: int
) -> Queue:
    """The queue with a control in each stretch of `every` places, at a place that nobody can guess;
    half of them with a wrong label. Only among all suspects: others would stick out.

    The choice is the same for a reviewer until they are answered. every: at least 2; 0 for none.
    """
    if every == 0:
        return queue
    if every < 2:
        raise LabelAuditError(f"a control in every {every} places: give 2 or more, or 0 for none.")
    if not wanted.whole:
        return queue
    count = min(len(queue) // (every - 1), MOST)
    chosen = _choose(dataset, dataset.run(wanted.run).name, queue, reviewer, count)
    ids = least_hashed(np.array([*chosen], np.int64), (dataset.created, reviewer, "order"), count)
    rng = np.random.default_rng(int(queue.ids[:1].sum()))
    places = np.arange(len(ids)) * every + rng.integers(0, every, len(ids))
    return Queue(mixed(queue.ids, ids, places), queue.scope, queue.checks, chosen)


def _choose(
    dataset: Dataset, run: str, queue: Queue, reviewer: str, count: int
) -> dict[int, Control]:
    """Controls by sample, `count` of them or as many as there are."""
    view, answered = dataset.view(run), Log.read(dataset.view().frame).answered(reviewer)
    frame, salt = view.frame, (dataset.created, reviewer)
    with frame.steady():
        log = verdict_log.read(frame)
        said = opinions(log)
        people = np.bincount(said.at, minlength=len(said.samples))
        doubted = said.samples[~said.agreed | (said.target == MISSING)]
        doubted = np.union1d(doubted, log.sample[log.current[log.verdict[log.current] != KEEP]])
        places = frame.positions(said.samples)
        kept = said.agreed & (people > 1) & (said.target == frame.label[places])
        free = ~frame.tagged(REMOVED)
        for taken in (queue.ids, np.array([*answered], np.int64), doubted):
            free[frame.positions(taken)] = False
        hard = said.samples[kept & free[places]]
        free[frame.positions(np.concatenate([queue.scope, hard]))] = False
        at = view.match(wrong=False).between("confidence", SURE, 1).positions()
        sure = np.sort(frame.ids[at[free[at]]])
        half = hashed(sure, (*salt, "bad")) % 2 == 1  # so that a sample is always of one kind
        good = [least_hashed(hard, salt, len(hard)), least_hashed(sure[~half], salt, count)]
        good = np.concatenate(good)[: count - count // 2]
        bad = least_hashed(sure[half], salt, count // 2)
        ids = np.concatenate([good, bad]).astype(np.int64)
        truth = [frame.classes[code] for code in frame.label[frame.positions(ids)]]
        shown = truth[: len(good)] + (suggested_labels(dataset, run, bad) if len(bad) else [])
        easy = [*np.isin(good, sure), *[False] * len(bad)]
    rows = zip(ids.tolist(), shown, truth, easy, strict=True)
    return {sample: Control(sample, *rest) for sample, *rest in rows}


class Controls:
    """The answers of one reviewer. Every call that writes is on disk when it ends."""

    def __init__(self, dataset: Dataset, reviewer: str) -> None:
        self.reviewer = verdict_log.check_reviewer(reviewer)
        self._frame = dataset.view().frame

    def answer(self, control: Control, verdict: str, label: str | None = None) -> None:
        """Keep what was answered; it takes the place of an earlier answer."""
        if verdict not in VERDICTS or (verdict == "relabel") != (label is not None):
            raise LabelAuditError(f"{verdict!r} with label {label!r} is no answer to a control.")
        self._write(control.sample, verdict, *[
            MISSING if name is None else int(self._frame.class_codes([name])[0])
            for name in (label, control.shown, control.truth)
        ])  # fmt: skip

    def undo(self) -> int | None:
        """Take back the latest answer, if no verdict was given since. Returns its sample."""
        with self._frame.writing():
            row = self._latest()
            if row is None:
                return None
            self._write(row["sample"], WITHDRAWN, MISSING, row["shown"], row["truth"])
        return row["sample"]

    def can_undo(self) -> bool:
        return self._latest() is not None

    def of(self, sample: int) -> list[Verdict]:
        """What was answered to this control: one, or none."""
        row = Log.read(self._frame).answered(self.reviewer).get(sample)
        if row is None:
            return []
        label = None if row["label"] is None else self._frame.classes[row["label"]]
        return [Verdict(row["verdict"], label, self.reviewer, row["time"])]

    def _latest(self) -> dict | None:
        answered = Log.read(self._frame).answered(self.reviewer)
        row = max(answered.values(), key=lambda row: row["id"], default=None)
        batch = verdict_log.read(self._frame).undoable(self.reviewer)
        return row if row and (batch is None or row["after"] >= batch) else None

    def _write(self, sample: int, verdict: str, label: int, shown: int, truth: int) -> None:
        frame = self._frame
        with frame.writing():
            log = Log.read(frame)
            row = {
                "id": len(log.rows) + 1, "reviewer": self.reviewer, "sample": sample,
                "shown": shown, "truth": truth, "verdict": verdict,
                "label": None if label == MISSING else label,
                "after": verdict_log.read(frame).next_id - 1, "time": now(),
            }  # fmt: skip
            rows = pa.Table.from_pylist([row], schema=schema.CONTROLS)
            frame.append("controls", rows, schema.CONTROLS)


def answers(dataset: Dataset, reviewer: str) -> Answers:
    """How this reviewer answered the controls so far."""
    rows = Log.read(dataset.view().frame).answered(reviewer).values()
    sure = [row for row in rows if row["verdict"] != VERDICTS[UNSURE]]
    bad = [row for row in sure if row["shown"] != row["truth"]]
    good = [row for row in sure if row["shown"] == row["truth"]]
    return Answers(
        len(bad), sum(map(_kept, bad)), len(good), sum(not _kept(row) for row in good),
        len(rows) - len(sure),
    )  # fmt: skip


def all_answers(dataset: Dataset) -> dict[str, Answers]:
    """The same of everybody who answered a control, by name."""
    names = {row["reviewer"] for row in Log.read(dataset.view().frame).rows}
    found = {name: answers(dataset, name) for name in sorted(names)}
    return {name: each for name, each in found.items() if each.total}


def _kept(row: dict) -> bool:
    """Whether the shown label was left: kept, or given again."""
    again = row["verdict"] == VERDICTS[RELABEL] and row["label"] == row["shown"]
    return row["verdict"] == VERDICTS[KEEP] or again


@dataclass(frozen=True)
class Log:
    """All lines of the table, oldest first: as many as a person answers."""

    rows: list[dict]

    @classmethod
    def read(cls, frame: Frame) -> Log:
        def load() -> Log:
            table = frame.read("controls", schema.CONTROLS.names)
            return cls([] if table is None else table.sort_by("id").to_pylist())

        with frame.steady():
            return frame.cached("controls", frame.stamp("controls"), load)

    def answered(self, reviewer: str) -> dict[int, dict]:
        """The latest line of each sample that this reviewer answered and did not take back."""
        last = {row["sample"]: row for row in self.rows if row["reviewer"] == reviewer}
        return {s: row for s, row in last.items() if row["verdict"] != WITHDRAWN}
