"""A limit on the memory that threads use at the same time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class MemoryBudget:
    """Lets threads reserve memory, and makes them wait while too much is reserved.

    More than the whole budget is granted to one thread while nothing else is reserved.
    """

    def __init__(self, size: int) -> None:
        """size: in bytes."""
        self.size = size
        self._reset()
        os.register_at_fork(after_in_child=self._reset)  # the threads that reserved are gone

    def _reset(self) -> None:
        self._changed, self._reserved = Condition(), 0

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Reserve bytes for a block; wait until they are free."""
        with self._changed:
            self._changed.wait_for(lambda: not self._reserved or self._reserved + size <= self.size)
            self._reserved += size
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= size
                self._changed.notify_all()
