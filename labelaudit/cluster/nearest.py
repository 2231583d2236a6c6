"""The nearest neighbours of all samples: who looks for them is spread over the workers, and all
embeddings go to each node once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..core.progress import Task
from ..features.neighbours import Part, answer, blocks
from .message_board import plainly
from .start import workers

AHEAD = 4  # tasks a worker that are under way at once
TASK_CELLS = 200_000_000  # similarities that a task works out, about: half a second
WAIT_SECONDS = 0.2


def answered_by_workers(
    unit: np.ndarray, parts: Iterable[Part], k: int, task: Task
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """As `neighbours.answered_here`; in whatever order they are done."""
    import ray

    remote_answer = ray.remote(_answer)
    vectors = ray.put(unit)
    waiting: dict = {}
    try:
        for some, among in _tasks(parts):
            while len(waiting) >= AHEAD * workers():
                yield from _finished(waiting, task)
            waiting[remote_answer.remote(vectors, some, among, k)] = some
        while waiting:
            yield from _finished(waiting, task)
    except ray.exceptions.RayError as error:
        raise plainly(error) from None
    finally:
        for left in waiting:
            ray.cancel(left)


def _tasks(parts: Iterable[Part]) -> Iterator[tuple[list[np.ndarray], object]]:
    """(blocks of rows, a reference to those among which): enough work for a task."""
    import ray

    for asked, among in parts:
        others, some, cells = ray.put(among), [], 0
        for block in blocks(asked, among):
            some.append(block)
            cells += len(block) * len(among)
            if cells >= TASK_CELLS:
                yield some, others
                some, cells = [], 0
        if some:
            yield some, others


def _answer(vectors: np.ndarray, some: list[np.ndarray], among: np.ndarray, k: int) -> list[tuple]:
    return [answer(vectors, block, among, k) for block in some]


def _finished(waiting: dict, task: Task) -> Iterator[tuple]:
    import ray

    done: list = []
    while not done:
        task.check("scoring")
        done, _ = ray.wait(list(waiting), num_returns=1, timeout=WAIT_SECONDS)
    for ref in done:
        some = waiting.pop(ref)
        for block, found in zip(some, ray.get(ref), strict=True):
            yield block, *found
