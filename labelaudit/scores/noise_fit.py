"""Fits the noise model: most probable parameters, by L-BFGS with slopes worked out by hand.

Ten classes and 20,000 samples take about half a second of one processor; the same through torch's
automatic slopes took three times that, and torch had to be imported for it.
"""

from __future__ import annotations

import numpy as np

from .noise_model import FLOOR, NoiseModel
from .probability import log_softmax, normalise

ROWS = 20_000  # samples that the model is fitted to, at most …
CELLS = 2_000_000  # … and at most this many sample-class pairs
PAIR_CLASSES = 100  # with more classes the pairs are left to the network's own doubts
# A network that learned these very labels seems to be surer of them than it is right: fitted, its
# sharpness becomes 1.8, and what the network does not know counts as errors (on 10,000 CIFAR-10
# images the suspicions add up to 1.23 times the wrong labels with 20 % uniform mistakes, and 1.06
# times with human_random1). With 1.5 it is 1.12 and 0.94 times.
SHARPNESS = 1.5
STEPS = 200  # of L-BFGS; what is left to gain after them is below a thousandth of a nat a sample
CURVATURES = 30  # it remembers so many of them
BLOCK = 1 << 14  # numbers at a time: what is made of them stays in the processor's cache
TINY = 1e-300
# Priors: standard deviations of each parameter around "errors strike all classes and images alike".
SD_PAIR, SD_CLASS, SD_BIAS, SD_LIKENESS = 2.2, 0.22, 0.3, 0.5
USUAL_RATE, SD_RATE = -3.0, 1.0  # of the errors of all classes, as a logit
SD_SHARPNESS = 0.3  # of its logarithm, out of sample; else what is hard may all be called wrong
SD_AMBIGUITY = {True: 0.5, False: 0.1}  # out of sample; in-sample doubt says less


def fit_noise_model(labels: np.ndarray, logits: np.ndarray, out_of_sample: bool) -> NoiseModel:
    """Fit it to labels, int (n,), and logits, float (n, C), of samples that all have a label.

    out_of_sample: whether the network did not learn these labels; of one that did, the sharpness
    is not fitted.
    Time grows with n C, with n C^2 up to PAIR_CLASSES: take no more than `most_rows(C)` samples.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    likelihood = _Likelihood(labels, logits, out_of_sample)
    # the products are small: two threads of a BLAS that wait for each other take ten times as long;
    # and a step that went much too far, where numbers overflow, is taken back
    with threadpool_limits(1, "blas"), np.errstate(over="ignore"):
        found = minimize(
            likelihood, likelihood.layout.start, jac=True, method="L-BFGS-B",
            options={"maxiter": STEPS, "maxcor": CURVATURES, "ftol": 1e-8, "gtol": 1e-5},
        )  # fmt: skip
    return likelihood.layout.model(found.x)


class _Layout:
    """Where in a vector of numbers each parameter lies, where it starts, and its prior."""

    def __init__(self, classes: int, out_of_sample: bool) -> None:
        self._shapes = {"overall": (), "ambiguity": (), "likeness": (), "bias": (classes,),
                        "rate": (classes,)}  # fmt: skip
        self.pairs = 2 < classes <= PAIR_CLASSES
        if self.pairs:
            self._shapes["pair"] = (classes, classes)
        if out_of_sample:
            self._shapes["sharpness"] = ()
        self._sd = {"overall": SD_RATE, "ambiguity": SD_AMBIGUITY[out_of_sample],
                    "likeness": SD_LIKENESS, "bias": SD_BIAS, "rate": SD_CLASS,
                    "pair": SD_PAIR}  # fmt: skip
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes.values()])
        starts = [0, *ends[:-1]]
        self._at = dict(zip(self._shapes, map(slice, starts, ends), strict=True))
        self.start = np.zeros(ends[-1])
        self.start[self._at["overall"]] = -2.0
        if out_of_sample:
            self.start[self._at["sharpness"]] = SHARPNESS

    def split(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Views of the vector, by parameter; a sharpness that is not fitted is there, too."""
        parts = {name: x[self._at[name]].reshape(shape) for name, shape in self._shapes.items()}
        return {"sharpness": np.array(SHARPNESS), **parts}

    def penalty(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the logarithm of the priors, and its gradient."""
        total, slope = 0.0, np.zeros_like(x)
        for name, sd in self._sd.items():
            if name in self._at:
                off = x[self._at[name]] - (USUAL_RATE if name == "overall" else 0)
                total += float((off**2).sum()) / (2 * sd**2)
                slope[self._at[name]] = off / sd**2
        if "sharpness" in self._at:
            sharpness = max(float(x[self._at["sharpness"]][0]), 1e-3)
            off = np.log(sharpness / SHARPNESS)
            total += off**2 / (2 * SD_SHARPNESS**2)
            slope[self._at["sharpness"]] = off / (SD_SHARPNESS**2 * sharpness)
        return total, slope

    def model(self, x: np.ndarray) -> NoiseModel:
        found = self.split(x)

        def plain(value):
            return np.round(value, 6).tolist()

        return NoiseModel(
            plain(found["sharpness"]), plain(found["ambiguity"]), plain(found["likeness"]),
            plain(found["bias"]), plain(found["overall"] + found["rate"]),
            plain(found["pair"]) if self.pairs else None,
        )  # fmt: skip


class _Likelihood:
    """What is made small: minus the logarithms of the given labels' probabilities and of the
    priors, of a vector of parameters, with its gradient."""

    def __init__(self, labels: np.ndarray, logits: np.ndarray, out_of_sample: bool) -> None:
        classes = logits.shape[1]
        self.layout = _Layout(classes, out_of_sample)
        order = np.argsort(labels, kind="stable")  # so that what belongs to a label lies together
        labels, told = labels[order], _floored(logits[order])
        rows = max(BLOCK // classes, 1)
        self._blocks = [
            (labels[i : i + rows], told[i : i + rows]) for i in range(0, len(labels), rows)
        ]

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = self.layout.penalty(x)
        at, to = self.layout.split(x), self.layout.split(slope)
        if self.layout.pairs:
            # by the largest of the row, which changes no share of it
            weight = np.exp(at["pair"] - at["pair"].max(axis=1, keepdims=True))
            np.fill_diagonal(weight, 0)
        else:
            weight = None
        for labels, told in self._blocks:
            value -= self._add(labels, told, at, weight, to)
        return value, slope

    def _add(self, labels, told, at, weight, to) -> float:
        """The logarithm of the probability of these labels; minus its gradient is added to the
        parts of `to`. Letters: g is the given class, a any."""
        rows = np.arange(len(labels))
        log_p = at["sharpness"] * told
        log_p += at["bias"]
        p = normalise(log_p)
        rest = np.maximum(1 - p, 1e-9)
        doubt = np.log(rest)
        wrong = at["ambiguity"] * doubt
        wrong += at["overall"] + at["rate"]
        chance = 1 / (1 + np.exp(-wrong))  # that the label is wrong, if a is true
        like = at["likeness"] * log_p
        like -= like.max(axis=1, keepdims=True)  # changes no share of a row either
        np.exp(like, out=like)
        every = like.sum(axis=1, keepdims=True) - like if weight is None else like @ weight.T
        every += TINY
        # P(a and the given label), each over like_g, which is no less than of the right order
        joint = p * chance
        joint /= every
        if weight is not None:
            joint *= weight.T[labels]
        joint *= like[rows, labels][:, None]
        joint[rows, labels] = p[rows, labels] * (1 - chance[rows, labels])
        sums = joint.sum(axis=1, keepdims=True) + TINY
        joint /= sums  # P(a | image, given label)
        of_p = joint.copy()  # from here on slopes: of the sum of log(sums), by what the name says
        own = joint[rows, labels]
        of_wrong = joint * (1 - chance)
        of_wrong[rows, labels] = -own * chance[rows, labels]
        joint[rows, labels] = 0
        if weight is not None:
            starts = np.flatnonzero(np.diff(labels, prepend=-1))
            to["pair"][:, labels[starts]] -= np.add.reduceat(joint, starts, axis=0).T
        joint /= every
        if weight is None:
            of_like = joint - joint.sum(axis=1, keepdims=True)
        else:
            to["pair"] += weight * (joint.T @ like)
            of_like = -(joint @ weight)
        of_like *= like
        of_like[rows, labels] += 1 - own
        to["likeness"] -= np.vdot(of_like, log_p)
        of_like *= at["likeness"]
        of_p += of_like
        to["overall"] -= of_wrong.sum()
        to["rate"] -= of_wrong.sum(axis=0)
        to["ambiguity"] -= np.vdot(of_wrong, doubt)
        of_wrong *= p
        of_wrong /= rest
        of_wrong *= at["ambiguity"]
        of_p -= of_wrong
        of_p -= p * of_p.sum(axis=1, keepdims=True)
        to["bias"] -= of_p.sum(axis=0)
        to["sharpness"] -= np.vdot(of_p, told)
        return float(np.log(sums).sum())


def most_rows(classes: int) -> int:
    """How many samples are enough to fit the model to."""
    return max(min(ROWS, CELLS // classes), 1)


def _floored(logits: np.ndarray) -> np.ndarray:
    return np.log(np.exp(log_softmax(logits)) + FLOOR)
