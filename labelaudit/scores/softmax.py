"""The softmax of a block of logits, computed once for all scores that use it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from .probability import of_label

LOWEST = -1e30  # the lowest shifted logit: finite, so that its product with 0 is 0


class Softmax:
    """The softmax of logits, float (n, C), and quantities derived from it.

    Elementwise results have the precision of the logits, float32 or float64. Sums over classes and
    all results (n,) are float64, so that a probability close to 1 is not rounded to 1.
    """

    def __init__(self, logits: np.ndarray, others: Sequence[np.ndarray] = ()) -> None:
        """others: logits, float (n, C), of further sources, which only the noise model reads."""
        self.logits = logits if logits.dtype in (np.float32, np.float64) else logits.astype(float)
        self.others = tuple(others)

    @classmethod
    def of(cls, logits: np.ndarray | Softmax) -> Softmax:
        """Return the argument if it is a Softmax, else the Softmax of these logits."""
        return logits if isinstance(logits, Softmax) else cls(logits)

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def classes(self) -> int:
        """The number of classes, C."""
        return self.logits.shape[1]

    @cached_property
    def best(self) -> np.ndarray:
        """The most probable class, int64 (n,)."""
        return self.logits.argmax(axis=1)

    @cached_property
    def shifted(self) -> np.ndarray:
        """Logits minus the largest of their row, (n, C)."""
        with np.errstate(over="ignore"):
            shifted = self.logits - of_label(self.logits, self.best)[:, None]
        return np.maximum(shifted, LOWEST, out=shifted)

    @cached_property
    def weight(self) -> np.ndarray:
        """exp(shifted), (n, C): unnormalised probabilities, 1 for the best class."""
        return np.exp(self.shifted)

    @cached_property
    def total(self) -> np.ndarray:
        """The sum of `weight` over the classes, float64 (n,)."""
        return self.weight.sum(axis=1, dtype=np.float64)

    @cached_property
    def p(self) -> np.ndarray:
        """Probabilities (n, C)."""
        return self.weight / self.total.astype(self.logits.dtype)[:, None]

    @cached_property
    def entropy(self) -> np.ndarray:
        """Entropy in nats, float64 (n,)."""
        inner = np.einsum("ij,ij->i", self.weight, self.shifted, dtype=np.float64)
        return np.log(self.total) - inner / self.total

    def of_label(self, labels: np.ndarray) -> np.ndarray:
        """Return the probability of class labels[i]; arbitrary if it is not one of the classes."""
        return of_label(self.weight, labels) / self.total

    def of_others(self, labels: np.ndarray) -> np.ndarray:
        """Return the probability of all classes but labels[i]. It is exact where it is tiny."""
        return (self.total - of_label(self.weight, labels)) / self.total

    def best_other(self, labels: np.ndarray) -> np.ndarray:
        """Return the probability of the most probable class other than labels[i]."""
        largest = np.ones(len(self))  # the weight of the best class, if that is not the given one
        at = np.flatnonzero(self.best == labels)
        some = self.weight[at]
        some[np.arange(len(at)), labels[at]] = 0
        largest[at] = some.max(axis=1)
        return largest / self.total
