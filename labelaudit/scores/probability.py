"""Functions of logits that several scores share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

# Each call returns (rows int (m,), logits float (m, C)) of all predicted samples, block by block.
Batches = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities, float64 (n, C), of logits (n, C). Safe for large values."""
    logits = logits.astype(np.float64, copy=False)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (n, C), float64."""
    return np.exp(log_softmax(logits))


def of_label(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return values[i, labels[i]], (n,); an arbitrary number if the label is not a column."""
    inside = np.clip(labels, 0, values.shape[1] - 1)
    return np.take_along_axis(values, inside[:, None].astype(np.int64), axis=1)[:, 0]


def best_other(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the largest value of a class other than labels[i], (n,).

    A label that is not a column counts as the nearest one.
    """
    inside = np.clip(labels, 0, values.shape[1] - 1)
    others = values.copy()
    np.put_along_axis(others, inside[:, None].astype(np.int64), -np.inf, axis=1)
    return others.max(axis=1)


def best_other_class(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the class other than labels[i] with the largest value, int64 (n,).

    For a label that is not a column it is the best of all classes.
    """
    others = values.copy()
    rows = np.flatnonzero(known_labels(labels, values.shape[1]))
    others[rows, labels[rows]] = -np.inf
    return others.argmax(axis=1)


def known_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return a mask, bool (n,), of the samples with a label from 0 to classes - 1."""
    return (labels >= 0) & (labels < classes)


def only_labelled(labels: np.ndarray, classes: int, scores: np.ndarray) -> np.ndarray:
    """Return the scores with NaN for samples without a label from 0 to classes - 1."""
    return np.where(known_labels(labels, classes), scores, np.nan)
