"""The nearest neighbours of all samples at once, by cosine: exact, or beyond 100,000 by cells.

LanceDB's index answers one sample in 20 ms and more, which for a million would take six hours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..core.progress import QUIET, Task
from ..dataset.arrays import find
from ..dataset.runs import Run

# Neighbours that a label is judged by: average precision on 10,000 CIFAR-10 images with 20 %
# mistakes 0.71 with 20, 0.77 with 50, 0.80 with 100; but no more than half a class has, as a
# sample of a small one would else be among strangers.
K = 50
LEAST = 5
EXACT = 100_000  # samples up to which every pair is compared
BLOCK_BYTES = 64 << 20  # of similarities held at once
GROUP = 64  # similarities whose largest stands for them
CELL = 1_000  # samples a cell, about
PROBES = 12  # cells looked at for the samples of each cell
ROUNDS = 6  # of k-means
FITTED = 32  # samples a cell that the cells' centres are learned from

Part = tuple[np.ndarray, np.ndarray]  # rows whose neighbours are looked for, and among which
Answers = Callable[[np.ndarray, Iterable[Part], int, Task], Iterable[tuple]]


def of_run(
    run: Run, ids: np.ndarray, counted: np.ndarray, k: int,
    task: Task = QUIET, answers: Answers | None = None,
) -> tuple[np.ndarray, np.ndarray] | None:  # fmt: skip
    """The k nearest samples to each by the run's embeddings, among those that count.

    ids: sorted, int64 (n,). counted: bool (n,), of which samples may be neighbours (with a label,
    not removed). Returns places in ids, int64 (n, k), -1 for none, and cosines, float32 (n, k), NaN
    for none, best first; a sample without an embedding has none. None for a run without embeddings.
    answers: who compares; see `answered_here`.
    Holds all embeddings in memory: 4 bytes a number.
    """
    kept = run.all_embeddings()
    if kept is None:
        return None
    places, known = find(ids, kept[0])
    places, vectors = places[known], kept[1][known].astype(np.float32)
    near = np.full((len(ids), k), -1, np.int64)
    cosine = np.full((len(ids), k), np.nan, np.float32)
    found, value = all_nearest(vectors, counted[places], k, task, answers=answers)
    near[places] = np.where(found >= 0, places[found], -1)
    cosine[places] = value
    return near, cosine


def how_many(labels: np.ndarray) -> int:
    """How many neighbours to judge by: K, or half of what the median class has, at least LEAST.

    labels: int (n,), negative for none.
    """
    sizes = np.bincount(labels[labels >= 0])
    return int(np.clip(np.median(sizes[sizes > 0]) // 2, LEAST, K)) if sizes.any() else LEAST


def all_nearest(
    vectors: np.ndarray, counted: np.ndarray, k: int,
    task: Task = QUIET, exact: int = EXACT,
    answers: Answers | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The k nearest others of each vector by cosine, among those that count.

    vectors: float (n, d); rows with a NaN, or of zeros, have no neighbours and are none. counted:
    bool (n,). Up to `exact` samples every pair is compared; beyond, only samples of the same and of
    the nearest cells (k-means). Returns places, int64 (n, k), -1 for none, and cosines, float32
    (n, k), NaN for none, best first, ties by place. A stop raises StoppedError.
    """
    n = len(vectors)
    near, cosine = np.full((n, k), -1, np.int64), np.full((n, k), np.nan, np.float32)
    length = np.linalg.norm(vectors.astype(np.float32), axis=1)
    there = np.isfinite(length) & (length > 0)
    unit = vectors[there].astype(np.float32) / length[there, None]
    rows, others = np.flatnonzero(there), np.flatnonzero(counted[there])
    meter = task.stage("comparing images", len(rows))
    parts = _parts(unit, others, exact)
    for some, found, value in (answers or answered_here)(unit, parts, k, task):
        near[rows[some]] = np.where(found >= 0, rows[found], -1)
        cosine[rows[some]] = value
        meter.advance(len(some))
    return near, cosine


def answered_here(unit: np.ndarray, parts: Iterable[Part], k: int, task: Task):
    """Yield (rows, the k nearest of each, int64 (m, k), their cosines) until all parts are
    answered. unit: vectors of length 1, float32 (n, d). A stop raises StoppedError."""
    for asked, among in parts:
        for some in blocks(asked, among):
            task.check("scoring")
            yield some, *answer(unit, some, among, k)


def blocks(asked: np.ndarray, among: np.ndarray) -> list[np.ndarray]:
    """The rows asked for, as many at a time as BLOCK_BYTES hold similarities of."""
    block = max(BLOCK_BYTES // (4 * max(len(among), 1)), 1)
    return [asked[start : start + block] for start in range(0, len(asked), block)]


def answer(
    unit: np.ndarray, some: np.ndarray, among: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of some rows among others: rows, int64 (m, k), -1 for none, and cosines."""
    return _best(unit[some], unit[among], some, among, k)


def _parts(unit: np.ndarray, others: np.ndarray, exact: int):
    """(whose neighbours, among whom): places in `unit`; together they ask for every row once."""
    if len(unit) <= exact or len(others) <= CELL:
        yield np.arange(len(unit)), others
        return
    centres = _centres(unit[others])
    cell = _nearest_centre(unit, centres)
    by_cell = np.argsort(cell, kind="stable")
    ends = np.searchsorted(cell[by_cell], np.arange(len(centres) + 1))
    counted = np.zeros(len(unit), bool)
    counted[others] = True
    close = np.argsort(-(centres @ centres.T), axis=1)[:, :PROBES]
    for c in range(len(centres)):
        asked = by_cell[ends[c] : ends[c + 1]]
        if len(asked):
            among = np.concatenate([by_cell[ends[o] : ends[o + 1]] for o in close[c]])
            yield asked, np.sort(among[counted[among]])


def _centres(unit: np.ndarray) -> np.ndarray:
    """Directions of the cells, float32 (cells, d): spherical k-means on some of the vectors."""
    rng = np.random.default_rng(0)
    cells = len(unit) // CELL
    some = unit[rng.permutation(len(unit))[: cells * FITTED]]
    centres = some[:cells]
    for _ in range(ROUNDS):
        cell = _nearest_centre(some, centres)
        order = np.argsort(cell, kind="stable")
        filled, starts = np.unique(cell[order], return_index=True)
        sums = centres.copy()  # an empty cell stays where it is
        sums[filled] = np.add.reduceat(some[order], starts, axis=0)
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centres


def _nearest_centre(unit: np.ndarray, centres: np.ndarray) -> np.ndarray:
    block = max(BLOCK_BYTES // (4 * len(centres)), 1)
    starts = range(0, len(unit), block)
    parts = [(unit[start : start + block] @ centres.T).argmax(axis=1) for start in starts]
    return np.concatenate(parts)


def _best(
    asked: np.ndarray, among: np.ndarray, own: np.ndarray, names: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k largest products of each row of `asked` with those of `among`: their names, and they.

    own: name of each row asked, which is not its own neighbour. names: of `among`, sorted.
    """
    found, value = np.full((len(asked), k), -1, np.int64), np.full((len(asked), k), np.nan)
    if not len(among) or not k:
        return found, value.astype(np.float32)
    groups = -(-len(among) // GROUP)
    product = np.full((len(asked), groups * GROUP), -np.inf, np.float32)
    np.matmul(asked, among.T, out=product[:, : len(among)])
    at, itself = find(names, own)
    product[np.flatnonzero(itself), at[itself]] = -np.inf
    columns = _columns(product, k)
    values = np.take_along_axis(product, columns, axis=1)
    order = np.lexsort((columns, -values), axis=1)[:, :k]
    columns, values = (np.take_along_axis(a, order, axis=1) for a in (columns, values))
    real = np.isfinite(values)
    width = columns.shape[1]
    found[:, :width] = np.where(real, names[np.minimum(columns, len(names) - 1)], -1)
    value[:, :width] = np.where(real, np.clip(values, -1, 1), np.nan)
    return found, value.astype(np.float32)


def _columns(product: np.ndarray, k: int) -> np.ndarray:
    """Columns of each row among which its k largest are: whole groups of columns.

    The k groups with the largest maxima hold the k largest; sorting all would take four times as
    long.
    """
    groups = product.shape[1] // GROUP
    if groups <= k:
        return np.broadcast_to(np.arange(product.shape[1]), product.shape)
    largest = product.reshape(len(product), groups, GROUP).max(axis=2)
    best = np.argpartition(-largest, k - 1, axis=1)[:, :k]
    return (best[:, :, None] * GROUP + np.arange(GROUP)).reshape(len(product), k * GROUP)
