"""Reads embeddings, the activations of a model's last layer, and finds similar images by them."""

from __future__ import annotations

import numpy as np

from .arrays import find
from .columns import Frame

COLUMN = "embedding"
READ_ROWS = 100_000  # at once


def read_some(frame: Frame, table: str, ids: np.ndarray) -> np.ndarray | None:
    """Return embeddings of these ids, float16 (n, width), or None for a table without any.

    NaN for a sample without one. Raises NotFoundError for an id that does not exist.
    """
    width = frame.store.vector_width(table, COLUMN)
    if width is None:
        return None
    unique, order = np.unique(ids, return_inverse=True)
    out = np.full((len(unique), width), np.nan, np.float16)
    rows = frame.take(table, frame.positions(unique), [COLUMN])
    rows = rows.filter(rows[COLUMN].is_valid())
    vectors = rows[COLUMN].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    out[np.searchsorted(unique, rows["id"].to_numpy())] = vectors.reshape(-1, width)
    return out[order]


def read_all(frame: Frame, table: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return ids, int64 (n,), and embeddings, float16 (n, width), of all rows that have one.

    They are in stored order. None for a table without embeddings.
    """
    width = frame.store.vector_width(table, COLUMN)
    if width is None:
        return None
    ids, vectors = [np.empty(0, np.int64)], [np.empty((0, width), np.float16)]
    for batch in frame.store.batches(table, ["id", COLUMN], READ_ROWS):
        batch = batch.filter(batch[COLUMN].is_valid())
        ids.append(batch["id"].to_numpy())
        numbers = batch[COLUMN].flatten().to_numpy(zero_copy_only=False)
        vectors.append(numbers.reshape(-1, width))
    return np.concatenate(ids), np.concatenate(vectors)


def neighbours(
    frame: Frame, table: str, ids: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Find the k other samples nearest to each of these: see `Run.neighbours`."""
    vectors = read_some(frame, table, ids)
    if vectors is None:
        return None
    near = np.full((len(ids), k), -1, np.int64)
    cosine = np.full((len(ids), k), np.nan, np.float32)
    usable = np.flatnonzero(vectors.any(axis=1) & np.isfinite(vectors).all(axis=1))
    if not k or not len(usable):
        return near, cosine
    total, requested = frame.store.count(table), k + 1
    while True:
        of, found, value = frame.store.nearest(table, COLUMN, vectors[usable], requested)
        # the table may still have deleted samples; and each sample is nearest to itself
        _, exists = find(frame.ids, found)
        good = exists & (found != ids[usable[of]]) & np.isfinite(value)
        of, found, value = of[good], found[good], value[good]
        if requested >= total or (np.bincount(of, minlength=len(usable)) >= k).all():
            break
        requested = min(4 * requested, total)
    order = np.lexsort((found, -value, of))
    of, found, value = of[order], found[order], value[order]
    rank = np.arange(len(of)) - np.searchsorted(of, of)
    best = rank < k
    near[usable[of[best]], rank[best]] = found[best]
    cosine[usable[of[best]], rank[best]] = value[best]
    return near, cosine
