"""Lets the workers read and learn from the blocks of samples of a first look."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ..storage import paths
from .connection import connected, environment_options, set_up_worker, worker_count
from .coordinator import plain_error

TASKS_PER_WORKER = 2  # submitted at once; a result takes up to 50 MB

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def map_blocks(work: Callable[[Argument], Result], blocks: Iterable[Argument]) -> Iterator[Result]:
    """Do the same as `map`, on the workers of a Ray cluster. `work` is sent to each node once."""
    import ray

    running: deque = deque()  # references to results, in the order of the blocks
    with connected():
        remote = ray.remote(_work).options(num_cpus=1, **environment_options())
        shared, home = ray.put(work), paths.home()
        try:
            for block in blocks:
                if len(running) >= TASKS_PER_WORKER * worker_count():
                    yield ray.get(running.popleft())
                running.append(remote.remote(shared, home, block))
            while running:
                yield ray.get(running.popleft())
        except ray.exceptions.RayError as error:
            raise plain_error(error) from None
        finally:
            for reference in running:
                ray.cancel(reference)


def _work(work: Callable[[Argument], Result], home: str, block: Argument) -> Result:
    set_up_worker(home)
    return work(block)
