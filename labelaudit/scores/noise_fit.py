"""Fits the noise model by maximum a posteriori with L-BFGS and hand-written gradients.

Ten classes and 20,000 samples take about half a second on one core. Automatic differentiation in
torch took three times as long, and torch would have to be imported.
"""

from __future__ import annotations

import numpy as np

from .noise_model import FLOOR, NoiseModel
from .probability import log_softmax, normalise

MOST_ROWS = 20_000  # the model is fitted to at most so many samples
MOST_VALUES = 2_000_000  # and to at most so many logits
PAIR_CLASSES = 100  # with more classes there is no table of class pairs
# A network seems to be more confident about labels that it was trained on than it is right. Fitted
# to them, the sharpness becomes 1.8, and everything the network is unsure of counts as an error: on
# 10,000 CIFAR-10 images the suspicions add up to 1.23 times the wrong labels with 20 % uniform
# mistakes and 1.06 times with human_random1. With 1.5 it is 1.12 and 0.94 times.
SHARPNESS = 1.5
STEPS = 200  # of L-BFGS; further steps gain less than a thousandth of a nat per sample
CORRECTIONS = 30  # L-BFGS keeps so many past gradients
BLOCK = 1 << 14  # values per block, so that its temporary arrays stay in the processor cache
TINY = 1e-300
# Standard deviations of the priors. Their centre is "errors are equally likely for all classes and
# images".
SD_PAIR, SD_CLASS, SD_BIAS, SD_LIKENESS = 2.2, 0.22, 0.3, 0.5
USUAL_RATE, SD_RATE = -3.0, 1.0  # the error rate of all classes, as a logit
# The logarithm of the sharpness, out of sample. A wider prior may call all hard samples wrong.
SD_SHARPNESS = 0.3
SD_AMBIGUITY = {True: 0.5, False: 0.1}  # by out_of_sample; doubt says less in sample


def fit_noise_model(labels: np.ndarray, logits: np.ndarray, out_of_sample: bool) -> NoiseModel:
    """Fit the model to labels, int (n,), and logits, float (n, C), of samples with a label.

    out_of_sample: whether the network was not trained on these labels. If it was, the sharpness is
    not fitted.
    Time grows with n C, and with n C^2 up to PAIR_CLASSES: pass at most `most_rows(C)` samples.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    likelihood = _Likelihood(labels, logits, out_of_sample)
    # The matrix products are small: two BLAS threads that wait for each other take ten times as
    # long. Overflow is harmless, because the line search rejects such a step.
    with threadpool_limits(1, "blas"), np.errstate(over="ignore"):
        result = minimize(
            likelihood,
            likelihood.layout.start,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": STEPS, "maxcor": CORRECTIONS, "ftol": 1e-8, "gtol": 1e-5},
        )
    return likelihood.layout.model(result.x)


class _Layout:
    """Where each parameter lies in the vector, its start value and its prior."""

    def __init__(self, classes: int, out_of_sample: bool) -> None:
        self._shapes: dict[str, tuple[int, ...]] = {
            "overall": (),
            "ambiguity": (),
            "likeness": (),
            "bias": (classes,),
            "rate": (classes,),
        }
        self.pairs = 2 < classes <= PAIR_CLASSES
        if self.pairs:
            self._shapes["pair"] = (classes, classes)
        if out_of_sample:
            self._shapes["sharpness"] = ()
        self._sd = {
            "overall": SD_RATE,
            "ambiguity": SD_AMBIGUITY[out_of_sample],
            "likeness": SD_LIKENESS,
            "bias": SD_BIAS,
            "rate": SD_CLASS,
            "pair": SD_PAIR,
        }
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes.values()])
        starts = [0, *ends[:-1]]
        self._slices = dict(zip(self._shapes, map(slice, starts, ends), strict=True))
        self.start = np.zeros(ends[-1])
        self.start[self._slices["overall"]] = -2.0
        if out_of_sample:
            self.start[self._slices["sharpness"]] = SHARPNESS

    def split(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return views of the vector by parameter, and the sharpness even if it is not fitted."""
        parts = {name: x[self._slices[name]].reshape(shape) for name, shape in self._shapes.items()}
        return {"sharpness": np.array(SHARPNESS), **parts}

    def penalty(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return minus the log prior, without its constant, and its gradient."""
        total, gradient = 0.0, np.zeros_like(x)
        for name, sd in self._sd.items():
            if name in self._slices:
                deviation = x[self._slices[name]] - (USUAL_RATE if name == "overall" else 0)
                total += float((deviation**2).sum()) / (2 * sd**2)
                gradient[self._slices[name]] = deviation / sd**2
        if "sharpness" in self._slices:
            sharpness = max(float(x[self._slices["sharpness"]][0]), 1e-3)
            deviation = np.log(sharpness / SHARPNESS)
            total += deviation**2 / (2 * SD_SHARPNESS**2)
            gradient[self._slices["sharpness"]] = deviation / (SD_SHARPNESS**2 * sharpness)
        return total, gradient

    def model(self, x: np.ndarray) -> NoiseModel:
        """Return the model with these parameters, rounded to six digits."""
        parts = self.split(x)

        def rounded(value):
            return np.round(value, 6).tolist()

        return NoiseModel(
            sharpness=rounded(parts["sharpness"]),
            ambiguity=rounded(parts["ambiguity"]),
            likeness=rounded(parts["likeness"]),
            bias=rounded(parts["bias"]),
            rate=rounded(parts["overall"] + parts["rate"]),
            pair=rounded(parts["pair"]) if self.pairs else None,
        )


class _Likelihood:
    """The objective: minus the log posterior of a parameter vector, and its gradient."""

    def __init__(self, labels: np.ndarray, logits: np.ndarray, out_of_sample: bool) -> None:
        classes = logits.shape[1]
        self.layout = _Layout(classes, out_of_sample)
        order = np.argsort(labels, kind="stable")  # so that samples of one label are adjacent
        labels, log_p = labels[order], _floored(logits[order])
        rows = max(BLOCK // classes, 1)
        self._blocks = [
            (labels[i : i + rows], log_p[i : i + rows]) for i in range(0, len(labels), rows)
        ]

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self.layout.penalty(x)
        parameters, slopes = self.layout.split(x), self.layout.split(gradient)
        if self.layout.pairs:
            # dividing by the largest of the row leaves its shares unchanged
            weight = np.exp(parameters["pair"] - parameters["pair"].max(axis=1, keepdims=True))
            np.fill_diagonal(weight, 0)
        else:
            weight = None
        for labels, log_p in self._blocks:
            value -= self._add(labels, log_p, parameters, weight, slopes)
        return value, gradient

    def _add(self, labels, floored_log_p, parameters, weight, slopes) -> float:
        """Return the log-likelihood of the labels of one block.

        The gradient is subtracted from the arrays in `slopes`. In the comments g is the given class
        and a is any class.
        """
        rows = np.arange(len(labels))
        log_p = parameters["sharpness"] * floored_log_p
        log_p += parameters["bias"]
        p = normalise(log_p)
        rest = np.maximum(1 - p, 1e-9)
        doubt = np.log(rest)
        wrong = parameters["ambiguity"] * doubt
        wrong += parameters["overall"] + parameters["rate"]
        p_wrong = 1 / (1 + np.exp(-wrong))  # P(label wrong | a is the true class)
        like = parameters["likeness"] * log_p
        like -= like.max(axis=1, keepdims=True)  # leaves the shares of a row unchanged, too
        np.exp(like, out=like)
        like_others = like.sum(axis=1, keepdims=True) - like if weight is None else like @ weight.T
        like_others += TINY
        # P(a is the true class and g is given | image)
        joint = p * p_wrong
        joint /= like_others
        if weight is not None:
            joint *= weight.T[labels]
        joint *= like[rows, labels][:, None]
        joint[rows, labels] = p[rows, labels] * (1 - p_wrong[rows, labels])
        sums = joint.sum(axis=1, keepdims=True) + TINY
        joint /= sums  # P(a | image, given label)
        # From here on `of_x` is the derivative of sum(log(sums)) by x.
        of_p = joint.copy()
        own = joint[rows, labels]
        of_wrong = joint * (1 - p_wrong)
        of_wrong[rows, labels] = -own * p_wrong[rows, labels]
        joint[rows, labels] = 0
        if weight is not None:
            starts = np.flatnonzero(np.diff(labels, prepend=-1))
            slopes["pair"][:, labels[starts]] -= np.add.reduceat(joint, starts, axis=0).T
        joint /= like_others
        if weight is None:
            of_like = joint - joint.sum(axis=1, keepdims=True)
        else:
            slopes["pair"] += weight * (joint.T @ like)
            of_like = -(joint @ weight)
        of_like *= like
        of_like[rows, labels] += 1 - own
        slopes["likeness"] -= np.vdot(of_like, log_p)
        of_like *= parameters["likeness"]
        of_p += of_like
        slopes["overall"] -= of_wrong.sum()
        slopes["rate"] -= of_wrong.sum(axis=0)
        slopes["ambiguity"] -= np.vdot(of_wrong, doubt)
        of_wrong *= p
        of_wrong /= rest
        of_wrong *= parameters["ambiguity"]
        of_p -= of_wrong
        of_p -= p * of_p.sum(axis=1, keepdims=True)
        slopes["bias"] -= of_p.sum(axis=0)
        slopes["sharpness"] -= np.vdot(of_p, floored_log_p)
        return float(np.log(sums).sum())


def most_rows(classes: int) -> int:
    """Return how many samples are enough to fit the model with this number of classes."""
    return max(min(MOST_ROWS, MOST_VALUES // classes), 1)


def _floored(logits: np.ndarray) -> np.ndarray:
    return np.log(np.exp(log_softmax(logits)) + FLOOR)
