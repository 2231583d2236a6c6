"""Outliers: images that look like no class of the dataset."""

from __future__ import annotations

import numpy as np

from ..core.progress import QUIET, Task
from .neighbours import all_nearest

NEIGHBOURS = 10
FAR = 4.0  # robust standard deviations above the usual distance


def outlier_scores(
    vectors: np.ndarray, labels: np.ndarray, classes: int, task: Task = QUIET
) -> np.ndarray:
    """How far each image lies from all others, relative to the class of its neighbours.

    vectors: float (n, d), of which only the direction counts; rows of zeros or NaN have no score.
    labels: int (n,), negative for none. Returns float64 (n,), NaN for none: the cosine distance to
    the NEIGHBOURS nearest images, as robust standard deviations (1.4826 times the median absolute
    deviation) above the median of the images whose neighbours are mostly of the same class. The
    distance to the k nearest neighbours as an outlier score is of Ramaswamy et al. 2000.
    """
    near, cosine = all_nearest(vectors, labels >= 0, NEIGHBOURS, task)
    there = near[:, 0] >= 0
    with np.errstate(invalid="ignore"):
        distance = 1 - np.where(np.isnan(cosine), np.nan, cosine).astype(np.float64)
    far = np.full(len(vectors), np.nan)
    far[there] = np.log(np.maximum(np.nanmean(distance[there], axis=1), 1e-6))
    votes = np.zeros((len(vectors), classes), np.int32)
    rows = np.repeat(np.arange(len(vectors)), near.shape[1])
    codes = np.where(near >= 0, labels[near], -1).ravel()
    np.add.at(votes, (rows[codes >= 0], codes[codes >= 0]), 1)
    home = votes.argmax(axis=1)
    middle, spread = _robust(far[there])
    scores = np.full(len(vectors), np.nan)
    for code in range(classes):
        own = there & (home == code)
        if own.sum() > 2 * NEIGHBOURS:
            centre, width = _robust(far[own])
        else:
            centre, width = middle, spread
        scores[own] = (far[own] - centre) / max(width, spread / 2, 1e-9)
    return scores


def _robust(values: np.ndarray) -> tuple[float, float]:
    """Median, and 1.4826 times the median absolute deviation."""
    if not len(values):
        return 0.0, 1.0
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))
