from __future__ import annotations

from typing import Self

import numpy as np

from .base import BlockModel, LogitsInfo, score_batches
from .probability import Batches, known_labels
from .softmax import Softmax

ROUNDING = 1e-6  # tolerance of cleanlab's comparisons
LOWEST_THRESHOLD = 2e-6  # as in cleanlab


class ConfidentLearning(BlockModel):
    """Computes the score described in `confident_learning`."""

    reads_twice = True

    def __init__(self, info: LogitsInfo) -> None:
        self._sum, self._count = np.zeros((2, info.classes))

    def observe(self, labels: np.ndarray, softmax: Softmax) -> None:
        known = known_labels(labels, softmax.classes)
        given, size = labels[known], len(self._sum)
        self._sum += np.bincount(given, softmax.of_label(labels)[known], size)
        self._count += np.bincount(given, minlength=size)

    def merge(self, other: Self) -> None:
        self._sum += other._sum
        self._count += other._count

    @property
    def thresholds(self) -> np.ndarray:
        """The mean probability of each class among the samples labelled so, (C,).

        It is infinite for a class without samples, so that no sample reaches it.
        """
        mean = np.maximum(self._sum / np.maximum(self._count, 1), LOWEST_THRESHOLD)
        return np.where(self._count > 0, mean, np.inf)

    def score(self, labels: np.ndarray, softmax: Softmax) -> np.ndarray:
        p = softmax.p
        confident = p >= (self.thresholds - ROUNDING).astype(p.dtype)
        count = confident.sum(axis=1)
        chosen = np.where(count > 1, softmax.best, confident.argmax(axis=1))
        agrees = softmax.of_label(labels) + ROUNDING >= 1 / softmax.total
        issue = (count > 0) & (chosen != labels) & ~agrees
        known = known_labels(labels, softmax.classes)
        return np.where(known, (softmax.of_others(labels) + issue) / 2, np.nan)


def confident_learning(labels: np.ndarray, batches: Batches) -> np.ndarray:
    """Return 1 - q/2 for a label that confident learning counts as wrong, else (1 - q)/2; 0 to 1.

    q is cleanlab's default label quality: the probability of the given class. A class is confident
    if its probability reaches its threshold, the mean probability of that class among the samples
    labelled so. A label counts as wrong if another class is confident (the most probable one, if
    there are several) and the predicted class is another one too: an off-diagonal sample of the
    confident joint. So the number of scores above 0.5 equals cleanlab's `num_label_issues` with
    "off_diagonal" (tests compare them). Within both groups samples are ranked by 1 - q. cleanlab's
    own batched version (`LabelInspector`) takes about ten times the processor time.

    labels: int (n,), negative for none. batches: called twice, returns (rows int (m,), logits float
    (m, C)) of all predicted samples. Returns float64 (n,), NaN without a label from 0 to C - 1 or
    without a prediction. It assumes calibrated out-of-sample probabilities; with predictions for
    samples that the model was trained on it counts too few.
    Source: Northcutt, Jiang & Chuang 2021, "Confident Learning".
    """
    return score_batches(ConfidentLearning, labels, batches, out_of_sample=True)
