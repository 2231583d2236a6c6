"""Progress of a long operation, and how its caller stops it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import StoppedError


@dataclass(frozen=True)
class Progress:
    """One report from a long operation. Times are in seconds."""

    stage: str
    done: int
    total: int | None
    seconds: float
    seconds_left: float | None
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    accuracy: float | None = None
    curves: list[dict] = field(default_factory=list)  # one row per finished epoch
    run: dict | None = None  # the run that is being written: id, name, checkpoint (a path)
    first_look: dict | None = None  # a first look that is ready for review: run (name), suspects

    def to_dict(self) -> dict:
        """Return all fields as plain JSON values."""
        return asdict(self)


def ignore(_: Progress) -> None:
    """Progress callback that does nothing."""


def never() -> bool:
    """Stop check that never stops."""
    return False


@dataclass(frozen=True)
class Task:
    """The caller's side of a long operation: receives its reports and can stop it.

    progress: called with a Progress, at most every `interval` seconds.
    stop: asked often, from any thread. Once it returns True, the operation ends with StoppedError,
    unless its documentation says that it keeps what is finished.
    """

    progress: Callable[[Progress], None] = ignore
    stop: Callable[[], bool] = never
    interval: float = 0.1

    def __repr__(self) -> str:
        """Without the addresses of functions: it is the default in documented signatures."""
        names = (getattr(each, "__name__", repr(each)) for each in (self.progress, self.stop))
        return "Task()" if self == QUIET else f"Task({', '.join(names)}, {self.interval})"

    def check(self, work: str) -> None:
        """Raise StoppedError if the caller asked to stop. work: what is under way ("scoring")."""
        if self.stop():
            raise stopped(work)

    def stage(
        self,
        name: str,
        total: int | None = None,
        *,
        done: int = 0,
        seconds: float = 0.0,
        stoppable: bool = True,
    ) -> Stage:
        """Begin a stage of the operation: see Stage."""
        return Stage(self, name, total, done, seconds, stoppable)

    def announce(self, name: str) -> None:
        """Report a stage of unknown length that cannot be followed."""
        self.stage(name).report()


def stopped(work: str) -> StoppedError:
    """Return the error that says that work was stopped and left nothing. work: "scoring"."""
    return StoppedError(f"{work} was stopped, and none of its results were stored.")


QUIET = Task()  # reports nothing and is never stopped


class Stage:
    """Counts the work of one stage, estimates the time left, and reports.

    total: units of work, None if unknown. done, seconds: units done before, and the time they took,
    if work is resumed. stoppable: whether `advance` raises StoppedError after a stop; False for
    work that keeps what is finished.
    """

    def __init__(
        self,
        task: Task,
        name: str,
        total: int | None,
        done: int = 0,
        seconds: float = 0.0,
        stoppable: bool = True,
    ) -> None:
        self.task, self.name, self.total = task, name, total
        self.done, self.stoppable = done, stoppable
        self._untimed = 0 if seconds else done  # done before, in a time that is not known
        self.started = time.monotonic() - seconds
        self._reported = 0.0

    def advance(self, count: int = 1, **details: Any) -> None:
        """Count finished units and report if it is time to. details: further fields of Progress.

        Raises StoppedError if the caller asked to stop.
        """
        if self.stoppable:
            self.task.check(self.name)
        self.done += count
        now = time.monotonic()
        if now - self._reported >= self.task.interval or self.done == self.total:
            self.report(**details)

    def report(self, **details: Any) -> None:
        """Report now. details: further fields of Progress."""
        self._reported = time.monotonic()
        spent = self._reported - self.started
        left, timed = None, self.done - self._untimed
        if self.total and timed:
            left = spent / timed * max(self.total - self.done, 0)
        self.task.progress(Progress(self.name, self.done, self.total, spent, left, **details))
