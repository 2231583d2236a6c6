"""Searches the nearest neighbours of all samples on the workers.

The rows to search for are spread over the workers; all embeddings are sent to each node once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..core.progress import Task
from ..features.neighbours import Part, row_blocks, search_block
from .connection import worker_count
from .coordinator import plain_error

TASKS_PER_WORKER = 4  # tasks submitted at once
TASK_CELLS = 200_000_000  # similarities per task, approximately: half a second
WAIT_SECONDS = 0.2


def search_on_workers(
    unit: np.ndarray, parts: Iterable[Part], k: int, task: Task
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Do the same as `neighbours.search_here`, with results in any order."""
    import ray

    search = ray.remote(_search)
    vectors = ray.put(unit)
    running: dict = {}  # blocks by reference to their result
    try:
        for blocks, among in _tasks(parts):
            while len(running) >= TASKS_PER_WORKER * worker_count():
                yield from _finished(running, task)
            running[search.remote(vectors, blocks, among, k)] = blocks
        while running:
            yield from _finished(running, task)
    except ray.exceptions.RayError as error:
        raise plain_error(error) from None
    finally:
        for reference in running:
            ray.cancel(reference)


def _tasks(parts: Iterable[Part]) -> Iterator[tuple[list[np.ndarray], object]]:
    """Yield blocks of rows and a reference to the rows to search: enough work for a task."""
    import ray

    for rows, among in parts:
        reference, blocks, cells = ray.put(among), [], 0
        for block in row_blocks(rows, among):
            blocks.append(block)
            cells += len(block) * len(among)
            if cells >= TASK_CELLS:
                yield blocks, reference
                blocks, cells = [], 0
        if blocks:
            yield blocks, reference


def _search(
    vectors: np.ndarray, blocks: list[np.ndarray], among: np.ndarray, k: int
) -> list[tuple]:
    return [search_block(vectors, block, among, k) for block in blocks]


def _finished(running: dict, task: Task) -> Iterator[tuple]:
    """Wait for a task, remove it from `running`, and yield its results."""
    import ray

    done: list = []
    while not done:
        task.check("scoring")
        done, _ = ray.wait(list(running), num_returns=1, timeout=WAIT_SECONDS)
    for reference in done:
        blocks = running.pop(reference)
        for block, found in zip(blocks, ray.get(reference), strict=True):
            yield block, *found
