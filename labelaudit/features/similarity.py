"""Finds thumbnails that show the same picture, with numpy alone; made for photographs.

A thumbnail is reduced to the low frequencies of its cosine transform, each weighted by its
frequency: in photographs amplitude falls with frequency (Field 1987), so without weights all
pictures with a bright top and a dark bottom would be similar. The cosine of two such vectors
ignores brightness and contrast. Changing the sign of the horizontally odd half mirrors a picture,
so the same two products also find mirrored copies.

A hash library does not replace this: 64 bits (imagehash's phash) keep only the signs of such a
vector. Of the 22 pairs found in 10,000 images of CIFAR-10, hashes find 15 (distance up to 8) and 27
others, and none that is mirrored; and the comparison of all pairs would still be needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..storage.schema import THUMBNAIL_SIDE as SIDE

DETAIL = 10  # frequencies kept in each direction
FLAT = 2.0  # grey levels: a thumbnail that varies less has nothing to recognise

# Chosen by eye on CIFAR-10: above CLOSE nearly all pairs are one picture recompressed, resized,
# brightened, mirrored or cropped by up to 3 %; below 0.90, ships at sea and framed pictures mix.
CLOSE = 0.92
# Handwriting and icons have little detail, so many are similar without being copies. There a pair
# must be closer than usual. With q the similarity of a picture to all but the most similar tenth of
# the others, the bound is 1 - STRICT (1 - q)^2: CLOSE in photographs, 0.98 in digits.
USUAL, STRICT = 0.9, 0.13
REFERENCE = 2000  # random pictures that represent the others
FEWEST = 200  # pictures needed to estimate the usual similarity
# A frame around a picture can be most of its variation. So the differences of neighbouring pixels
# in the inner quarter must be similar too: in the 50,000 of CIFAR-10 all but three of 496 pairs
# pass.
INNER = 0.78

EXACT = 100_000  # pictures up to which all pairs are compared; beyond, only those within a bucket
BUCKET = 2000  # pictures per bucket; the centre of a bucket is a random picture
BUCKETS = 3  # buckets of each picture: those with the nearest centres
MOST_NEW = BUCKET * BUCKETS  # pictures that are compared with all
ROWS, COLUMNS = 1024, 4096  # compared at once: 16 MB
CHECKED = 65_536  # pairs to compare inner quarters of at once
JOINED = 1_000_000  # pairs in memory before they are merged into groups

Report = Callable[[int], None]

# DCT-II, orthonormal up to a factor: one row per frequency
_COSINES = np.cos(np.pi / SIDE * np.outer(np.arange(DETAIL), np.arange(SIDE) + 0.5))
_COSINES[0] /= np.sqrt(2)
_COSINES = _COSINES.astype(np.float32)


@dataclass(frozen=True)
class Vectors:
    """Unit vectors in two parts, float32 (n, 50): horizontally even and odd frequencies. Zeros for
    pictures without detail, which are similar to nothing."""

    even: np.ndarray
    odd: np.ndarray

    def __len__(self) -> int:
        return len(self.even)

    def __getitem__(self, rows) -> Vectors:
        return Vectors(self.even[rows], self.odd[rows])


def vectors(thumbnails: np.ndarray) -> Vectors:
    """Return the vectors of grey thumbnails, uint8 (n, SIDE, SIDE)."""
    frequency = np.arange(DETAIL, dtype=np.float32)
    weight = np.hypot(frequency[:, None], frequency)
    out = np.empty((len(thumbnails), DETAIL, DETAIL), np.float32)
    for start in range(0, len(out), COLUMNS):  # avoids a float copy of all thumbnails
        some = thumbnails[start : start + COLUMNS].astype(np.float32)
        found = _COSINES @ some @ _COSINES.T * weight
        length = np.linalg.norm(found, axis=(1, 2))
        length[some.std(axis=(1, 2)) < FLAT] = np.inf
        out[start : start + COLUMNS] = found / np.maximum(length, 1e-6)[:, None, None]
    flat = [out[:, :, part::2].reshape(len(out), -1) for part in (0, 1)]
    return Vectors(*map(np.ascontiguousarray, flat))


def similarity(a: Vectors, b: Vectors, buffers: tuple[np.ndarray, np.ndarray] | None = None):
    """Return cosines, float32 (a, b), of the pictures or of one picture mirrored, the larger one.

    buffers: two arrays of at least a * b numbers to compute in; allocating takes half of the time.
    """
    shape = len(a), len(b)
    size = shape[0] * shape[1]
    even, odd = buffers or (np.empty(size, np.float32), np.empty(size, np.float32))
    even, odd = even[:size].reshape(shape), odd[:size].reshape(shape)
    np.matmul(a.even, b.even.T, out=even)
    np.matmul(a.odd, b.odd.T, out=odd)
    return np.add(even, np.abs(odd, out=odd), out=even)


def bounds(
    v: Vectors, report: Report = lambda _: None, places: np.ndarray | None = None
) -> np.ndarray:
    """Return the similarity that a near duplicate of each picture must reach, float32 (n,).

    places: int64 (n,), of these pictures; by default all.
    """
    asked = v if places is None else v[places]
    out = np.full(len(asked), CLOSE, np.float32)
    if len(v) < FEWEST:
        return out
    some = np.random.default_rng(0).choice(len(v), min(REFERENCE, len(v)), replace=False)
    reference, kth = v[some], int(USUAL * (len(some) - 1))
    for start in range(0, len(asked), ROWS):
        found = similarity(asked[start : start + ROWS], reference)
        usual = np.partition(found, kth, axis=1)[:, kth].clip(0, 1)
        out[start : start + ROWS] = np.maximum(CLOSE, 1 - STRICT * (1 - usual) ** 2)
        report(0)
    return out


def group(
    thumbnails: np.ndarray,
    report: Report = lambda _: None,
    known: np.ndarray | None = None,
    new: np.ndarray | None = None,
) -> np.ndarray:
    """Group near duplicates, and near duplicates of these. Returns the first place of each
    picture's group, int64 (n,).

    thumbnails: uint8 (n, SIDE, SIDE), grey. report: called with the number of further comparisons;
    an exception that it raises ends the search. known: places of pictures that were found to be
    duplicates before, int64 (k, 2). new: places, int64 (m,), of the pictures that are compared with
    all; by default all are compared with each other.
    """
    v, first = vectors(thumbnails), np.arange(len(thumbnails))
    if known is not None:
        join(first, known)
    waiting: list[np.ndarray] = []
    if new is None:
        found = _close_pairs(thumbnails, v, bounds(v, report), report)
    else:
        found = _pairs_of(new, thumbnails, v, report)
    for pairs in found:
        waiting.append(pairs)
        if sum(map(len, waiting)) > JOINED:
            join(first, np.concatenate(waiting))
            waiting.clear()
    if waiting:
        join(first, np.concatenate(waiting))
    return first


def comparisons(n: int) -> int:
    """Return how many comparisons `group` reports in total."""
    return n if n <= EXACT else n * BUCKETS


def _close_pairs(
    thumbnails: np.ndarray, v: Vectors, limits: np.ndarray, report: Report
) -> Iterator[np.ndarray]:
    """Yield places of near duplicates, int64 (k, 2); above EXACT pictures, some more than once."""
    buffers = np.empty(ROWS * COLUMNS, np.float32), np.empty(ROWS * COLUMNS, np.float32)
    for places in [np.arange(len(v))] if len(v) <= EXACT else buckets(v, len(v) // BUCKET):
        own, limit = v[places], limits[places]
        for top in range(0, len(own), ROWS):
            rows = own[top : top + ROWS]
            for left in range(top, len(own), COLUMNS):
                found = similarity(rows, own[left : left + COLUMNS], buffers)
                i, j = np.nonzero(found >= limit[top : top + ROWS, None])
                value, i, j = found[i, j], i + top, j + left
                good = (i < j) & (value >= limit[j])
                yield from _with_similar_inside(thumbnails, own, places, i[good], j[good])
                report(0)
            report(len(rows))


def _pairs_of(
    new: np.ndarray, thumbnails: np.ndarray, v: Vectors, report: Report
) -> Iterator[np.ndarray]:
    """Yield places of near duplicates of new pictures among all, int64 (k, 2)."""
    buffers = np.empty(ROWS * COLUMNS, np.float32), np.empty(ROWS * COLUMNS, np.float32)
    limit, places = bounds(v, report, new), np.arange(len(v))
    for top in range(0, len(new), ROWS):
        rows = new[top : top + ROWS]
        for left in range(0, len(v), COLUMNS):
            found = similarity(v[rows], v[left : left + COLUMNS], buffers)
            i, j = np.nonzero(found >= limit[top : top + ROWS, None])
            value, i, j = found[i, j], rows[i], j + left
            others, index = np.unique(j, return_inverse=True)
            good = (i != j) & (value >= bounds(v, report, others)[index])
            yield from _with_similar_inside(thumbnails, v, places, i[good], j[good])
            report(0)
        report(len(rows))


def _with_similar_inside(
    thumbnails: np.ndarray, v: Vectors, places: np.ndarray, i: np.ndarray, j: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the pairs of rows i and j of `v` that are also similar in their inner quarters."""
    for start in range(0, len(i), CHECKED):  # there can be millions, if all pictures are similar
        a, b = i[start : start + CHECKED], j[start : start + CHECKED]
        mirrored = _mirrored(v[a], v[b])
        pairs = np.stack([places[a], places[b]], axis=1)
        inside = _inner_similarity(thumbnails[places[a]], thumbnails[places[b]], mirrored)
        if (good := inside >= INNER).any():
            yield pairs[good]


def _mirrored(a: Vectors, b: Vectors) -> np.ndarray:
    """Mask, bool (k,), of the pairs that are more similar if one picture is mirrored."""
    return (a.odd * b.odd).sum(axis=1) < 0


def _inner_similarity(a: np.ndarray, b: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Return cosines, float32 (k,), of the gradients in the inner quarters of two thumbnails."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    b[mirrored] = b[mirrored, :, ::-1]
    a, b = _inner_gradients(a), _inner_gradients(b)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.where(lengths > 0, (a * b).sum(axis=1) / np.maximum(lengths, 1e-6), 1)


def _inner_gradients(thumbnails: np.ndarray) -> np.ndarray:
    inside = slice(SIDE // 4, -SIDE // 4)
    inner = thumbnails[:, inside, inside]
    steps = [np.diff(inner, axis=axis).reshape(len(inner), -1) for axis in (1, 2)]
    return np.concatenate(steps, axis=1)


def buckets(v: Vectors, count: int) -> list[np.ndarray]:
    """Return the places in each of `count` buckets; every picture is in BUCKETS of them.

    Similar pictures share nearest centres: of the near duplicates in the 50,000 of CIFAR-10, 98.8 %
    are found with 100 buckets, 99.6 % with 500.
    """
    centres = v[np.random.default_rng(0).choice(len(v), count, replace=False)]
    nearest = min(BUCKETS, count)
    index = np.empty((len(v), nearest), np.int64)
    for start in range(0, len(v), ROWS):
        found = similarity(v[start : start + ROWS], centres)
        index[start : start + ROWS] = np.argpartition(-found, nearest - 1, axis=1)[:, :nearest]
    order = np.argsort(index, axis=None, kind="stable")
    ends = np.cumsum(np.bincount(index.ravel(), minlength=count))
    return np.split(order // nearest, ends[:-1])


def join(first: np.ndarray, pairs: np.ndarray) -> None:
    """Merge the groups of the two places of each pair, in place.

    first: int64 (n,), the first place of each place's group.
    """
    a, b = first[pairs].T
    while len(a):
        np.minimum.at(first, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(above := first[first], first):
            first[:] = above
        a, b = first[a], first[b]
        apart = a != b
        a, b = a[apart], b[apart]
