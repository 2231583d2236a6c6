"""Embeddings: what a model's last layer sees of an image. Near ones look alike to the model."""

from __future__ import annotations

import numpy as np

from .columns import Frame, find

COLUMN = "embedding"
ROWS = 100_000  # read at once


def read_some(frame: Frame, table: str, ids: np.ndarray) -> np.ndarray | None:
    """Embeddings of these ids, float16 (n, width); NaN for a sample without one. None where the
    table has none. Raises LabelAuditError for an id that does not exist."""
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
    """Ids, int64 (n,), and embeddings, float16 (n, width), of all rows that have one, in stored
    order. None where the table has none."""
    width = frame.store.vector_width(table, COLUMN)
    if width is None:
        return None
    ids, vectors = [np.empty(0, np.int64)], [np.empty((0, width), np.float16)]
    for batch in frame.store.batches(table, ["id", COLUMN], ROWS):
        batch = batch.filter(batch[COLUMN].is_valid())
        ids.append(batch["id"].to_numpy())
        numbers = batch[COLUMN].flatten().to_numpy(zero_copy_only=False)
        vectors.append(numbers.reshape(-1, width))
    return np.concatenate(ids), np.concatenate(vectors)


def neighbours(
    frame: Frame, table: str, ids: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """The k other samples nearest to each of these: ids and cosines, best first. See
    `Run.neighbours`."""
    vectors = read_some(frame, table, ids)
    if vectors is None:
        return None
    near = np.full((len(ids), k), -1, np.int64)
    cosine = np.full((len(ids), k), np.nan, np.float32)
    there = np.flatnonzero(vectors.any(axis=1) & np.isfinite(vectors).all(axis=1))
    if not k or not len(there):
        return near, cosine
    everything, asked = frame.store.count(table), k + 1
    while True:
        of, found, value = frame.store.nearest(table, COLUMN, vectors[there], asked)
        # predictions may be left of a sample that is gone; and each is nearest to itself
        _, exists = find(frame.ids, found)
        good = exists & (found != ids[there[of]]) & np.isfinite(value)
        of, found, value = of[good], found[good], value[good]
        if asked >= everything or (np.bincount(of, minlength=len(there)) >= k).all():
            break
        asked = min(4 * asked, everything)
    order = np.lexsort((found, -value, of))
    of, found, value = of[order], found[order], value[order]
    rank = np.arange(len(of)) - np.searchsorted(of, of)
    best = rank < k
    near[there[of[best]], rank[best]] = found[best]
    cosine[there[of[best]], rank[best]] = value[best]
    return near, cosine
