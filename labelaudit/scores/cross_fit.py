"""Out-of-sample predictions by logistic regression on features, fitted in folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

COMPONENTS = 400
POWER = 0.25  # components are divided by this power of their deviation: 0 none, 1 whitened
FOLDS = 5
STEPS = 100  # of L-BFGS
CORRECTIONS = 10  # that it remembers
EXACT_SIZE = 2_000  # larger covariances are decomposed by randomised iteration
ITERATIONS, OVERSAMPLED = 3, 20  # of the randomised iteration
LEAST_DEVIATION = 0.05


def standardised(features: np.ndarray, least_deviation: float = LEAST_DEVIATION) -> np.ndarray:
    """Return features with mean 0 and similar deviations, of mean squared length 1, float32 (n, d).

    least_deviation: features are scaled to equal deviation, but at most as if theirs was this share
    of the mean deviation, so that noise is not enlarged.
    """
    values = np.asarray(features, np.float32)
    values = values - values.mean(axis=0)
    deviation = values.std(axis=0)
    values /= np.maximum(deviation, least_deviation * max(float(deviation.mean()), 1e-12))
    np.clip(values, -100, 100, out=values)
    length = np.einsum("ij,ij->", values, values, dtype=np.float64) / max(len(values), 1)
    values /= np.float32(np.sqrt(max(length, 1e-12)))
    return values


def joined(blocks: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Return blocks of standardised features side by side, float32 (n, sum of widths).

    weights: share of the squared length that each block gets; they add up to 1.
    """
    parts = [np.float32(np.sqrt(w)) * block for block, w in zip(blocks, weights, strict=True) if w]
    return parts[0] if len(parts) == 1 else np.hstack(parts)


def principal_components(
    features: np.ndarray, count: int = COMPONENTS, power: float = POWER, seed: int = 0
) -> np.ndarray:
    """Return scores on the first principal components, float32 (n, at most `count`).

    features: float32 (n, d), centred. Each component is divided by its deviation to the power
    `power`, and all by one number so that their mean square is 1. Source of the randomised
    iteration for large n and d: Halko, Martinsson & Tropp 2011.
    """
    n, d = features.shape
    count = max(min(count, n - 1, d), 1)
    if d <= min(n, EXACT_SIZE):
        _, directions = np.linalg.eigh(features.T @ features)
        scores = features @ directions[:, ::-1][:, :count]
    elif n <= EXACT_SIZE:
        size, directions = np.linalg.eigh(features @ features.T)
        scale = np.sqrt(np.maximum(size[::-1][:count], 0))
        scores = directions[:, ::-1][:, :count] * scale
    else:
        rng = np.random.default_rng(seed)
        basis = rng.standard_normal((d, count + OVERSAMPLED)).astype(np.float32)
        for _ in range(ITERATIONS):
            basis = np.linalg.qr(features.T @ (features @ basis))[0]
        scores = features @ basis
        _, directions = np.linalg.eigh(scores.T @ scores)
        scores = scores @ directions[:, ::-1][:, :count]
    scores = scores / np.maximum(scores.std(axis=0), 1e-6) ** power
    return (scores / np.sqrt(max(float(np.square(scores).mean()), 1e-12))).astype(np.float32)


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
) -> np.ndarray:
    """Return the logits, float32 (n, C), of each sample by a regression on the other folds.

    components: float32 (n, k). targets: float32 (n, C), see SoftmaxRegression; rows of zeros are
    predicted but not learned from. fold: int (n,).
    """
    model = SoftmaxRegression(components, c)
    learned = targets.any(axis=1)
    logits = np.empty(targets.shape, np.float32)
    weights = None
    for number in range(int(fold.max()) + 1):
        rows, held = np.flatnonzero(learned & (fold != number)), np.flatnonzero(fold == number)
        weights = model.fit(rows, targets[rows], weights)
        logits[held] = model.logits(weights, held)
    return logits
