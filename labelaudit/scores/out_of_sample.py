"""Out-of-sample predictions from frozen features, without training a network.

Two predictors see the same features: kernel ridge regression, whose leave-one-out predictions are
exact and take a second, and logistic regression fitted in folds, whose probabilities are better.
The noise model combines both. What it says about the true labels then replaces the given labels as
targets of a second logistic regression, so that wrong labels teach less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .cross_fit import Components, apply, balanced_folds, cross_fitted, log_loss
from .noise_fit import fit_noise_model, most_rows
from .noise_model import NoiseModel
from .probability import log_softmax
from .ridge import Fit, Sums, leave_one_out, predict_others

PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03)  # inverse strengths, tried in turn
PENALTY_SAMPLES = 3_000  # that the strength is chosen with
ROUNDS = 1  # of logistic regression on corrected targets
EMBEDDED = 128  # components that are stored as embeddings
FIT_SAMPLES = 10_000  # that the noise model is fitted to between the rounds


@dataclass(frozen=True)
class Predictor:
    """Predicts further samples."""

    _components: Components
    _weights: np.ndarray
    _ridge: Fit
    _sharpness: tuple[float, float]

    def predict(
        self,
        features: np.ndarray,
        labels: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return logits, float32 (m, C), and embeddings, float32 (m, k).

        features: float32 (m, d), joined like those that were learned from. labels: int (m,), of
        samples that were learned from as `more`; `ridge.NOT_LEARNED`, or None for all, if they were
        not. groups: as in `ridge.Fit.predict`.
        """
        components = self._components.transform(features)
        ridge = self._ridge.predict(features, labels, groups)
        sources = apply(self._weights, components), ridge
        return _combined(sources, self._sharpness), components[:, :EMBEDDED]

    @property
    def landmarks(self) -> np.ndarray:
        """Rows of the samples that `for_others` needs, sorted, int64 (L,)."""
        return self._ridge.landmarks

    def for_others(self) -> OthersPredictor:
        """Return what predicts samples that were not learned from, and is much smaller."""
        coefficients, base = self._ridge.coefficients()
        return OthersPredictor(
            self._components.directions,
            self._weights,
            coefficients,
            base,
            np.array(self._sharpness, np.float32),
        )


@dataclass(frozen=True)
class OthersPredictor:
    """Predicts samples that were not learned from.

    directions: float32 (d, k), of the components. weights: float32 (k + 1, C), of the logistic
    regression. coefficients, base: of the ridge regression. sharpness: float32 (2,).
    """

    directions: np.ndarray
    weights: np.ndarray
    coefficients: np.ndarray
    base: np.ndarray
    sharpness: np.ndarray

    def predict(self, features: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits, float32 (m, C), and embeddings, float32 (m, k).

        features: float32 (m, d). landmarks: float32 (L, d), the features of
        `Predictor.landmarks`. Both are joined like those that were learned from.
        """
        components = Components(self.directions).transform(features)
        ridge = predict_others(features, landmarks, self.coefficients, self.base)
        sources = apply(self.weights, components), ridge
        return _combined(sources, self.sharpness), components[:, :EMBEDDED]


@dataclass(frozen=True)
class OutOfSample:
    """Predictions of samples by models that did not see their labels.

    logits: float32 (n, C), of the samples given. embeddings: float32 (n, k).
    penalty: inverse strength chosen for the logistic regression. log_loss: of the ridge regression
    against the given labels, in nats per sample. predictor: for further samples.
    """

    logits: np.ndarray
    embeddings: np.ndarray
    penalty: float
    log_loss: float
    predictor: Predictor


def predict_out_of_sample(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    groups: np.ndarray | None = None,
    more: Sums | None = None,
    check: Callable[[], None] = lambda: None,
) -> OutOfSample:
    """Predict each sample by models that did not see its label.

    features: float32 (n, d), see `FeatureMap`. labels: int (n,), 0 to classes - 1. groups: int
    (n,), equal for copies of one image, which stay in one fold and are left out together. more:
    sums of further samples, see `ridge.leave_one_out`: the ridge regression learns from them,
    too; the logistic regression learns from the samples given only. check: called between the
    steps; may raise to stop.
    """
    ridge = leave_one_out(features, labels, classes, groups, more)
    check()
    components = Components.fit(features)
    projected = components.transform(features)
    check()
    penalty = choose_penalty(projected, labels, classes, groups)
    targets = np.eye(classes, dtype=np.float32)[labels]
    for number in range(ROUNDS + 1):
        check()
        fold = balanced_folds(labels, seed=number, groups=groups)
        regression, weights = cross_fitted(projected, targets, fold, penalty)
        sources = regression, ridge.logits
        model = _noise_model(labels, sources)
        if number < ROUNDS:
            targets = model.posterior(labels, sources).astype(np.float32)
    sharpness = (model.sharpness[0], model.sharpness[1])
    return OutOfSample(
        _combined(sources, sharpness),
        projected[:, :EMBEDDED],
        penalty,
        log_loss(ridge.logits, labels),
        Predictor(components, weights, replace(ridge, logits=ridge.logits[:0]), sharpness),
    )


def choose_penalty(
    components: np.ndarray, labels: np.ndarray, classes: int, groups: np.ndarray | None = None
) -> float:
    """Return the inverse strength of the penalty with the lowest out-of-sample log loss.

    More samples need a stronger penalty on each of them, because the loss is a sum; it is chosen
    with some of the samples and scaled to their number.
    """
    count = min(len(labels), PENALTY_SAMPLES)
    some = np.sort(np.random.default_rng(0).permutation(len(labels))[:count])
    targets = np.eye(classes, dtype=np.float32)[labels[some]]
    fold = balanced_folds(labels[some], groups=None if groups is None else groups[some])
    losses: list[float] = []
    for penalty in PENALTIES:
        logits, _ = cross_fitted(components[some], targets, fold, penalty)
        losses.append(log_loss(logits, labels[some]))
        if losses[-1] > 1.05 * min(losses):  # weaker penalties are worse still
            break
    return PENALTIES[int(np.argmin(losses))] * count / len(labels)


def _noise_model(labels: np.ndarray, sources: tuple[np.ndarray, np.ndarray]) -> NoiseModel:
    most = min(most_rows(sources[0].shape[1]), FIT_SAMPLES)
    some = np.sort(np.random.default_rng(0).permutation(len(labels))[:most])
    chosen = [source[some] for source in sources]
    return fit_noise_model(labels[some], chosen, True, calibrated=True)


def _combined(
    sources: tuple[np.ndarray, ...], sharpness: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return one array of logits, float32 (n, C), that says what all sources say together."""
    parts = [weight * log_softmax(z) for weight, z in zip(sharpness, sources, strict=True)]
    return np.sum(parts, axis=0).astype(np.float32)
