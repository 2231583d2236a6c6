"""How labels go wrong: a model of the annotator, fitted to labels and logits alone.

It answers with a probability for every class that it is a sample's true one, given what the
network says of the image *and* how often labels of each class are found to be wrong, as what. So
the score `suspicion` is a probability, and its sum an estimate of how many labels are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .beliefs import Beliefs
from .probability import known_labels, normalise

FLOOR = 1e-4  # added to probabilities: how sure a network may be that a class is impossible


@dataclass(frozen=True)
class NoiseModel:
    """P(true class a) = softmax(sharpness log p + bias), and of a sample of class a

    - the label is wrong with probability sigmoid(rate_a + ambiguity log(1 - P(a))): the more doubt
      about the image, the more errors, where ambiguity > 0;
    - a wrong one is class b with probability proportional to exp(pair_ab) P(b)^likeness.

    With ambiguity = likeness = 0 this is class-conditional noise, the model of Natarajan et al.
    2013 and of confident learning (Northcutt et al. 2021); the two further numbers let errors
    depend on the image, as those of people do. All are found by maximum likelihood of the given
    labels, with the priors of `noise_fit.py`; no true label is needed.
    """

    sharpness: float
    ambiguity: float
    likeness: float
    bias: list[float]  # (C,)
    rate: list[float]  # (C,), logits
    pair: list[list[float]] | None  # (C, C); None: all alike

    def posterior(self, labels: np.ndarray, logits: np.ndarray | Beliefs) -> np.ndarray:
        """P(true class | image, given label), (n, C), in the precision of the logits; rows of
        samples without a label among the C classes are what the network says alone.

        labels: int (n,). logits: float (n, C).
        """
        beliefs = Beliefs.of(logits)
        number = beliefs.logits.dtype.type
        labels = np.asarray(labels)
        at = np.flatnonzero(known_labels(labels, beliefs.classes))
        given = labels[at]
        log_p = np.log(beliefs.p + number(FLOOR))
        log_p *= number(self.sharpness)
        log_p += np.array(self.bias, number)
        p = normalise(log_p)
        if len(at) == len(labels):
            return self._given(p, log_p, given)
        p[at] = self._given(p[at], log_p[at], given)
        return p

    def _given(self, p: np.ndarray, log_p: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """P(true class | image, given label), (n, C), of P(true class | image) and its logarithm;
        both are overwritten."""
        rows, number = np.arange(len(labels)), p.dtype.type
        right = np.log(np.maximum(1 - p, number(1e-9)))
        right *= number(-self.ambiguity)
        right -= np.array(self.rate, number)
        wrong = np.exp(right, out=right)  # odds that a label of this class is right, then …
        wrong += 1
        np.divide(1, wrong, out=wrong)  # … P(label wrong | true class, image)
        log_p *= number(self.likeness)
        like = np.exp(log_p, out=log_p)
        if self.pair is None:
            chosen, every = None, like.sum(axis=1, keepdims=True) - like
        else:
            weight = np.exp(np.array(self.pair)).astype(number).T
            np.fill_diagonal(weight, 0)
            chosen, every = weight[labels], like @ weight
        p_label, p_right = p[rows, labels], 1 - wrong[rows, labels]
        p *= wrong
        if chosen is not None:
            p *= chosen
        p *= like[rows, labels][:, None]
        p /= np.maximum(every, number(1e-30))
        p[rows, labels] = p_label * p_right
        p /= p.sum(axis=1, keepdims=True)
        return p
