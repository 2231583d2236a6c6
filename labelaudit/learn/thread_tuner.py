"""Chooses the number of threads for training by measuring it."""

from __future__ import annotations

import time

import torch

from ..features.device import available_cores

TUNING_STEPS = 2  # the first step with a new number of threads also pays for starting them


class ThreadTuner:
    """Times a few steps with one thread and with all, in each epoch, and uses the faster number.

    The best number depends on other processes: alone on 2 cores, two threads are twice as fast, but
    beside another busy process they wait for each other and are ten times slower than one.
    """

    def __init__(self, fixed: int | None) -> None:
        """fixed: a number of threads to use without measuring."""
        self.candidates = [fixed] if fixed else sorted({1, available_cores()})
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Start to measure again."""
        self._best_seconds: dict[int, float] = {}
        self._untested = list(self.candidates) if len(self.candidates) > 1 else []
        self._seconds: list[float] = []
        torch.set_num_threads(self.candidates[0])

    def begin_step(self) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def end_step(self) -> None:
        """Stop the clock, and choose the number of threads of the next step."""
        if not self._untested:
            return
        self._seconds.append(time.perf_counter() - self._started)
        best = self._best_seconds
        much_slower = best and self._seconds[0] > 1.5 * min(best.values())
        if len(self._seconds) < TUNING_STEPS and not much_slower:
            return
        best[self._untested.pop(0)] = min(self._seconds)
        self._seconds = []
        torch.set_num_threads(self._untested[0] if self._untested else min(best, key=best.get))
