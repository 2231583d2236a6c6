"""Who is right when several people label the same images: Dawid-Skene with a model as prior.

Each annotator has a confusion matrix: the probability of the label that they give, by true class.
The true class of an image has a prior: the class shares, or what a model predicts for it. Both are
fitted by expectation maximisation. Sources: Dawid and Skene (1979), Maximum likelihood estimation
of observer error-rates using the EM algorithm; with a classifier as prior: Raykar et al. (2010),
Learning from crowds; matrices drawn towards a common one: Paun et al. (2018), Comparing Bayesian
models of annotation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PULL = 5.0  # labels per class that the common matrix counts as in each annotator's matrix
START = 2.0  # right labels of each class beside the votes: annotators are better than chance
MOST_CELLS = 1 << 24  # of all matrices; the annotators with the fewest labels share one beyond it
ITERATIONS = 200
CHANGE = 1e-5  # of the probabilities, at which the fit ends
LEAST_LOG = -30.0  # of a model's probability
SHARPNESS = (0.05, 5.0)  # least and most


@dataclass(frozen=True)
class Votes:
    """Labels by annotators. sample, annotator, label: int (m,), indices below the counts."""

    sample: np.ndarray
    annotator: np.ndarray
    label: np.ndarray
    samples: int  # n
    annotators: int  # A
    classes: int  # C


@dataclass(frozen=True)
class Fit:
    """The result. posterior: float (n, C), the probability of each true class.

    confusion: float (M, C, C), by matrix, true class and label given. matrix: int (A,), the matrix
    of each annotator. sharpness: the power of the model's probabilities; None without a model.
    """

    posterior: np.ndarray
    confusion: np.ndarray
    matrix: np.ndarray
    sharpness: float | None


def fit(votes: Votes, logits: np.ndarray | None = None) -> Fit:
    """Fit annotators and true classes. logits: of a model that did not learn these labels, float
    (n, C); a row of zeros says nothing about its sample."""
    counts = np.zeros((votes.samples, votes.classes))
    np.add.at(counts, (votes.sample, votes.label), 1.0)
    matrix = _matrices(votes)
    model = None if logits is None else _Model(logits)
    prior = np.full((1, votes.classes), -np.log(votes.classes))
    if model:
        prior = model.log_prior()
    posterior = _normalised(np.log(counts + 1 / votes.classes) + prior)
    for _ in range(ITERATIONS):
        confusion = _confusion(votes, matrix, posterior)
        if model:
            model.sharpen(posterior)
            prior = model.log_prior()
        else:
            shares = posterior.sum(axis=0) + 1.0
            prior = np.log(shares / shares.sum())[None]
        log_joint = prior + _log_likelihood(votes, matrix, confusion)
        before, posterior = posterior, _normalised(log_joint)
        if np.abs(posterior - before).max(initial=0.0) < CHANGE:
            break
    return Fit(
        posterior,
        confusion,
        matrix,
        model.sharpness if model else None,
    )


class _Model:
    """A model's probabilities to the power of a sharpness, which is fitted.

    Their logarithm is concave in the sharpness, so that Newton's steps reach the maximum.
    """

    def __init__(self, logits: np.ndarray) -> None:
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self._log_p = np.maximum(log_p, LEAST_LOG)
        self.sharpness = 1.0

    def log_prior(self) -> np.ndarray:
        scaled = self.sharpness * self._log_p
        return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))

    def sharpen(self, posterior: np.ndarray) -> None:
        p = np.exp(self.log_prior())
        mean = (p * self._log_p).sum(axis=1)
        slope = float(((posterior * self._log_p).sum(axis=1) - mean).sum())
        curve = float(((p * self._log_p**2).sum(axis=1) - mean**2).sum())
        if curve > 0:
            self.sharpness = float(np.clip(self.sharpness + slope / curve, *SHARPNESS))


def krippendorff_alpha(counts: np.ndarray) -> float:
    """Return the agreement beyond chance, 1 for perfect, 0 for chance; NaN if no image has two
    labels. counts: labels per sample and class, int (n, C).

    Source: Krippendorff (2011), Computing Krippendorff's alpha-reliability, nominal data.
    """
    counts = counts[counts.sum(axis=1) > 1].astype(float)
    per_sample = counts.sum(axis=1)
    total, per_class = per_sample.sum(), counts.sum(axis=0)
    if not len(counts) or total**2 == (per_class**2).sum():
        return np.nan if not len(counts) else 1.0
    observed = ((per_sample**2 - (counts**2).sum(axis=1)) / (per_sample - 1)).sum()
    expected = (total**2 - (per_class**2).sum()) / (total - 1)
    return float(1 - observed / expected)


def _matrices(votes: Votes) -> np.ndarray:
    """Return the matrix of each annotator, int (A,): one each, the last one for all others."""
    most = max(int(MOST_CELLS // votes.classes**2), 1)
    if votes.annotators <= most:
        return np.arange(votes.annotators)
    given = np.bincount(votes.annotator, minlength=votes.annotators)
    matrix = np.full(votes.annotators, most - 1)
    matrix[np.argsort(-given, kind="stable")[: most - 1]] = np.arange(most - 1)
    return matrix


def _confusion(votes: Votes, matrix: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    """Return the confusion matrices, float (M, C, C), of a posterior."""
    size, classes = int(matrix.max(initial=0)) + 1, votes.classes
    cell = matrix[votes.annotator] * classes + votes.label
    counts = np.empty((size, classes, classes))
    for k in range(classes):
        weights = posterior[votes.sample, k]
        counts[:, k] = np.bincount(cell, weights, size * classes).reshape(size, classes)
    common = counts.sum(axis=0) + START * np.eye(classes) + 1 / classes
    common /= common.sum(axis=1, keepdims=True)
    counts += PULL * common
    return counts / counts.sum(axis=2, keepdims=True)


def _log_likelihood(votes: Votes, matrix: np.ndarray, confusion: np.ndarray) -> np.ndarray:
    """Return the log-probability of each sample's votes by its true class, float (n, C)."""
    logs, which = np.log(confusion), matrix[votes.annotator]
    found = np.empty((votes.samples, votes.classes))
    for k in range(votes.classes):
        weights = logs[which, k, votes.label]
        found[:, k] = np.bincount(votes.sample, weights, votes.samples)
    return found


def _normalised(logs: np.ndarray) -> np.ndarray:
    p = np.exp(logs - logs.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)
