"""A model of how labels go wrong, fitted to labels and logits alone.

For every class it gives the probability that this is the true class of a sample, given what one or
more sources of predictions say about the image *and* how often labels of each class are wrong, and
as what. The score `suspicion` is therefore a probability, and its sum estimates the number of wrong
labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .probability import known_labels
from .softmax import Softmax

FLOOR = 1e-4  # share of every prediction that is spread evenly over the classes
LEAST = 1e-9  # least probability of which a logarithm is taken
MANY_CLASSES = 100  # with more, small probabilities are treated alike
SMALL = 0.01  # log(1 - p) and the resemblance of smaller probabilities are those of 0


@dataclass(frozen=True)
class NoiseModel:
    """P(true class a | image) = floor(softmax(sum_k sharpness_k log p_k + bias)).

    p_k is what source k says, and floor(q) = (1 - floor) q + floor / C. Of a sample of true class a

    - the label is wrong with probability sigmoid(rate_a + ambiguity log(1 - P(a))): with ambiguity
      above 0, images that the sources are unsure of have more errors;
    - a wrong label is class b != a with probability proportional to
      exp(target_b + pair_ab) (P(b) + resemblance)^likeness.

    The sources may know D >= C classes, of which the dataset lacks the last D - C. A label of an
    image of such a class is always wrong.

    With ambiguity = likeness = 0 this is class-conditional noise, the model of Natarajan et al.
    2013 and of confident learning (Northcutt et al. 2021). All parameters are found by maximum
    likelihood of the given labels with the priors of `noise_priors.py`. No true label is needed.
    """

    sharpness: list[float]  # (K,), one per source
    ambiguity: float
    likeness: float
    bias: list[float]  # (D,)
    rate: list[float]  # (C,), logits
    target: list[float]  # (C,)
    pair: list[list[float]] | None  # (C, C); None: all zero
    floor: float = FLOOR
    resemblance: float = 0.0  # above 0: only clear resemblance counts

    def posterior(
        self, labels: np.ndarray, sources: np.ndarray | Softmax | Sequence[np.ndarray | Softmax]
    ) -> np.ndarray:
        """Return P(true class | image, given label), (n, D), in the precision of the logits.

        labels: int (n,). sources: logits, float (n, D), or a sequence of K such arrays. Rows of
        samples without a label among the C classes are what the sources say alone.
        """
        logits = [Softmax.of(source).logits for source in as_sources(sources)]
        labels = np.asarray(labels)
        known = known_labels(labels, len(self.rate))
        if self.pair is None and logits[0].shape[1] > MANY_CLASSES:
            return self._of_many_classes(logits, labels, known)
        # Arrays are (D, n): sums and maxima over classes are then vectorised over samples.
        p = self._from_images(logits)
        if known.all():
            return np.ascontiguousarray(self._given(p, labels).T)
        at = np.flatnonzero(known)
        p[:, at] = self._given(p[:, at], labels[at])
        return np.ascontiguousarray(p.T)

    def _from_images(self, logits: Sequence[np.ndarray]) -> np.ndarray:
        """Return P(true class | image), (D, n)."""
        number = logits[0].dtype.type
        mixed = np.array(self.bias, number)[:, None] + logits[0].T * number(self.sharpness[0])
        for source, sharpness in zip(logits[1:], self.sharpness[1:], strict=True):
            mixed += source.T * number(sharpness)
        return floored_softmax(np.ascontiguousarray(mixed), self.floor)[1]

    def _given(self, p: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return P(true class | image, given label), (D, n). Overwrites p."""
        columns, number, C = np.arange(len(labels)), p.dtype.type, len(self.rate)
        known = p[:C]  # of the classes that labels can have
        wrong = np.log(np.maximum(1 - known, number(LEAST)))
        wrong *= number(-self.ambiguity)
        wrong -= np.array(self.rate, number)[:, None]
        with np.errstate(over="ignore"):
            np.exp(wrong, out=wrong)  # odds that a label of this class is right
        wrong += 1
        np.divide(1, wrong, out=wrong)
        like = np.log(known + number(self.resemblance))
        like *= number(self.likeness)
        np.exp(like, out=like)
        like *= np.exp(np.array(self.target)).astype(number)[:, None]
        total = like.sum(axis=0)
        if self.pair is None:
            every = total - like
        else:
            pair = np.exp(np.array(self.pair)).astype(number)
            np.fill_diagonal(pair, 0)
            every = pair @ like
        p_right = p[labels, columns] * (1 - wrong[labels, columns])
        wrong /= np.maximum(every, number(1e-30))
        if self.pair is not None:
            wrong *= pair.T[labels].T
        known *= wrong
        p[C:] /= total
        p *= like[labels, columns]
        p[labels, columns] = p_right
        p /= p.sum(axis=0)
        return p

    def _of_many_classes(
        self, logits: Sequence[np.ndarray], labels: np.ndarray, known: np.ndarray
    ) -> np.ndarray:
        """Return P(true class | image, given label), (n, D), in few passes over the logits.

        Ambiguity and likeness are computed where P(a | image) > SMALL only. Everything is divided
        by what all classes have in common: the likeness of the given class, over the sum of all.
        """
        number, C = logits[0].dtype.type, len(self.rate)
        p = logits[0] * number(self.sharpness[0])
        p += np.array(self.bias, number)
        for source, sharpness in zip(logits[1:], self.sharpness[1:], strict=True):
            p += source * number(sharpness)
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p *= (1 - self.floor) / p.sum(axis=1, keepdims=True)
        p += number(self.floor / p.shape[1])
        rate, target = np.array(self.rate), np.exp(np.array(self.target))
        least = target * max(self.resemblance, LEAST) ** self.likeness
        mask = p > SMALL  # np.nonzero is ten times as slow
        mask[:, C:] = False
        mask[~known] = False
        rows, at = np.divmod(np.flatnonzero(mask), p.shape[1])
        large = p[rows, at].astype(np.float64)
        like = target[at] * (large + self.resemblance) ** self.likeness
        total = least.sum() + np.bincount(rows, like - least[at], len(p))
        wrong = sigmoid(rate[at] + self.ambiguity * np.log(np.maximum(1 - large, LEAST)))
        given, each = np.where(known, labels, 0), np.arange(len(p))
        own = p[each, given].astype(np.float64)
        wrong_own = sigmoid(rate[given] + self.ambiguity * np.log(np.maximum(1 - own, LEAST)))
        like_own = target[given] * (own + self.resemblance) ** self.likeness
        usual = np.ones(p.shape[1])
        usual[:C] = sigmoid(rate) / np.maximum(1 - least / least.sum(), LEAST)
        if known.all():
            p *= usual.astype(number)
        else:
            p[known] *= usual.astype(number)
        p[rows, at] = large * wrong / np.maximum(1 - like / total[rows], LEAST)
        p[each, given] = np.where(known, own * (1 - wrong_own) * total / like_own, p[each, given])
        p /= p.sum(axis=1, keepdims=True)
        return p


def sigmoid(x):
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def floored_softmax(mixed: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the softmax over axis 0 of (D, n), and the same with a floor. Overwrites `mixed`."""
    mixed -= mixed.max(axis=0)
    q = np.exp(mixed, out=mixed)
    q /= q.sum(axis=0)
    p = q * q.dtype.type(1 - floor)
    p += q.dtype.type(floor / len(q))
    return q, p


def as_sources(sources) -> Sequence:
    """Return a sequence of sources; a single one becomes a list."""
    return sources if isinstance(sources, list | tuple) else [sources]
