"""What the desk and the board remember of a sitting: its queue, its place, what was answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import streamlit as st

from ..dataset import Dataset
from ..errors import LabelAuditError
from ..review import ALL, DISAGREED, MINE, TODO, Queue, QueueFilter, Review, make_queue

ASSETS = Path(__file__).with_name("assets")
MODE, ONE, MANY = "mode", "One by one", "Many at once"  # in the address
STATUS = "show"  # in the address: one of these, in words
STATUS_WORDS = {
    TODO: "not yet reviewed by me",
    ALL: "all suspects",
    MINE: "reviewed by me",
    DISAGREED: "reviewers disagree",
}
SAMPLE = "sample"  # in the address: the sample that is shown
CHECK_SECONDS = 5
LOOK_AHEAD = 4096  # places looked through at once for one without a verdict


_workers = ThreadPoolExecutor(2, thread_name_prefix="look-ahead")


@dataclass
class Sitting:
    """One reviewer at one queue. Lives in the browser session."""

    dataset: Dataset
    wanted: QueueFilter
    reviewer: str
    queue: Queue
    version: str  # of all that `queue` and `known` are made from
    checked: float = field(default_factory=time.monotonic)
    place: int = 0  # len(queue): past its end
    answered: dict = field(default_factory=lambda: {"token": None, "number": 0})
    note: str = ""  # said once beside the answer
    known: dict = field(default_factory=dict)  # what was made for the browser, by sample id
    being_made: Future | None = None  # more of `known`

    @property
    def review(self) -> Review:
        return Review(self.dataset, self.reviewer)

    @property
    def current(self) -> int | None:
        return int(self.queue.ids[self.place]) if self.place < len(self.queue) else None

    def go(self, place: int) -> None:
        self.place = min(max(place, 0), len(self.queue))

    def following(self, place: int) -> int:
        """The place after this one that comes next: the first that has no verdict yet, or, where
        samples with verdicts are looked through again, just the next."""
        if self.wanted.status in (MINE, DISAGREED):
            return place + 1
        own = self.review.judged()
        for start in range(place + 1, len(self.queue), LOOK_AHEAD):
            open_ones = ~np.isin(self.queue.ids[start : start + LOOK_AHEAD], own)
            if open_ones.any():
                return start + int(open_ones.argmax())
        return len(self.queue)

    def prepare(self, make: Callable[[], dict]) -> None:
        """Have more of `known` made in the background, one piece at a time."""
        if self.being_made is None:
            self.being_made = _workers.submit(make)

    def collect(self, wait: bool) -> None:
        """Take what was made in the background, if it is ready or waited for."""
        made = self.being_made
        if made and (wait or made.done()):
            self.being_made = None
            if not made.exception():  # else it is made anew where its error can be said
                self.known.update(made.result())

    def answer(self, event: dict | None, act: Callable[[dict], None]) -> None:
        """Do what an event asks for, once, however often the browser sends it."""
        if not event:
            return
        number = {"token": event["token"], "number": event["number"]}
        if number == self.answered:
            return
        self.note = ""
        try:
            act(event)
        except LabelAuditError as error:
            self.note = str(error)
        self.answered = number

    def reverse(self, kind: str) -> None:
        """Undo or redo the latest batch, and go to where it was."""
        samples = self.review.undo() if kind == "undo" else self.review.redo()
        if not len(samples):
            self.note = f"There is nothing to {kind}."
            return
        place = self.queue.place(int(samples[0]))
        self.place = self.place if place is None else place
        if place is None or len(samples) > 1:
            done = "taken back" if kind == "undo" else "given again"
            count = f"{len(samples):,} verdicts are" if len(samples) > 1 else "A verdict is"
            self.note = f"{count} {done}."


def sit_down(
    key: str, dataset: Dataset, wanted: QueueFilter, reviewer: str, answering: bool
) -> Sitting:
    """This session's sitting; a new one where the queue asked for, or what it is of, is another.

    answering: an event of the browser's. Then it is looked up only every CHECK_SECONDS whether
    labels, scores or predictions changed: it would take a quarter of the time of a verdict.
    """
    before: Sitting | None = st.session_state.get(key)
    asked = (dataset.name, wanted, reviewer)
    same = before and asked == (before.dataset.name, before.wanted, before.reviewer)
    if same and answering and time.monotonic() - before.checked < CHECK_SECONDS:
        return before
    with dataset.view().frame.store.steady():
        version = str(hash((dataset.created, dataset.view(wanted.run).fields.stamp())))
        if same and version == before.version:
            before.checked = time.monotonic()
            return before
        queue = make_queue(dataset, wanted, reviewer)
        new = Sitting(dataset, wanted, reviewer, queue, version)
        new.place = _first_place(new, before)
        if before:
            new.answered = before.answered
        st.session_state[key] = new
        return new


def empty_words(wanted: QueueFilter) -> str:
    """What to say where the queue holds nothing."""
    if wanted.status == TODO:
        return "Nothing is left to review here: you have a verdict on every one, or none fits."
    if wanted.status == DISAGREED:
        return "No two reviewers say different things of a sample here."
    return "No sample fits these filters: widen them in the sidebar."


def _first_place(new: Sitting, before: Sitting | None) -> int:
    """Where the address says, or where the reviewer was, or the first without a verdict."""
    asked = st.query_params.get(SAMPLE, "")
    wanted = before.current if before and before.dataset.name == new.dataset.name else None
    for sample in (int(asked) if asked.isdecimal() else None, wanted):
        place = None if sample is None else new.queue.place(sample)
        if place is not None:
            return place
    place = new.following(-1)
    return place if place < len(new.queue) else 0
