"""Outliers: images that look like no class of the dataset."""

from __future__ import annotations

import numpy as np

OUTLIER = "outlier"
NEIGHBOURS = 10
FAR = 3.5  # robust standard deviations above the usual distance


def outlier(labels: np.ndarray, neighbour_labels: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return how far each image lies from all others, relative to the class of its neighbours.

    neighbour_labels: int (n, k), negative for no label; distances: float (n, k), NaN for no
    neighbour, most similar first; at most NEIGHBOURS are used. labels are not used. Returns float64
    (n,), NaN without neighbours: the logarithm of the mean distance to the neighbours, as robust
    standard deviations (1.4826 times the median absolute deviation) above the median of the images
    whose neighbours are mostly of the same class. The distance to the k nearest neighbours as an
    outlier score is of Ramaswamy et al. 2000.
    """
    distances = distances[:, :NEIGHBOURS].astype(np.float64)
    neighbour_labels = neighbour_labels[:, :NEIGHBOURS]
    present = np.isfinite(distances)
    known = present.any(axis=1)
    distance = np.where(present, distances, 0).sum(axis=1)
    far = np.full(len(labels), np.nan)
    far[known] = np.log(np.maximum(distance[known] / present[known].sum(axis=1), 1e-6))
    usual = _usual_class(neighbour_labels, present)
    middle, spread = _robust(far[known])
    scores = np.full(len(labels), np.nan)
    for code in np.unique(usual[known]):
        own = known & (usual == code)
        centre, width = _robust(far[own]) if own.sum() > 2 * NEIGHBOURS else (middle, spread)
        scores[own] = (far[own] - centre) / max(width, spread / 2, 1e-9)
    return scores


def _usual_class(neighbour_labels: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return the most frequent label of each row's neighbours, int (n,); the smallest of several;
    -1 for none."""
    n, k = neighbour_labels.shape
    codes = np.sort(np.where(present, neighbour_labels, -1), axis=1)
    # length of the run of equal labels that ends at each column
    length = np.zeros((n, k), np.int32)
    for column in range(k):
        length[:, column] = 1
        if column:
            same = codes[:, column] == codes[:, column - 1]
            length[:, column] += np.where(same, length[:, column - 1], 0)
    length[codes < 0] = 0
    best = length.argmax(axis=1)
    return np.where(length.max(axis=1, initial=0) > 0, codes[np.arange(n), best], -1)


def _robust(values: np.ndarray) -> tuple[float, float]:
    """Return the median, and 1.4826 times the median absolute deviation."""
    if not len(values):
        return 0.0, 1.0
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))
