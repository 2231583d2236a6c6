"""Threads that work ahead of who reads: for what numpy and Pillow do without the interpreter."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 3  # groups that are worked on before they are asked for
Group, Made = TypeVar("Group"), TypeVar("Made")


def made_ahead(make: Callable[[Group], Made], groups: Iterable[Group]) -> Iterator[Made]:
    """make(group) of each, in order, by threads that are never more than AHEAD of the reader."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        waiting: deque[Future] = deque()
        for group in groups:
            waiting.append(pool.submit(make, group))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
