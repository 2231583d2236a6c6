"""Threads that compute the next results while the caller uses the current one.

For work in numpy and Pillow, which releases the interpreter lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

PREFETCHED = 3  # results computed before the caller asks for them
Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(compute: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield compute(item) for each item, in order, computed by threads PREFETCHED items ahead."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(compute, item))
            if len(waiting) > PREFETCHED:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
