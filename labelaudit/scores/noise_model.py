"""The noise model: a model of labelling errors, fitted to labels and logits alone.

It gives the probability that each class is the true one, from the network's prediction and from how
often labels of each class are wrong, and as which class. So the score `suspicion` is a probability,
and its sum estimates the number of wrong labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .probability import known_labels, normalise
from .softmax import Softmax

FLOOR = 1e-4  # added to probabilities, so that no class is impossible


@dataclass(frozen=True)
class NoiseModel:
    """P(true class a) = softmax(sharpness log p + bias). For a sample of class a

    - the label is wrong with probability sigmoid(rate_a + ambiguity log(1 - P(a))): with a positive
      ambiguity, errors are more likely for images that are hard to recognise;
    - a wrong label is class b with probability proportional to exp(pair_ab) P(b)^likeness.

    With ambiguity = likeness = 0 this is class-conditional noise, the model of Natarajan et al.
    2013 and of confident learning (Northcutt et al. 2021). These two parameters let errors depend
    on the image, as human errors do. All parameters are fitted to the given labels with the priors
    of `noise_fit.py`. No true label is needed.
    """

    sharpness: float
    ambiguity: float
    likeness: float
    bias: list[float]  # (C,)
    rate: list[float]  # (C,), logits
    pair: list[list[float]] | None  # (C, C); None: all wrong classes are equally likely

    def posterior(self, labels: np.ndarray, logits: np.ndarray | Softmax) -> np.ndarray:
        """Return P(true class | image, given label), (n, C), in the precision of the logits.

        For a sample without a label from 0 to C - 1 it is P(true class | image).
        labels: int (n,). logits: float (n, C).
        """
        softmax = Softmax.of(logits)
        number = softmax.logits.dtype.type
        labels = np.asarray(labels)
        at = np.flatnonzero(known_labels(labels, softmax.classes))
        given = labels[at]
        log_p = np.log(softmax.p + number(FLOOR))
        log_p *= number(self.sharpness)
        log_p += np.array(self.bias, number)
        p = normalise(log_p)
        if len(at) == len(labels):
            return self._given(p, log_p, given)
        p[at] = self._given(p[at], log_p[at], given)
        return p

    def _given(self, p: np.ndarray, log_p: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return P(true class | image, given label), (n, C).

        p, log_p: P(true class | image) and its logarithm; both arrays are overwritten.
        """
        rows, number = np.arange(len(labels)), p.dtype.type
        right = np.log(np.maximum(1 - p, number(1e-9)))
        right *= number(-self.ambiguity)
        right -= np.array(self.rate, number)
        wrong = np.exp(right, out=right)  # first the odds that the label is right
        wrong += 1
        np.divide(1, wrong, out=wrong)  # now P(label wrong | true class, image)
        log_p *= number(self.likeness)
        like = np.exp(log_p, out=log_p)
        if self.pair is None:
            chosen, like_others = None, like.sum(axis=1, keepdims=True) - like
        else:
            weight = np.exp(np.array(self.pair)).astype(number).T
            np.fill_diagonal(weight, 0)
            chosen, like_others = weight[labels], like @ weight
        p_label, p_right = p[rows, labels], 1 - wrong[rows, labels]
        p *= wrong
        if chosen is not None:
            p *= chosen
        p *= like[rows, labels][:, None]
        p /= np.maximum(like_others, number(1e-30))
        p[rows, labels] = p_label * p_right
        p /= p.sum(axis=1, keepdims=True)
        return p
