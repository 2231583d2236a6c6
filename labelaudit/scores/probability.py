"""What the logit scores share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

# Gives (places int (m,), logits float (m, C)) of all predicted samples, each time it is called.
Batches = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities (n, C), float64, of logits (n, C); safe for large values."""
    logits = logits.astype(np.float64, copy=False)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def normalise(logs: np.ndarray) -> np.ndarray:
    """Make logarithms of weights, float (n, C), those of probabilities, in place. Returns the
    probabilities."""
    logs -= logs.max(axis=1, keepdims=True)
    p = np.exp(logs)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    logs -= np.log(total)
    return p


def only_labelled(labels: np.ndarray, classes: int, scores: np.ndarray) -> np.ndarray:
    """The scores, NaN where a sample has no given class among the model's (0 … classes - 1)."""
    return np.where(known_labels(labels, classes), scores, np.nan)


def of_label(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """values[i, labels[i]], (n,); any number where the label is missing."""
    inside = np.clip(labels, 0, values.shape[1] - 1)
    return np.take_along_axis(values, inside[:, None].astype(np.int64), axis=1)[:, 0]


def best_other(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The largest value of a class other than labels[i], (n,)."""
    inside = np.clip(labels, 0, values.shape[1] - 1)
    others = values.copy()
    np.put_along_axis(others, inside[:, None].astype(np.int64), -np.inf, axis=1)
    return others.max(axis=1)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of logits (n, C), float64."""
    return np.exp(log_softmax(logits))


def known_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    """Mask, bool (n,), of the samples that have a class which the model knows."""
    return (labels >= 0) & (labels < classes)
