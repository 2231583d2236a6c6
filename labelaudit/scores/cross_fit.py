"""Out-of-sample predictions by logistic regression on features, fitted in folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .probability import log_softmax, of_label

COMPONENTS = 400
POWER = 0.25  # components are divided by this power of their deviation: 0 none, 1 whitened
FOLDS = 5
STEPS = 100  # of L-BFGS
CORRECTIONS = 10  # that it remembers
EXACT_SIZE = 2_000  # larger covariances are decomposed by randomised iteration
ITERATIONS, OVERSAMPLED = 3, 20  # of the randomised iteration
LARGEST = 10.0  # of a joined feature, whose usual size is far below 1


@dataclass(frozen=True)
class FeatureMap:
    """Joins blocks of features: each centred, scaled to similar deviations, and weighted.

    For each block: mean and scale, float32 (d,).
    """

    means: list[np.ndarray]
    scales: list[np.ndarray]

    @classmethod
    def fit(
        cls,
        blocks: Sequence[np.ndarray],
        weights: Sequence[float],
        least_deviations: Sequence[float],
    ) -> FeatureMap:
        """Fit it to blocks, float (n, d) each.

        weights: share of the squared length that each block gets; they add up to 1.
        least_deviations: features are scaled to equal deviation, but at most as if theirs was this
        share of the mean deviation of their block, so that noise is not enlarged.
        """
        means, scales = [], []
        for block, weight, least in zip(blocks, weights, least_deviations, strict=True):
            values = np.asarray(block, np.float32)
            mean, deviation = values.mean(axis=0), values.std(axis=0)
            scale = 1 / np.maximum(deviation, least * max(float(deviation.mean()), 1e-12))
            length = float(np.square(deviation * scale, dtype=np.float64).sum())
            means.append(mean)
            scales.append((scale * np.sqrt(weight / max(length, 1e-12))).astype(np.float32))
        return cls(means, scales)

    def transform(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Return the joined features, float32 (n, sum of widths), of mean squared length 1."""
        joined = np.empty((len(blocks[0]), sum(map(len, self.means))), np.float32)
        end = 0
        for block, mean, scale in zip(blocks, self.means, self.scales, strict=True):
            start, end = end, end + len(mean)
            part = joined[:, start:end]  # in place: these are the largest arrays of a first look
            np.subtract(block, mean, out=part, casting="unsafe")
            part *= scale
            np.clip(part, -LARGEST, LARGEST, out=part)
        return joined


@dataclass(frozen=True)
class Components:
    """Projects features on their first principal components.

    directions: float32 (d, k), divided by the deviation of each component to the power POWER, and
    by one number so that the mean square of all components is 1.
    """

    directions: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, count: int = COMPONENTS, seed: int = 0) -> Components:
        """Fit it to centred features, float32 (n, d).

        Source of the randomised iteration for large n and d: Halko, Martinsson & Tropp 2011.
        """
        n, d = features.shape
        count = max(min(count, n - 1, d), 1)
        if min(n, d) <= EXACT_SIZE:
            directions = _exact_directions(features, count)
        else:
            rng = np.random.default_rng(seed)
            basis = rng.standard_normal((d, count + OVERSAMPLED)).astype(np.float32)
            for _ in range(ITERATIONS):
                basis = np.linalg.qr(features.T @ (features @ basis))[0]
            projected = features @ basis
            _, turn = np.linalg.eigh(projected.T @ projected)
            directions = basis @ turn[:, ::-1][:, :count]
        deviation = np.maximum((features @ directions).std(axis=0), 1e-6)
        directions = directions / deviation**POWER
        mean_square = float((deviation ** (2 - 2 * POWER)).mean())
        return cls((directions / np.sqrt(max(mean_square, 1e-12))).astype(np.float32))

    def transform(self, features: np.ndarray) -> np.ndarray:
        """Return the components, float32 (n, k), of features, float32 (n, d)."""
        return features @ self.directions


def _exact_directions(features: np.ndarray, count: int) -> np.ndarray:
    n, d = features.shape
    if d <= n:
        _, vectors = np.linalg.eigh(features.T @ features)
        return vectors[:, ::-1][:, :count]
    size, vectors = np.linalg.eigh(features @ features.T)
    inverse = 1 / np.sqrt(np.maximum(size[::-1][:count], 1e-12))
    return (features.T @ vectors[:, ::-1][:, :count]) * inverse


class SoftmaxRegression:
    """Multinomial logistic regression with an L2 penalty, by L-BFGS in float32 products.

    Its loss is sum_i -sum_c t_ic log p_ic + |W|^2 / (2 c) for targets t, which may be soft.
    features: float32 (n, k). c: inverse strength of the penalty, as in scikit-learn. Weights are
    scaled by a bound of their curvature (Böhning 1992), so that few steps are enough.
    """

    def __init__(self, features: np.ndarray, c: float) -> None:
        self._x = np.hstack([features, np.ones((len(features), 1), np.float32)])
        penalty = np.full(self._x.shape[1], 1 / c)
        penalty[-1] = 1e-6  # the intercept
        curvature = np.square(self._x).sum(axis=0, dtype=np.float64) / 10
        scale = (1 / np.sqrt(curvature + penalty)).astype(np.float32)
        self._x *= scale
        self._scale = scale
        self._penalty = (penalty * scale**2).astype(np.float32)[:, None]

    def fit(
        self, rows: np.ndarray, targets: np.ndarray, start: np.ndarray | None = None
    ) -> np.ndarray:
        """Return weights, float64 (k + 1, C), fitted to some rows.

        rows: int (m,). targets: float32 (m, C), each row adding up to the sample's weight. start:
        weights to start from.
        """
        from scipy.optimize import minimize

        x, targets = self._x[rows], targets.astype(np.float32)
        shape = x.shape[1], targets.shape[1]
        weight = targets.sum(axis=1, keepdims=True)

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            w = flat.reshape(shape).astype(np.float32)
            z = x @ w
            z -= z.max(axis=1, keepdims=True)
            inner = float(np.vdot(z, targets))
            np.exp(z, out=z)
            total = z.sum(axis=1, keepdims=True)
            value = float((np.log(total) * weight).sum(dtype=np.float64)) - inner
            z *= weight / total
            z -= targets
            shrunk = self._penalty * w
            gradient = x.T @ z + shrunk
            value += 0.5 * float((shrunk * w).sum(dtype=np.float64))
            return value, gradient.ravel().astype(np.float64)

        begin = np.zeros(shape) if start is None else start
        options = {
            "maxiter": STEPS,
            "maxcor": CORRECTIONS,
            "ftol": 1e-7,
            "gtol": 1e-4 * np.sqrt(len(rows)),
        }
        found = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options=options)
        return found.x.reshape(shape)

    def logits(self, weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return logits, float32 (m, C), of some rows."""
        return self._x[rows] @ weights.astype(np.float32)

    def plain(self, weights: np.ndarray) -> np.ndarray:
        """Return weights, float32 (k + 1, C), for features that are not scaled; see `apply`."""
        return (weights * self._scale[:, None]).astype(np.float32)


def balanced_folds(
    labels: np.ndarray, folds: int = FOLDS, seed: int = 0, groups: np.ndarray | None = None
) -> np.ndarray:
    """Return a fold for each sample, int (n,), with every class spread evenly.

    groups: int (n,), equal for copies of one image, which all get one fold: a copy in another fold
    would vouch for its own label.
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        heads, group = np.arange(len(labels)), np.arange(len(labels))
    else:
        _, heads, group = np.unique(groups, return_index=True, return_inverse=True)
    order = rng.permutation(len(heads))
    order = order[np.argsort(labels[heads[order]], kind="stable")]
    fold = np.empty(len(heads), np.int64)
    fold[order] = np.arange(len(heads)) % folds
    return fold[group]


def cross_fitted(
    components: np.ndarray, targets: np.ndarray, fold: np.ndarray, c: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits of each sample by a regression on the other folds, float32 (n, C).

    components: float32 (n, k). targets: float32 (n, C), see SoftmaxRegression; rows of zeros are
    predicted but not learned from. fold: int (n,). The second result are the mean weights of all
    folds, float32 (k + 1, C), for samples that are not among these: see `apply`.
    """
    model = SoftmaxRegression(components, c)
    learned = targets.any(axis=1)
    logits = np.empty(targets.shape, np.float32)
    weights, total, folds = None, 0.0, int(fold.max()) + 1
    for number in range(folds):
        rows, held = np.flatnonzero(learned & (fold != number)), np.flatnonzero(fold == number)
        weights = model.fit(rows, targets[rows], weights)
        logits[held] = model.logits(weights, held)
        total = total + model.plain(weights)
    return logits, np.asarray(total) / folds


def apply(weights: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Return the logits, float32 (m, C), of components, float32 (m, k)."""
    return components @ weights[:-1] + weights[-1]


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log p(label), in nats. labels: int (n,), 0 to C - 1."""
    return float(-of_label(log_softmax(logits), labels).mean())
