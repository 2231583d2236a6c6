"""Quantiles of the number of wrong labels in groups of samples."""

from __future__ import annotations

import numpy as np

QUANTILES = (0.025, 0.5, 0.975)


def quantiles(
    q: np.ndarray,
    weights: np.ndarray,
    counts: np.ndarray,
    ratio: tuple[np.ndarray, np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Return the QUANTILES of the number of wrong labels in G groups, (G,) each.

    They include the uncertainty of the calibration and chance.
    q, weights: as `calibration.posterior` returns them. counts: samples of each group in each bin,
    (G, BINS). ratio: shape and rate, (G,) each, of a gamma distributed factor of each group.
    """
    rng = np.random.default_rng(0)  # a constant seed, so that displayed numbers do not flicker
    mean = counts @ q
    squares = counts @ q**2
    if ratio is not None:
        factor = rng.standard_gamma(ratio[0][:, None], mean.shape) / ratio[1][:, None]
        mean, squares = mean * factor, squares * factor**2
    total = counts.sum(axis=1, keepdims=True)
    mean = np.minimum(mean, total)
    # a binomial variable with the mean and variance of the sum of all Bernoulli variables
    trials = np.ceil(mean**2 / np.maximum(squares, 1e-12)).clip(0, total).astype(np.int64)
    drawn = rng.binomial(trials, np.clip(mean / np.maximum(trials, 1), 0, 1))
    order = np.argsort(drawn, axis=1)
    share = np.cumsum(weights[order], axis=1)
    at = [np.minimum((share < part).sum(axis=1), len(weights) - 1) for part in QUANTILES]
    return [np.take_along_axis(drawn, order, 1)[np.arange(len(drawn)), i] for i in at]
