"""What the desk and the board remember of a sitting: its queue, its place, what was answered."""

from __future__ import annotations

import itertools
import logging
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from ..review.advice import AHEAD
from ..review.blind_controls import Control, Controls, with_controls
from ..review.estimate import estimate_wrong, has_suspicion
from ..review.queue import ALL, DISAGREED, MINE, TODO, Queue, QueueFilter, make_queue
from ..review.verdicts import Review, Verdict
from .words import sentence

log = logging.getLogger(__name__)

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
WRITTEN = "sample-written"  # in the session: what the desk wrote there
CHECK_SECONDS = 5


_workers = ThreadPoolExecutor(2, thread_name_prefix="look-ahead")


@dataclass
class Sitting:
    """One reviewer at one queue. Lives in the browser session, until the page is drawn anew."""

    dataset: Dataset
    wanted: QueueFilter
    reviewer: str
    queue: Queue
    version: str  # of all that `queue` and `known` are made from
    session: str  # events of another session are not for this one
    number: int = field(default_factory=itertools.count().__next__)  # tells it from others
    checked: float = field(default_factory=time.monotonic)
    place: int = 0  # len(queue): past its end
    answered: dict = field(default_factory=lambda: {"token": None, "number": 0})
    note: str = ""  # said once beside the answer
    failed: bool = False  # the note says why nothing was done
    controls: int = 0  # one place in so many is a control; 0: none
    known: dict = field(default_factory=dict)  # what was made for the browser, by sample id
    being_made: Future | None = None  # more of `known`

    def __post_init__(self) -> None:
        self.review = Review(self.dataset, self.reviewer)
        self.answers = Controls(self.dataset, self.reviewer)
        self._open = ~np.isin(self.queue.ids, self.review.judged())
        self._open[self.queue.places(np.array([*self.queue.controls], np.int64))] = True
        # of what the browser draws: a control shows another label than its sample has
        self.drawn = f"{self.version}-{hash((self.controls, *self.queue.controls.values()))}"

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
        rest = self._open[place + 1 :]
        return place + 1 + int(rest.argmax()) if rest.any() else len(self.queue)

    def decide(self, ids: np.ndarray, verdict: str, label, seen: list | None) -> None:
        """Give a verdict; it is on disk when this returns."""
        self.review.decide(ids, verdict, label, seen=seen)
        self._open[self._places(ids)] = False

    def answer_control(self, control: Control, verdict: str, label, seen: list) -> None:
        """Keep what was answered to a control, which is no verdict."""
        if seen != [control.shown]:  # it was drawn before the controls came in
            raise LabelAuditError("the queue changed meanwhile: look at it again, then decide.")
        self.answers.answer(control, verdict, label)
        self._open[self.queue.place(control.sample)] = False

    def said(self, sample: int) -> list[Verdict]:
        """What is said of a sample; of a control only what this reviewer answered."""
        if sample in self.queue.controls:
            return self.answers.of(sample)
        return self.review.of([sample])[0]

    def upcoming(self, count: int) -> np.ndarray:
        """The next samples to be judged, from the place on; controls are none."""
        ids = self.queue.ids[self.place :]
        ids = ids[self._open[self.place :]][: count + len(self.queue.controls)]
        return ids[~np.isin(ids, [*self.queue.controls])][:count]

    def reverse(self, kind: str) -> None:
        """Undo or redo the latest batch, and go to where it was. An answer to a control is taken
        back in its turn, and not given again by redo: it is to be seen once more."""
        if kind == "undo" and (control := self.answers.undo()) is not None:
            place = self.queue.place(control)
            if place is None:
                self.note = "A verdict is taken back."
            else:
                self._open[place], self.place = True, place
            return
        samples = self.review.undo() if kind == "undo" else self.review.redo()
        if not len(samples):
            self.note = f"There is nothing to {kind}."
            return
        inside = samples[self.queue.holds(samples)]
        self._open[self._places(inside)] = ~np.isin(inside, self.review.judged())
        if len(samples) == 1 and len(inside):
            self.place = self.queue.place(int(inside[0]))
        if len(samples) > 1 or not len(inside):
            done = "taken back" if kind == "undo" else "given again"
            count = f"{len(samples):,} verdicts are" if len(samples) > 1 else "A verdict is"
            self.note = f"{count} {done}."

    @property
    def choosable(self) -> np.ndarray:
        """What "all" means: the queue, but for what got its verdict while one looks for those that
        have none."""
        return self.queue.ids[self._open] if self.wanted.status == TODO else self.queue.ids

    def _places(self, ids: np.ndarray) -> np.ndarray:
        return self.queue.places(ids[self.queue.holds(ids)])

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

    def shown(self) -> dict:
        """What the browser needs wherever it is: what was answered, how far the reviewer is."""
        can_undo, can_redo = self.review.can()
        return {
            "answered": self.answered,
            "session": self.session,
            "sitting": self.number,
            "version": self.drawn,
            "note": self.note,
            "failed": self.failed,
            "empty": _empty_words(self.wanted),
            "reviewer": self.reviewer,
            "total": len(self.queue),
            # beside controls they are not counted: the easy ones pass for checks
            "checks": 0 if self.queue.controls else len(self.queue.checks),
            "progress": vars(self.review.progress(self.queue)),
            "estimate": self.estimate(),
            "can_undo": can_undo or self.answers.can_undo(),
            "can_redo": can_redo,
            "classes": self.dataset.classes,
        }

    def estimate(self) -> dict:
        """How many are wrong, in words, and whether to go on; of a run that can say it."""
        if not has_suspicion(self.dataset, self.wanted.run):
            looked = self.dataset.run(self.wanted.run).is_first_look
            text = f"{'Train' if looked else 'Score the run'} to see how many are left."
            return {"text": text, "advice": "", "stop": False}
        found = estimate_wrong(self.dataset, self.wanted.run)
        ids = self.upcoming(AHEAD)
        ahead, n = found.expected_in(ids), len(ids)
        who = "You have" if len(self.review.reviewers()) < 2 else "Together you have"
        stop, advice = found.advice(ahead, n, queued=int(self._open[self.place :].sum()))
        return {"text": found.sentence(ahead, n, who), "advice": advice, "stop": stop}

    def answer(self, event: dict | None, act: Callable[[dict], None]) -> None:
        """Do what an event asks for, once, however often the browser sends it."""
        if not event:
            return
        number = {"token": event["token"], "number": event["number"]}
        if number == self.answered:
            return
        self.note, self.failed = "", False
        self.answered = number
        if event["session"] != self.session:  # it may have been done before the app went down
            self.note = "The app was restarted: look whether your last verdict is there."
            return
        try:
            act(event)
        except LabelAuditError as error:
            self.note, self.failed = sentence(str(error)), True
        except Exception as error:  # the browser waits for an answer
            log.exception("event %s of a sitting", event["kind"])
            self.note, self.failed = f"That went wrong: {error}. The log has more.", True


def browser_part(name: str):
    """A component of assets/: labels, names and paths go to it as data, and are text there."""
    parts = (ASSETS / "channel.js", ASSETS / f"{name}.js")
    return st.components.v2.component(
        f"labelaudit_{name}",
        html=(ASSETS / f"{name}.html").read_text(),
        css=(ASSETS / "review.css").read_text(),
        js="".join(part.read_text() for part in parts),
    )


def work(
    key: str,
    draw: Callable,
    sit: tuple[Dataset, QueueFilter, str, int],
    act: Callable[[Sitting, dict], None],
    data: Callable[[Sitting, dict | None], dict],
) -> None:
    """One run of a fragment: do what the browser asked for, and give it what to draw.

    sit: dataset, filter, reviewer, and one place in how many is a control. act: does what only
    this part of the page knows.
    """
    event = (st.session_state.get(f"{key}-view") or {}).get("event")
    sitting = _sit_down(key, *sit, answering=bool(event))
    sitting.answer(event, lambda event: act(sitting, event))
    if sitting.current is not None:
        st.session_state[WRITTEN] = sitting.current
        st.query_params[SAMPLE] = str(sitting.current)
    with sitting.dataset.view().frame.store.steady():
        shown = sitting.shown() | data(sitting, event)
    draw(key=f"{key}-view", data=shown, on_event_change=lambda: None)


def _sit_down(
    key: str,
    dataset: Dataset,
    wanted: QueueFilter,
    reviewer: str,
    controls: int,
    answering: bool,
) -> Sitting:
    """A sitting at this queue: a new one when the page is drawn, the same while it is worked on.

    answering: an event of the browser's. Then it is looked up only every CHECK_SECONDS whether
    labels, scores or predictions changed: it would take a quarter of the time of a verdict.
    """
    before: Sitting | None = st.session_state.get(key)
    asked = (dataset.name, wanted, reviewer, controls)
    same = before and asked == (
        before.dataset.name, before.wanted, before.reviewer, before.controls)  # fmt: skip
    if same and answering and time.monotonic() - before.checked < CHECK_SECONDS:
        return before
    with dataset.view().frame.store.steady():
        version = str(hash((dataset.created, dataset.view(wanted.run).fields.stamp())))
        if same and answering and version == before.version:
            before.checked = time.monotonic()
            return before
        queue = make_queue(dataset, wanted, reviewer)
        queue = with_controls(dataset, queue, wanted, reviewer, controls)
        session = st.session_state.setdefault(f"{key}-session", uuid.uuid4().hex)
        linked = _linked_sample(before)
        if (
            linked is not None
            and queue.place(linked) is None
            and _can_show(dataset, wanted, linked)
        ):
            ids = np.concatenate([[linked], queue.ids])
            queue = Queue(ids, queue.scope, queue.checks, queue.controls)
        new = Sitting(dataset, wanted, reviewer, queue, version, session, controls=controls)
        if before:
            new.answered = before.answered
            new.known = before.known if new.drawn == before.drawn else {}
        new.place = _first_place(new, before, linked)
        st.session_state[key] = new
        return new


def _linked_sample(before: Sitting | None) -> int | None:
    """The sample that the address asks for, unless the desk itself has written it there."""
    asked = st.query_params.get(SAMPLE, "")
    sample = int(asked) if asked.isdecimal() and len(asked) < 19 else None
    return None if before and st.session_state.get(WRITTEN) == sample else sample


def _can_show(dataset: Dataset, wanted: QueueFilter, sample: int) -> bool:
    """Whether there is such a sample, with a prediction."""
    return len(dataset.view(wanted.run).above("confidence", 0).select([sample])) > 0


def _empty_words(wanted: QueueFilter) -> str:
    """What to say where the queue holds nothing."""
    if wanted.status == TODO:
        return "Nothing is left to review here: you have a verdict on every one, or none fits."
    if wanted.status == DISAGREED:
        return "No two reviewers say different things of a sample here."
    return "No sample fits these filters: widen them in the sidebar."


def _first_place(new: Sitting, before: Sitting | None, linked: int | None) -> int:
    """Where the address says, or where the reviewer was, or the first without a verdict."""
    here = before.current if before and before.dataset.name == new.dataset.name else None
    for sample in (linked, here):
        place = None if sample is None else new.queue.place(sample)
        if place is not None:
            return place
    place = new.following(-1)
    return place if place < len(new.queue) else 0
