"""Exact copies under different labels: exactly one of these labels can be right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..dataset.arrays import MISSING, differing

LEAST_P = 1e-6  # probabilities are clipped to LEAST_P and 1 - LEAST_P


@dataclass(frozen=True)
class CopyConflicts:
    """What copies say about each other. Arrays (m,)."""

    places: np.ndarray  # of the samples in a conflict
    p_wrong: np.ndarray  # probability that the given label is wrong
    suggested: np.ndarray  # the most probable other class among the labels of the copies
    suggested_p: np.ndarray  # its probability


def weigh_copies(copy_of: np.ndarray, labels: np.ndarray, p_wrong: np.ndarray) -> CopyConflicts:
    """Return the probability that each label is wrong, given that one label of its copies is right.

    copy_of: int (n,), equal for copies of one picture, MISSING for samples that take no part.
    labels: class indices, int (n,). p_wrong: float (n,), of each sample alone; NaN takes no part.
    For a group of copies with at least two different labels, P(class k is right) is proportional to
    the product of 1 - p_wrong of the copies labelled k, times that of p_wrong of the others.
    """
    usable = np.flatnonzero((copy_of != MISSING) & (labels != MISSING) & np.isfinite(p_wrong))
    places = usable[differing(copy_of[usable], labels[usable])]
    _, group = np.unique(copy_of[places], return_inverse=True)
    # one candidate for each class in each group
    pairs = np.stack([group, labels[places]], axis=1)
    pairs, candidate = np.unique(pairs, axis=0, return_inverse=True)
    candidate = candidate.reshape(-1)
    p = np.clip(p_wrong[places], LEAST_P, 1 - LEAST_P)
    share = _shares(np.bincount(candidate, np.log1p(-p) - np.log(p)), pairs[:, 0])
    order = np.lexsort((-share, pairs[:, 0]))
    starts = np.searchsorted(pairs[order, 0], np.arange(len(np.unique(group))))
    first, second = order[starts][group], order[starts + 1][group]
    best = np.where(candidate == first, second, first)  # of the other classes
    wrong = 1 - share[candidate]
    suggested_p = np.minimum(share[best], wrong)  # equal for two classes, except for rounding
    return CopyConflicts(places, wrong, pairs[best, 1], suggested_p)


def _shares(log_weights: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return weights, given as logarithms, (m,), divided by the sum of their group."""
    count = int(group.max(initial=-1)) + 1
    largest = np.full(count, -np.inf)
    np.maximum.at(largest, group, log_weights)
    weights = np.exp(log_weights - largest[group])
    return weights / np.bincount(group, weights, minlength=count)[group]
