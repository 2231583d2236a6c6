"""How far a long operation is: one small record, the same for every operation and every reader."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field


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
    curves: list[dict] = field(default_factory=list)  # one row a finished epoch
    run: dict | None = None  # that is being written: id, name, checkpoint (a path)
    first_look: dict | None = None  # that is ready to review: run (its name), suspects

    def to_dict(self) -> dict:
        """All of it as plain JSON values."""
        return asdict(self)


ProgressCallback = Callable[[Progress], None]
StopCheck = Callable[[], bool]


def ignore(_: Progress) -> None:
    """The progress callback of a caller who does not care."""


def never() -> bool:
    """The stop check of a caller who never stops."""
    return False


class Meter:
    """Counts work, estimates the time left, and reports at most every `interval` seconds."""

    def __init__(
        self,
        stage: str,
        total: int | None,
        callback: ProgressCallback,
        interval: float = 0.1,
        done: int = 0,
        seconds: float = 0.0,
    ) -> None:
        """done, seconds: what was done before, and how long it took, where work is resumed."""
        self.stage, self.total, self.callback, self.interval = stage, total, callback, interval
        self.done = done
        self.started = time.monotonic() - seconds
        self._reported = 0.0

    def advance(self, count: int = 1, **details) -> None:
        self.done += count
        now = time.monotonic()
        if now - self._reported >= self.interval or self.done == self.total:
            self.report(**details)

    def report(self, **details) -> None:
        self._reported = time.monotonic()
        spent = self._reported - self.started
        left = None
        if self.total and self.done:
            left = spent / self.done * max(self.total - self.done, 0)
        self.callback(Progress(self.stage, self.done, self.total, spent, left, **details))
