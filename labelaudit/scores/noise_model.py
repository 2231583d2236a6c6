"""How labels go wrong: a model of the annotator, fitted to labels and logits alone.

It answers with a probability for every class that it is a sample's true one, given what the
network says of the image *and* how often labels of each class are found to be wrong, as what. So
the score `suspicion` is a probability, and its sum an estimate of how many labels are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .beliefs import Beliefs
from .probability import known_labels, log_softmax

FLOOR = 1e-4  # added to probabilities: how sure a network may be that a class is impossible
ROWS = 20_000  # samples that the model is fitted to, at most …
CELLS = 2_000_000  # … and at most this many sample-class pairs
PAIR_CLASSES = 100  # with more classes the pairs are left to the network's own doubts
# A network that learned these very labels seems to be surer of them than it is right: fitted, its
# sharpness becomes 1.8, and what the network does not know counts as errors (on 10,000 CIFAR-10
# images the suspicions add up to 1.23 times the wrong labels with 20 % uniform mistakes, and 1.06
# times with human_random1). With 1.5 it is 1.12 and 0.94 times.
SHARPNESS = 1.5
STEPS = 200  # of L-BFGS; what is left to gain after them is below a thousandth of a nat a sample
# Priors: standard deviations of each parameter around "errors strike all classes and images alike".
SD_PAIR, SD_CLASS, SD_BIAS, SD_LIKENESS = 2.2, 0.22, 0.3, 0.5
USUAL_RATE, SD_RATE = -3.0, 1.0  # of the errors of all classes, as a logit
SD_SHARPNESS = 0.3  # of its logarithm, out of sample; else what is hard may all be called wrong
SD_AMBIGUITY = {True: 0.5, False: 0.1}  # out of sample; in-sample doubt says less


@dataclass(frozen=True)
class NoiseModel:
    """P(true class a) = softmax(sharpness log p + bias), and of a sample of class a

    - the label is wrong with probability sigmoid(rate_a + ambiguity log(1 - P(a))): the more doubt
      about the image, the more errors, where ambiguity > 0;
    - a wrong one is class b with probability proportional to exp(pair_ab) P(b)^likeness.

    With ambiguity = likeness = 0 this is class-conditional noise, the model of Natarajan et al.
    2013 and of confident learning (Northcutt et al. 2021); the two further numbers let errors
    depend on the image, as those of people do. All are found by maximum likelihood of the given
    labels, with the priors above; no true label is needed.
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
        log_p -= log_p.max(axis=1, keepdims=True)
        p = np.exp(log_p)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        log_p -= np.log(total)
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


def fit_noise_model(labels: np.ndarray, logits: np.ndarray, out_of_sample: bool) -> NoiseModel:
    """Fit it to labels, int (n,), and logits, float (n, C), of samples that all have a label.

    out_of_sample: whether the network did not learn these labels; of one that did, the sharpness
    is not fitted.
    Time grows with n C, with n C^2 up to PAIR_CLASSES: take no more than `most_rows(C)` samples.
    """
    import torch  # takes seconds to import
    from torch.nn.functional import logsigmoid

    classes = logits.shape[1]
    given = torch.from_numpy(labels.astype(np.int64))
    told = torch.from_numpy(_floored(logits))
    rows = torch.arange(len(labels))
    weights = _Parameters(torch, classes, out_of_sample)
    itself = torch.eye(classes, dtype=torch.bool)

    def loss():
        log_p = torch.log_softmax(weights.sharpness * told + weights.bias, 1)
        doubt = torch.log1p(-log_p.exp().clamp(max=1 - 1e-9))
        wrong = weights.overall + weights.rate + weights.ambiguity * doubt
        like = weights.likeness * log_p
        if weights.pair is None:
            total = like.exp().sum(1, keepdim=True) - like.exp()
            picked = 0.0
        else:
            total = like.exp() @ weights.pair.exp().masked_fill(itself, 0).T
            picked = weights.pair[:, given].T
        joint = log_p + logsigmoid(wrong) + picked + like[rows, given][:, None]
        joint = joint - torch.log(total + 1e-300)
        right = log_p[rows, given] + logsigmoid(-wrong)[rows, given]
        joint = joint.scatter(1, given[:, None], right[:, None])
        return weights.penalty() - torch.logsumexp(joint, 1).sum()

    optimizer = torch.optim.LBFGS(
        weights.all, max_iter=STEPS, tolerance_change=1e-8 * len(labels),
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the arrays are small: two threads take twenty times the CPU time
    try:
        optimizer.step(closure)
    finally:
        torch.set_num_threads(threads)
    return weights.model()


class _Parameters:
    """What is fitted, where it starts, and its prior."""

    def __init__(self, torch, classes: int, out_of_sample: bool) -> None:
        def number(shape, start: float = 0.0):
            return torch.full(shape, start, dtype=torch.float64, requires_grad=True)

        self.overall, self.sharpness = number((), -2.0), number((), SHARPNESS)
        self._sd_ambiguity = SD_AMBIGUITY[out_of_sample]
        self.ambiguity, self.likeness = number(()), number(())
        self.bias, self.rate = number((classes,)), number((classes,))
        self.pair = number((classes, classes)) if 2 < classes <= PAIR_CLASSES else None
        self.all = [self.overall, self.ambiguity, self.likeness, self.bias, self.rate]
        self.all += [] if self.pair is None else [self.pair]
        self.all += [self.sharpness] if out_of_sample else []

    def penalty(self):
        """Minus the logarithm of the priors."""
        parts = [(self.ambiguity, self._sd_ambiguity), (self.likeness, SD_LIKENESS),
                 (self.bias, SD_BIAS), (self.rate, SD_CLASS)]  # fmt: skip
        parts += [] if self.pair is None else [(self.pair, SD_PAIR)]
        parts += [(self.overall - USUAL_RATE, SD_RATE)]
        parts += [((self.sharpness.clamp_min(1e-3) / SHARPNESS).log(), SD_SHARPNESS)]
        return sum((value**2).sum() / (2 * sd**2) for value, sd in parts)

    def model(self) -> NoiseModel:
        def plain(value):
            return value.detach().numpy().round(6).tolist()

        return NoiseModel(
            plain(self.sharpness), plain(self.ambiguity), plain(self.likeness), plain(self.bias),
            plain(self.overall + self.rate), None if self.pair is None else plain(self.pair),
        )  # fmt: skip


def most_rows(classes: int) -> int:
    """How many samples are enough to fit the model to."""
    return max(min(ROWS, CELLS // classes), 1)


def _floored(logits: np.ndarray) -> np.ndarray:
    return np.log(np.exp(log_softmax(logits)) + FLOOR)
