"""The nearest neighbours of all samples at once, by cosine similarity.

Up to 100,000 samples the result is exact; beyond, only nearby cells of samples are compared. The
index of LanceDB answers for one sample in 20 ms or more, which for a million would take six hours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ..core.progress import QUIET, Task
from ..dataset.arrays import find
from ..dataset.runs import Run

# Neighbours to judge a label by. Average precision on 10,000 CIFAR-10 images with 20 % mistakes:
# 0.71 with 20, 0.77 with 50, 0.80 with 100. But never more than half the median class has: most
# neighbours in a smaller class would belong to other classes.
K = 50
LEAST = 5
EXACT = 100_000  # samples up to which all pairs are compared
BLOCK_BYTES = 64 << 20  # of similarities in memory at once
GROUP = 16  # similarities per group, represented by their maximum
CELL = 1_000  # approximate number of samples per cell
SEARCHED = 12_000  # candidates compared with the samples of a cell, at least: of the nearest cells
ROUNDS = 6  # of k-means
FITTED = 32  # samples per cell used to fit the centres of the cells

Part = tuple[np.ndarray, np.ndarray]  # rows to find neighbours for, rows to search
# Takes unit vectors, parts, k and a task; see `search_here`.
Search = Callable[[np.ndarray, Iterable[Part], int, Task], Iterable[tuple]]


@dataclass(frozen=True)
class Nearest:
    """The k most similar samples to each of n, most similar first.

    places: int64 (n, k), -1 for none. cosines: float32 (n, k), NaN for none. distances: float32
    (n, k), Euclidean for a first look, else one minus the cosine; NaN for none.
    """

    places: np.ndarray
    cosines: np.ndarray
    distances: np.ndarray


def of_run(
    run: Run,
    ids: np.ndarray,
    counted: np.ndarray,
    k: int,
    task: Task = QUIET,
    search: Search | None = None,
) -> Nearest | None:
    """Return the k samples nearest to each sample by the run's embeddings.

    ids: sorted, int64 (n,). counted: bool (n,), which samples may be neighbours (those with a
    label that are not removed). search: by default `search_here`.
    A sample without an embedding has no neighbours. Returns None for a run without embeddings. All
    embeddings are read into memory: 4 bytes per number.
    """
    embeddings = run.all_embeddings()
    if embeddings is None:
        return None
    places, known = find(ids, embeddings[0])
    places, vectors = places[known], embeddings[1][known].astype(np.float32)
    near = np.full((len(ids), k), -1, np.int64)
    cosine, distance = (np.full((len(ids), k), np.nan, np.float32) for _ in range(2))
    found, value = all_nearest(vectors, counted[places], k, task, search=search)
    near[places] = np.where(found >= 0, places[found], -1)
    cosine[places] = value
    # Components of a first look are centred: what the dataset does not have makes them long. In
    # the last layer of a network, unusual images are short, and only directions can be compared.
    distance[places] = euclidean(vectors, found, value) if run.is_first_look else 1 - value
    return Nearest(near, cosine, distance)


def euclidean(vectors: np.ndarray, near: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """Return the distances of vectors, float32 (n, d), to those at the places `near`, (n, k)."""
    square = np.square(vectors).sum(axis=1)
    product = np.sqrt(square[:, None] * square[near]) * cosine
    return np.sqrt(np.maximum(square[:, None] + square[near] - 2 * product, 0))


def how_many(labels: np.ndarray) -> int:
    """Return how many neighbours to judge by: K, or half of the median class, at least LEAST.

    labels: int (n,), negative for none.
    """
    sizes = np.bincount(labels[labels >= 0])
    return int(np.clip(np.median(sizes[sizes > 0]) // 2, LEAST, K)) if sizes.any() else LEAST


def all_nearest(
    vectors: np.ndarray,
    counted: np.ndarray,
    k: int,
    task: Task = QUIET,
    exact: int = EXACT,
    search: Search | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k other vectors nearest to each vector by cosine.

    vectors: float (n, d); rows with NaN or only zeros neither have nor are neighbours. counted:
    bool (n,), which rows may be neighbours. exact: rows up to which all pairs are compared; beyond,
    only rows of the same and the nearest cells (k-means). search: by default `search_here`.
    Returns places, int64 (n, k), -1 for none, and cosines, float32 (n, k), NaN for none, best
    first, ties by place. Raises StoppedError after a stop.
    """
    n = len(vectors)
    near, cosine = np.full((n, k), -1, np.int64), np.full((n, k), np.nan, np.float32)
    length = np.linalg.norm(vectors.astype(np.float32), axis=1)
    usable = np.isfinite(length) & (length > 0)
    unit = vectors[usable].astype(np.float32) / length[usable, None]
    rows, candidates = np.flatnonzero(usable), np.flatnonzero(counted[usable])
    stage = task.stage("comparing images", len(rows))
    parts = _parts(unit, candidates, exact)
    for some, found, value in (search or search_here)(unit, parts, k, task):
        near[rows[some]] = np.where(found >= 0, rows[found], -1)
        cosine[rows[some]] = value
        stage.advance(len(some))
    return near, cosine


def search_here(unit: np.ndarray, parts: Iterable[Part], k: int, task: Task):
    """Yield (rows, the k nearest of each, int64 (m, k), their cosines) until all parts are done.

    unit: vectors of length 1, float32 (n, d). Raises StoppedError after a stop.
    """
    for rows, among in parts:
        for block in row_blocks(rows, among):
            task.check("scoring")
            yield block, *search_block(unit, block, among, k)


def row_blocks(rows: np.ndarray, among: np.ndarray) -> list[np.ndarray]:
    """Split rows so that the similarities of a block fit BLOCK_BYTES."""
    size = max(BLOCK_BYTES // (4 * max(len(among), 1)), 1)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def search_block(
    unit: np.ndarray, block: np.ndarray, among: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest to each row of a block: rows, int64 (m, k), -1 for none, and cosines."""
    return _best(unit[block], unit[among], block, among, k)


def _parts(unit: np.ndarray, candidates: np.ndarray, exact: int):
    """Yield (rows, rows to search); together the parts contain every row once."""
    if len(unit) <= exact or len(candidates) <= CELL:
        yield np.arange(len(unit)), candidates
        return
    centres = _centres(unit[candidates])
    cell = _nearest_centre(unit, centres)
    rows_of = _by_cell(np.arange(len(unit)), cell, len(centres))
    candidates_of = _by_cell(candidates, cell[candidates], len(centres))
    sizes = np.array(list(map(len, candidates_of)))
    close = np.argsort(-(centres @ centres.T), axis=1)
    for c, rows in enumerate(rows_of):
        if len(rows):
            searched = np.searchsorted(np.cumsum(sizes[close[c]]), SEARCHED) + 1
            yield rows, np.sort(np.concatenate([candidates_of[o] for o in close[c, :searched]]))


def _by_cell(places: np.ndarray, cell: np.ndarray, cells: int) -> list[np.ndarray]:
    """Divide places, int (m,), by their cell, int (m,), 0 to cells - 1."""
    order = np.argsort(cell, kind="stable")
    return np.split(places[order], np.searchsorted(cell[order], np.arange(1, cells)))


def _centres(unit: np.ndarray) -> np.ndarray:
    """Return the directions of the cells, float32 (cells, d), by spherical k-means on a sample."""
    rng = np.random.default_rng(0)
    cells = len(unit) // CELL
    some = unit[rng.permutation(len(unit))[: cells * FITTED]]
    centres = some[:cells]
    for _ in range(ROUNDS):
        cell = _nearest_centre(some, centres)
        order = np.argsort(cell, kind="stable")
        filled, starts = np.unique(cell[order], return_index=True)
        sums = centres.copy()  # an empty cell keeps its centre
        sums[filled] = np.add.reduceat(some[order], starts, axis=0)
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centres


def _nearest_centre(unit: np.ndarray, centres: np.ndarray) -> np.ndarray:
    block = max(BLOCK_BYTES // (4 * len(centres)), 1)
    starts = range(0, len(unit), block)
    parts = [(unit[start : start + block] @ centres.T).argmax(axis=1) for start in starts]
    return np.concatenate(parts)


def _best(
    queries: np.ndarray, among: np.ndarray, own: np.ndarray, names: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest products of each query with the rows of `among`: names and products.

    own: name of each query, to exclude itself. names: of `among`, sorted.
    """
    found, value = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), np.nan)
    if not len(among) or not k:
        return found, value.astype(np.float32)
    groups = -(-len(among) // GROUP)
    product = np.empty((len(queries), groups * GROUP), np.float32)
    product[:, len(among) :] = -np.inf
    np.matmul(queries, among.T, out=product[:, : len(among)])
    at, itself = find(names, own)
    product[np.flatnonzero(itself), at[itself]] = -np.inf
    columns, values = _largest(product, k)
    real = np.isfinite(values)
    width = columns.shape[1]
    found[:, :width] = np.where(real, names[np.minimum(columns, len(names) - 1)], -1)
    value[:, :width] = np.where(real, np.clip(values, -1, 1), np.nan)
    return found, value.astype(np.float32)


def _largest(product: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and values of the k largest of each row (fewer if it has fewer), largest
    first, ties by column.

    Value and column are sorted as one whole number: sorting by two keys takes ten times as long.
    """
    columns = _candidates(product, k)
    values = np.take_along_axis(product, columns, axis=1) + np.float32(0)  # not -0
    bits = values.view(np.int32)  # ordered like the values, once those below zero are reversed
    bits = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    keys = bits.astype(np.int64) << 32 | (np.int64(0xFFFFFFFF) - columns)
    k = min(k, keys.shape[1])
    keys.partition(keys.shape[1] - k, axis=1)
    best = np.sort(keys[:, -k:], axis=1)[:, ::-1]
    columns = 0xFFFFFFFF - (best & 0xFFFFFFFF)
    return columns, np.take_along_axis(product, columns, axis=1)


def _candidates(product: np.ndarray, k: int) -> np.ndarray:
    """Return, for each row, columns that contain its k largest values: whole groups of columns.

    The k groups with the largest maxima contain the k largest values. Sorting all columns would
    take four times as long. A group's columns are far apart, because maxima of whole rows of an
    array are computed fastest.
    """
    groups = product.shape[1] // GROUP
    if groups <= k:
        return np.broadcast_to(np.arange(product.shape[1]), product.shape)
    largest = product.reshape(len(product), GROUP, groups).max(axis=1)
    best = np.argpartition(largest, groups - k, axis=1)[:, groups - k :]
    return (best[:, None] + groups * np.arange(GROUP)[:, None]).reshape(len(product), k * GROUP)
