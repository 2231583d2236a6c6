"""How reviewers' verdicts correct the calibration of suspicion.

A run has stored `suspicion` p, the probability that a label is wrong. Verdicts show how far it is
off:

    P(wrong) = f + (1 - f - g) sigmoid(a + b x + h(x)),  x = logit p

- a and b are offset and slope on the logit scale; 0 and 1 if the calibration is right (Cox 1958,
  "Two further applications of a model for binary regression").
- h is a small piecewise linear function. Without it, thousands of verdicts at high p would seem to
  determine exactly what happens at low p.
- f is the share of wrong labels that suspicion does not see. a and b cannot raise the many samples
  of low p without lowering the few of high p; only random checks find such errors. f is a multiple
  of the mean of p, so that the prior means the same for clean and noisy data: with probability one
  half fewer than 2 % more labels are wrong than p says, with one in forty more than 38 %.
- g is the share of samples that are right, or are kept by a tired reviewer, however suspicious they
  are. Without it a few such verdicts would discredit the calibration, and with it hundreds of
  samples of low p would count as wrong.

Verdicts may come in any order, also the most suspicious first: given p, the choice of reviewed
samples carries no information about their labels. Everything is computed with bins of p, so a
verdict costs the same for 1,000 and for 1,000,000 samples.
"""

from __future__ import annotations

import numpy as np

SPREAD = (0.25, 0.12)  # prior standard deviations of a and b
LOCAL = 0.25  # of h at each knot; h is 0 beyond the outer knots
KNOTS = np.array([-7.0, -5, -3, -1, 1, 3, 5])  # of h, logits of p
# Prior medians of f / mean p and of g, and the standard deviations of their logarithms. With half
# this spread, a dataset with 40 % of its wrong labels hidden seems to have none however many checks
# find one.
HIDDEN, DOUBTED, RARE = 0.015, 0.01, (1.2, 1.5)
LOWEST, HIGHEST = 1e-6, 0.998  # p is clipped to these, so that no single verdict is decisive
BINS = 160
DRAWS = 800  # of the parameters
STEPS, TOLERANCE = 50, 1e-4  # of Fisher scoring
LEAST_DRAWS = 30  # effective number of draws; with fewer, draws are weighted equally
DEGREES_OF_FREEDOM = 6  # of the proposal: a t distribution has wider tails than the normal


def binned(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Divide probabilities into BINS bins of equal width on the logit scale.

    Returns the bin of each p, int16 (n,); the logit of the mean p of each bin, or of the middle of
    an empty bin, float64 (BINS,); and the mean p.
    """
    clipped = np.clip(p, LOWEST, HIGHEST)
    first, last = _logit(np.array([LOWEST, HIGHEST]))
    step = (last - first) / BINS
    bins = np.minimum((_logit(clipped) - first) / step, BINS - 1).astype(np.int16)
    counts = np.bincount(bins, minlength=BINS)
    middle = first + (np.arange(BINS) + 0.5) * step
    means = np.bincount(bins, clipped, BINS) / np.maximum(counts, 1)
    logit = np.where(counts > 0, _logit(np.where(counts > 0, means, 0.5)), middle)
    return bins, logit, float(clipped.mean()) if len(p) else 0.0


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)


def posterior(
    x: np.ndarray, mean: float, wrong: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return P(wrong) by bin for DRAWS draws of the parameters, and the weights of the draws.

    x: logit of each bin, (BINS,). mean: mean p. wrong, right: verdicts in each bin, int (BINS,).
    Returns float64 (BINS, DRAWS) and (DRAWS,).

    This is importance sampling from a t distribution around the mode: accurate with many verdicts,
    and also for a skewed posterior.
    """
    model = _Calibration(x, mean)
    used = np.flatnonzero(wrong + right)  # usually few bins
    mode, information = model.mode(used, wrong[used], right[used])
    rng, size = np.random.default_rng(0), len(mode)
    half = rng.normal(size=(DRAWS // 2, size))
    scale = np.sqrt(DEGREES_OF_FREEDOM / rng.chisquare(DEGREES_OF_FREEDOM, DRAWS // 2))[:, None]
    steps = np.concatenate([half * scale, -half * scale])
    root = np.linalg.cholesky(np.linalg.inv(information))
    theta = mode + steps @ root.T
    squares = (steps**2).sum(axis=1)
    proposal = -(DEGREES_OF_FREEDOM + size) / 2 * np.log1p(squares / DEGREES_OF_FREEDOM)
    q = model.p_wrong(theta, slice(None))
    logs = model.log_density(theta, q[used], wrong[used], right[used]) - proposal
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    if 1 / (weights**2).sum() < LEAST_DRAWS:  # no calibration explains the verdicts
        weights = np.full(DRAWS, 1 / DRAWS)
    return q, weights


class _Calibration:
    """P(wrong) for given parameters, and their prior.

    The parameters are a, b, h at the knots, log(f / mean p) and log g.
    """

    def __init__(self, x: np.ndarray, mean: float) -> None:
        local = [np.interp(x, KNOTS, row, 0, 0) for row in np.eye(len(KNOTS))]
        self._features = np.stack([np.ones(len(x)), x, *local], axis=1)
        self._mean = max(mean, 1e-9)
        K = len(KNOTS)
        self.centre = np.array([0.0, 1.0, *np.zeros(K), np.log(HIDDEN), np.log(DOUBTED)])
        self.deviation = np.maximum([*SPREAD, *np.full(K, LOCAL), *RARE], 1e-3)

    def _parts(self, theta: np.ndarray, bins) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return f and g, (m,), and the sigmoid, (bins, m), for parameters (m, P)."""
        # einsum rather than @: on a busy machine BLAS threads wait longer than they compute
        z = np.einsum("bp,mp->bm", self._features[bins], theta[:, :-2]).clip(-30, 30)
        f = np.minimum(np.exp(theta[:, -2]) * self._mean, 0.45)
        return f, np.minimum(np.exp(theta[:, -1]), 0.45), 1 / (1 + np.exp(-z))

    def p_wrong(self, theta: np.ndarray, bins) -> np.ndarray:
        """Return P(wrong), (bins, m), for parameters (m, P)."""
        f, g, s = self._parts(theta, bins)
        return np.clip(f + (1 - f - g) * s, 1e-12, 1 - 1e-9)

    def log_density(self, theta: np.ndarray, q: np.ndarray, wrong, right) -> np.ndarray:
        """Return the log posterior without its constant, (m,). q: P(wrong), (bins, m)."""
        prior = -0.5 * (((theta - self.centre) / self.deviation) ** 2).sum(axis=1)
        return prior + wrong @ np.log(q) + right @ np.log1p(-q)

    def mode(self, bins, wrong, right) -> tuple[np.ndarray, np.ndarray]:
        """Return the most probable parameters, (P,), and the information matrix there, (P, P)."""
        theta, seen = self.centre.copy(), wrong + right

        def density(theta: np.ndarray) -> float:
            theta = theta[None]
            return self.log_density(theta, self.p_wrong(theta, bins), wrong, right)[0]

        best = density(theta)
        for _ in range(STEPS):
            q = self.p_wrong(theta[None], bins)[:, 0]
            slopes, weight = self._slopes(theta, bins), 1 / (q * (1 - q))
            gradient = (wrong - seen * q) * weight @ slopes
            gradient -= (theta - self.centre) / self.deviation**2
            information = (slopes.T * (seen * weight)) @ slopes + np.diag(1 / self.deviation**2)
            step = np.linalg.solve(information, gradient)
            while True:
                value = density(theta + step)
                if value >= best or np.abs(step).max() < TOLERANCE:
                    break
                step /= 2
            if np.abs(step).max() < TOLERANCE:
                break
            theta, best = theta + step, value
        return theta, information

    def _slopes(self, theta: np.ndarray, bins) -> np.ndarray:
        """Return the derivatives of P(wrong) by each parameter, (bins, P)."""
        f, g, s = self._parts(theta[None], bins)
        inner = (1 - f - g) * s * (1 - s)
        return np.concatenate([inner * self._features[bins], f * (1 - s), -g * s], axis=1)
