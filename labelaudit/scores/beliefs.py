"""What a model says of some samples, worked out once for all scores that ask."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .probability import of_label

LEAST = -1e30  # the furthest that a logit lies below the best: a product with 0 must stay 0


class Beliefs:
    """The softmax of logits (n, C).

    Elementwise in the logits' own precision, float32 or float64; what is added up over classes, and
    every answer (n,), is float64, so that a probability close to 1 does not become 1.
    """

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = logits if logits.dtype in (np.float32, np.float64) else logits.astype(float)

    @classmethod
    def of(cls, logits: np.ndarray | Beliefs) -> Beliefs:
        return logits if isinstance(logits, Beliefs) else cls(logits)

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def classes(self) -> int:
        return self.logits.shape[1]

    @cached_property
    def best(self) -> np.ndarray:
        """The most probable class, int64 (n,)."""
        return self.logits.argmax(axis=1)

    @cached_property
    def below(self) -> np.ndarray:
        """Logits less the row's largest, (n, C)."""
        with np.errstate(over="ignore"):
            below = self.logits - of_label(self.logits, self.best)[:, None]
        return np.maximum(below, LEAST, out=below)

    @cached_property
    def weight(self) -> np.ndarray:
        """e to the power of `below`, (n, C): probabilities but for a factor; 1 for the best."""
        return np.exp(self.below)

    @cached_property
    def total(self) -> np.ndarray:
        return self.weight.sum(axis=1, dtype=np.float64)

    @cached_property
    def p(self) -> np.ndarray:
        """Probabilities (n, C)."""
        return self.weight / self.total.astype(self.logits.dtype)[:, None]

    @cached_property
    def entropy(self) -> np.ndarray:
        """In nats."""
        inner = np.einsum("ij,ij->i", self.weight, self.below, dtype=np.float64)
        return np.log(self.total) - inner / self.total

    def of_label(self, labels: np.ndarray) -> np.ndarray:
        """Probability of a class of each, int (n,); any number where it is not one of the C."""
        return of_label(self.weight, labels) / self.total

    def of_others(self, labels: np.ndarray) -> np.ndarray:
        """Probability of all other classes: exact where it is tiny."""
        return (self.total - of_label(self.weight, labels)) / self.total

    def best_other(self, labels: np.ndarray) -> np.ndarray:
        """Probability of the most probable class other than that of each, int (n,)."""
        largest = np.ones(len(self))
        at = np.flatnonzero(self.best == labels)  # of all others it is the best class of all
        some = self.weight[at]
        some[np.arange(len(at)), labels[at]] = 0
        largest[at] = some.max(axis=1)
        return largest / self.total
