"""Whether a model's predictions agree with the labels more often than chance."""

from __future__ import annotations

import numpy as np

LEAST_ROWS = 20  # fewer do not show whether a model fits the labels
LEAST_KAPPA = 0.1  # Landis and Koch (1977) call an agreement up to 0.2 slight


def no_better_than_chance(
    predicted: np.ndarray, given: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[float, float] | None:
    """Return the agreement of predictions and labels and that expected by chance, as shares.

    Returns None if the agreement is clearly better than chance, by Cohen's kappa (1960), or if
    there are fewer than LEAST_ROWS samples with both.
    predicted, given: class indices, int (n,), of some samples. labels: those of the whole dataset,
    from which chance is computed, because rows may be sorted by class. Negative for none.
    """
    known, labels = (given >= 0) & (predicted >= 0), labels[labels >= 0]
    if known.sum() < LEAST_ROWS:
        return None
    predicted, given = predicted[known], given[known]
    agreement = float(np.mean(predicted == given))
    shares = [np.bincount(codes, minlength=classes) / len(codes) for codes in (predicted, labels)]
    chance = float(shares[0] @ shares[1])
    if agreement > 0.5 or agreement - chance >= LEAST_KAPPA * (1 - chance):
        return None
    return agreement, chance
