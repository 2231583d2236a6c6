"""How labels go wrong: a model of the annotator, fitted to labels and logits alone.

It answers with a probability for every class that it is a sample's true one, given what the
network says of the image *and* how often labels of each class are found to be wrong, as what. So
the score `suspicion` is a probability, and its sum an estimate of how many labels are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .probability import log_softmax

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

    def posterior(self, labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """P(true class | image, given label), float64 (n, C); rows of samples without a label
        among the C classes are what the network says alone.

        labels: int (n,). logits: float (n, C).
        """
        labels = np.asarray(labels)
        log_p = log_softmax(self.sharpness * _floored(logits) + np.array(self.bias))
        known = (labels >= 0) & (labels < log_p.shape[1])
        joint = log_p.copy()
        joint[known] += self._log_likelihood(log_p[known], labels[known])
        return np.exp(log_softmax(joint))

    def _log_likelihood(self, log_p: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """log P(given label | true class a, image), (n, C)."""
        rows = np.arange(len(labels))
        doubt = np.log1p(-np.exp(log_p).clip(max=1 - 1e-9))
        wrong = np.array(self.rate) + self.ambiguity * doubt
        like = self.likeness * log_p
        if self.pair is None:
            pair = np.zeros((1, log_p.shape[1]))
            total = np.exp(like).sum(1, keepdims=True) - np.exp(like)
            picked = pair.repeat(len(labels), 0)
        else:
            pair = np.array(self.pair)
            weight = np.exp(pair)
            np.fill_diagonal(weight, 0)
            total = np.exp(like) @ weight.T
            picked = pair[:, labels].T
        out = picked + like[rows, labels][:, None] - np.log(total + 1e-300)
        out += -np.logaddexp(0, -wrong)
        out[rows, labels] = -np.logaddexp(0, wrong[rows, labels])
        return out


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
