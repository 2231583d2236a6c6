"""Measures how long the steps of an audit take."""

from __future__ import annotations

import time


class StepTimer:
    """Measures the seconds of consecutive steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def finish(self, step: str) -> None:
        """Record the time since the last call for this step."""
        now = time.monotonic()
        self.seconds[step], self._last = now - self._last, now
