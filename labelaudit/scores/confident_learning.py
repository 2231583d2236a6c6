from __future__ import annotations

import numpy as np

from .beliefs import Beliefs
from .probability import Batches, known_labels

ROUNDING = 1e-6  # cleanlab's margin in comparisons
LOWEST = 2e-6  # … and its lowest threshold


class ConfidentLearning:
    """The score that `confident_learning` describes, of blocks: first `look` at all, then `score`
    each."""

    def __init__(self, classes: int) -> None:
        self._sum, self._count = np.zeros((2, classes))

    def look(self, labels: np.ndarray, beliefs: Beliefs) -> None:
        known = known_labels(labels, beliefs.classes)
        given, size = labels[known], len(self._sum)
        self._sum += np.bincount(given, beliefs.of_label(labels)[known], size)
        self._count += np.bincount(given, minlength=size)

    def merge(self, other: ConfidentLearning) -> None:
        """Take in what another one has seen."""
        self._sum += other._sum
        self._count += other._count

    @property
    def thresholds(self) -> np.ndarray:
        """Mean probability of each class among the samples given it, (C,); of a class that nobody
        was given infinite: no sample reaches it."""
        mean = np.maximum(self._sum / np.maximum(self._count, 1), LOWEST)
        return np.where(self._count > 0, mean, np.inf)

    def score(self, labels: np.ndarray, beliefs: Beliefs) -> np.ndarray:
        p = beliefs.p
        confident = p >= (self.thresholds - ROUNDING).astype(p.dtype)
        of_those = confident.sum(axis=1)
        chosen = np.where(of_those > 1, beliefs.best, confident.argmax(axis=1))
        predicted_so = beliefs.of_label(labels) + ROUNDING >= 1 / beliefs.total
        issue = (of_those > 0) & (chosen != labels) & ~predicted_so
        known = known_labels(labels, beliefs.classes)
        return np.where(known, (beliefs.of_others(labels) + issue) / 2, np.nan)


def confident_learning(labels: np.ndarray, batches: Batches) -> np.ndarray:
    """1 - q/2 for a label that confident learning counts as wrong, else (1 - q)/2; 0 to 1.

    q is the label quality that cleanlab has by default: the probability of the given class. A label
    is counted where the class that is confidently there (its probability is at least the mean that
    the samples given this class have for it; the most probable class where there are several) and
    the most probable class are both another one: an off-diagonal sample of the confident joint. So
    those above 0.5 are as many as cleanlab's `num_label_issues` says ("off_diagonal"; the tests
    compare), and each part is ranked by how little the given class is believed. cleanlab has this
    in batches, too (`LabelInspector`), at some ten times the processor time.

    labels: int (n,), negative for none. batches: called twice, gives (places int (m,), logits
    float (m, C)) of all predicted samples, streamed. Returns float64 (n,), NaN without a given
    class among the model's, or without a prediction. Calibrated probabilities are assumed, of
    samples that were not learned: of learned ones it counts too few.
    Source: Northcutt, Jiang & Chuang 2021, "Confident Learning".
    """
    out, model = np.full(len(labels), np.nan), None
    for places, logits in batches():
        model = model or ConfidentLearning(logits.shape[1])
        model.look(labels[places], Beliefs(logits))
    for places, logits in batches():
        out[places] = model.score(labels[places], Beliefs(logits))
    return out
