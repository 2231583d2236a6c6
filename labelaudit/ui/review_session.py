"""What one reviewer's session at a queue remembers: the queue, the place, answered events."""

from __future__ import annotations

import itertools
import logging
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import streamlit as st

from ..core.errors import BadInputError, LabelAuditError
from ..dataset import verdict_log
from ..dataset.dataset import Dataset
from ..dataset.verdict_log import VerdictLog
from ..review.blind_controls import Control, Controls, with_controls
from ..review.estimate import estimate_wrong, has_suspicion
from ..review.notes import write_note
from ..review.queue import DISAGREED, MINE, TODO, Queue, QueueFilter, make_queue
from ..review.verdicts import Review, Verdict
from . import review_keys
from .confidence import confidence_note
from .review_address import SAMPLE, WRITTEN, empty_message
from .review_events import MORE_IMAGES
from .review_tab import Tab, this_tab
from .text import sentence
from .total import provisional

log = logging.getLogger(__name__)

CHECK_SECONDS = 5

_workers = ThreadPoolExecutor(2, thread_name_prefix="prefetch")


@dataclass
class ReviewSession:
    """One reviewer at one queue. Stored in the browser session until the page is drawn again."""

    dataset: Dataset
    wanted: QueueFilter
    reviewer: str
    queue: Queue
    version: str  # of everything that `queue` and `items` are made from
    browser_session: str  # events of another browser session are ignored
    tab: Tab
    number: int = field(default_factory=itertools.count().__next__)  # unique per object
    checked: float = field(default_factory=time.monotonic)
    place: int = 0  # len(queue) at its end
    answered: dict = field(default_factory=lambda: {"token": None, "number": 0})
    note: str = ""  # shown once, with the answer to an event
    failed: bool = False  # whether the note is an error
    full: int | None = None  # a sample that the browser wants at full resolution
    offer: dict | None = None  # similar images with the same wrong label as the last sample
    question: dict | None = None  # to confirm before a whole queue gets a verdict
    linked: int | None = None  # the sample in the address that opened the queue
    controls: int = 0  # one in this many places is a blind control; 0: none
    items: dict = field(default_factory=dict)  # what the browser draws, by sample id
    prefetched: Future | None = None  # more items, made in the background

    def __post_init__(self) -> None:
        self.review = Review(self.dataset, self.reviewer)
        self.answers = Controls(self.dataset, self.reviewer)
        self._answered_controls: set[int] = set()
        self._find_open()
        # Controls are part of it, because a control shows another label than its sample has.
        self.items_version = (
            f"{self.version}-{hash((self.controls, *self.queue.controls.values()))}"
        )

    @property
    def requested(self) -> tuple:
        """What the page asked for: another request needs another session."""
        return self.dataset.name, self.wanted, self.reviewer, self.controls

    @property
    def current(self) -> int | None:
        """Id of the current sample; None at the end of the queue."""
        return int(self.queue.ids[self.place]) if self.place < len(self.queue) else None

    def _find_open(self) -> None:
        """Find the samples in the queue without a verdict of this reviewer."""
        self._open = ~np.isin(self.queue.ids, self.review.judged())
        controls = np.array([*self.queue.controls], np.int64)
        self._open[self.queue.places(controls)] = ~np.isin(controls, [*self._answered_controls])
        self._known_rows = len(self._log())

    def _log(self) -> VerdictLog:
        return verdict_log.read(self.dataset.view().frame)

    def follow_other_tabs(self) -> None:
        """Take over the verdicts that were given elsewhere since the last event."""
        log = self._log()
        rows = slice(self._known_rows, len(log))
        if (log.reviewer[rows] == log.code(self.reviewer)).any():
            self._find_open()
        self._known_rows = len(log)

    def go_to(self, place: int) -> None:
        self.place = min(max(place, 0), len(self.queue))

    def next_place(self, place: int) -> int:
        """The next place without a verdict; when reviewing verdicts again, simply the next one."""
        if self.wanted.status in (MINE, DISAGREED):
            return place + 1
        rest = self._open[place + 1 :]
        return place + 1 + int(rest.argmax()) if rest.any() else len(self.queue)

    def decide(
        self,
        ids: np.ndarray,
        verdict: str,
        label,
        seen: list | None,
        earlier: list | None = None,
    ) -> None:
        """Store a verdict for each of the samples. It is durable when this returns."""
        self.tab.own.add(self.review.decide(ids, verdict, label, seen=seen, earlier=earlier))
        self._known_rows = len(self._log())
        self._open[self._places(ids)] = False

    def answer_control(self, control: Control, verdict: str, label, seen: list) -> None:
        """Store the answer to a control, which is not a verdict."""
        if seen != [control.shown]:  # the browser drew the sample before it became a control
            raise BadInputError("the queue has changed: look at the image again, then decide.")
        self.tab.own_answers.add(self.answers.answer(control, verdict, label))
        self._answered_controls.add(control.sample)
        self._open[self.queue.place(control.sample)] = False

    def verdicts_on(self, sample: int) -> list[Verdict]:
        """All verdicts on a sample; of a control, only this reviewer's answer; in a share, those of
        others only after the own one, so that their agreement means something."""
        if sample in self.queue.controls:
            return self.answers.of(sample)
        found = self.review.of([sample])[0]
        is_hidden = self.wanted.share and all(each.reviewer != self.reviewer for each in found)
        return [] if is_hidden else found

    def undo_or_redo(self, kind: str) -> None:
        """Undo or redo the latest batch of verdicts and go to its sample.

        An answer to a control can be undone but not redone: the reviewer sees the control again.
        """
        others = self.tab.others(self._log(), self.reviewer)
        other_answers = self.tab.other_answers(self.answers)
        if kind == "undo" and (control := self.answers.undo(other_answers, others)) is not None:
            place = self.queue.place(control)
            if place is None:
                self.note = "1 verdict undone."
            else:
                self._answered_controls.discard(control)
                self._open[place], self.place = True, place
            return
        samples = self.review.undo(others) if kind == "undo" else self.review.redo(others)
        self._known_rows = len(self._log())
        if not len(samples):
            self.note = f"Nothing to {kind} in this tab."
            return
        inside = samples[self.queue.holds(samples)]
        self._open[self._places(inside)] = ~np.isin(inside, self.review.judged())
        if len(samples) == 1 and len(inside):
            self.place = self.queue.place(int(inside[0]))
        if len(samples) > 1 or not len(inside):
            done = "undone" if kind == "undo" else "redone"
            self.note = f"{len(samples):,} verdict{'s' if len(samples) > 1 else ''} {done}."

    @property
    def selectable(self) -> np.ndarray:
        """Ids that "select all" means: the queue, without the samples that just got a verdict if
        the filter asks for samples without one."""
        return self.queue.ids[self._open] if self.wanted.status == TODO else self.queue.ids

    def _places(self, ids: np.ndarray) -> np.ndarray:
        return self.queue.places(ids[self.queue.holds(ids)])

    def prefetch(self, make_items: Callable[[], dict]) -> None:
        """Make more items in the background, unless that is already happening."""
        if self.prefetched is None:
            self.prefetched = _workers.submit(make_items)

    def collect(self, wait: bool) -> None:
        """Take the prefetched items if they are ready; with `wait`, wait for them."""
        future = self.prefetched
        if future and (wait or future.done()):
            self.prefetched = None
            if not future.exception():  # the error is raised again when the item is needed
                self.items.update(future.result())

    def state(self) -> dict:
        """What the browser needs in both modes: the answered event, messages and progress."""
        others = self.tab.others(self._log(), self.reviewer)
        can_undo, can_redo = self.review.can(others)
        classes = self.dataset.offered_classes
        return {
            "answered": self.answered,
            "session": self.browser_session,
            "queue_number": self.number,
            "version": self.items_version,
            "note": self.note,
            "failed": self.failed,
            "empty": empty_message(self.wanted),
            "reviewer": self.reviewer,
            "total": len(self.queue),
            # not counted beside controls: the easy controls look like random checks
            "progress": self.progress(),
            "estimate": self.estimate(),
            "can_undo": can_undo
            or self.answers.can_undo(self.tab.other_answers(self.answers), others),
            "can_redo": can_redo,
            "classes": classes,
            "keys": vars(review_keys.read_keys(self.reviewer, self.dataset.name, classes)),
        }

    def change_keys(self, event: dict) -> None:
        """Store a changed key of the reviewer; see `review_keys.change`."""
        review_keys.change(self.reviewer, self.dataset.name, self.dataset.offered_classes, event)

    def write_note(self, sample: int, text: str, seen: str) -> None:
        """Store the note of a sample; see `review.notes.write_note`. The first note adds a field to
        the dataset, for which the queue need not be made anew."""
        is_current = self.version == _version(self.dataset, self.wanted)
        write_note(self.dataset, sample, text, seen)
        if is_current:
            self.version = _version(self.dataset, self.wanted)

    def progress(self) -> dict:
        """The fields of `Reviewed`. Checks are not counted beside controls, because the easy
        controls look like random checks."""
        hidden = {"checks": None} if self.queue.controls else {}
        return vars(self.review.progress(self.queue)) | hidden

    @cached_property
    def note_on_probabilities(self) -> str | None:
        """Why probabilities are not shown; None if they are."""
        return confidence_note(self.dataset.view(self.dataset.run(self.wanted.run).name))

    @cached_property
    def note_on_run(self) -> str:
        """Whether a running job will refine the run's results, as a sentence; else ""."""
        return provisional(self.dataset, self.dataset.run(self.wanted.run).name)

    def estimate(self) -> dict:
        """How many labels are wrong, and whether to stop, as text; if the run can tell.

        `how`: sentences that explain the number; `warning`: see `Estimate.warning`.
        """
        nothing = {"advice": "", "stop": False, "how": [], "warning": ""}
        if not has_suspicion(self.dataset, self.wanted.run):
            is_first_look = self.dataset.run(self.wanted.run).is_first_look
            action = "Take the first look again" if is_first_look else "Score the run"
            text = f"{action} to estimate how many wrong labels are left."
            return {**nothing, "text": self.note_on_probabilities or text}
        found = estimate_wrong(self.dataset, self.wanted.run)
        stop, advice = found.advice()
        if self.note_on_probabilities:  # what the checks prove holds all the same
            text = self.note_on_probabilities
            return {**nothing, "text": text, "advice": advice, "stop": stop}
        if self.wanted.of_all and not self.wanted.everything:  # not chosen by their labels
            return {**nothing, "text": found.headline(), "how": found.explanation()}
        return {
            "text": found.headline(),
            "advice": advice,
            "stop": stop,
            "how": found.explanation(),
            "warning": " ".join(filter(None, [self.note_on_run, found.warning])),
        }

    def answer(self, event: dict | None, act: Callable[[dict], None]) -> None:
        """Handle an event once, no matter how often the browser sends it."""
        if not event:
            return
        number = {"token": event["token"], "number": event["number"]}
        if number == self.answered:
            return
        if event["kind"] != MORE_IMAGES:  # which the browser sends by itself
            self.note, self.failed = "", False
        self.answered = number
        if event["session"] != self.browser_session:  # perhaps handled before the app ended
            self.note = "The app was restarted. Check that your last verdict was stored."
            return
        try:
            self.follow_other_tabs()
            act(event)
        except LabelAuditError as error:
            self.note, self.failed = sentence(str(error)), True
        except Exception as error:  # the browser waits for an answer
            log.exception("review event %s", event["kind"])
            self.note = f"Something went wrong: {error}. See the log for details."
            self.failed = True


def run(
    key: str,
    draw: Callable,
    queue: tuple[Dataset, QueueFilter, str, int],
    act: Callable[[ReviewSession, dict], None],
    data: Callable[[ReviewSession, dict | None], dict],
) -> None:
    """Run a review fragment once: handle the browser's event, then send it what to draw.

    queue: dataset, filter, reviewer, and one in how many places is a control. act: handles the
    events of this mode. data: returns what this mode draws.
    """
    event = (st.session_state.get(f"{key}-view") or {}).get("event")
    session = _open_session(key, *queue, answering=bool(event))
    session.answer(event, lambda event: act(session, event))
    if session.current is not None:
        st.session_state[WRITTEN] = session.current
        st.query_params[SAMPLE] = str(session.current)
    with session.dataset.view().frame.steady():
        state = session.state() | data(session, event)
    draw(key=f"{key}-view", data=state, on_event_change=lambda: None)


def _open_session(
    key: str,
    dataset: Dataset,
    wanted: QueueFilter,
    reviewer: str,
    controls: int,
    answering: bool,
) -> ReviewSession:
    """Return the session at this queue: a new one when the page is drawn, else the same one.

    answering: whether the browser sent an event. Then changes of labels, scores and predictions are
    checked only every CHECK_SECONDS, as a check takes a quarter of the time of a verdict.
    """
    before: ReviewSession | None = st.session_state.get(key)
    requested = (dataset.name, wanted, reviewer, controls)
    same: ReviewSession | None = None  # the session, if it answers an event of the same queue
    if before and answering and requested == before.requested:
        same = before
    if same and time.monotonic() - same.checked < CHECK_SECONDS:
        return same
    with dataset.view().frame.steady():
        version = _version(dataset, wanted)
        if same and version == same.version:
            same.checked = time.monotonic()
            return same
        queue = make_queue(dataset, wanted, reviewer)
        queue = with_controls(dataset, queue, wanted, reviewer, controls)
        browser_session = st.session_state.setdefault(f"{key}-session", uuid.uuid4().hex)
        linked = _linked_sample(before, requested)
        if (
            linked is not None
            and queue.place(linked) is None
            and _is_predicted(dataset, wanted, linked)
        ):
            ids = np.concatenate([[linked], queue.ids])
            queue = Queue(ids, queue.scope, queue.checks, queue.controls)
        tab = this_tab(dataset, reviewer)
        new = ReviewSession(
            dataset, wanted, reviewer, queue, version, browser_session, tab, linked=linked,
            controls=controls,
        )  # fmt: skip
        if before:
            new.answered = before.answered
            new.items = before.items if new.items_version == before.items_version else {}
        new.place = _first_place(new, before, linked)
        st.session_state[key] = new
        return new


def _version(dataset: Dataset, wanted: QueueFilter) -> str:
    """Of everything that a queue and what the browser draws are made from."""
    return str(hash((dataset.created, dataset.view(wanted.run).fields.stamp(own=False))))


def _linked_sample(before: ReviewSession | None, requested: tuple) -> int | None:
    """The sample in the address, unless this module put it there; then that of the same queue
    before, while it is the current one."""
    text = st.query_params.get(SAMPLE, "")
    sample = int(text) if text.isdecimal() and len(text) < 19 else None
    if before is None or st.session_state.get(WRITTEN) != sample:
        return sample
    return before.linked if before.requested == requested and before.linked == sample else None


def _is_predicted(dataset: Dataset, wanted: QueueFilter, sample: int) -> bool:
    """Whether the sample exists and has a prediction."""
    return len(dataset.view(wanted.run).above("confidence", 0).select([sample])) > 0


def _first_place(new: ReviewSession, before: ReviewSession | None, linked: int | None) -> int:
    """The place of the sample in the address, else of the previous sample, else the first open."""
    here = before.current if before and before.dataset.name == new.dataset.name else None
    for sample in (linked, here):
        place = None if sample is None else new.queue.place(sample)
        if place is not None:
            return place
    place = new.next_place(-1)
    return place if place < len(new.queue) else 0
