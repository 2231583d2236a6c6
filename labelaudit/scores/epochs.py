"""A mean over epochs, for the scores of training dynamics."""

from __future__ import annotations

import numpy as np


def mean_over_epochs(values: np.ndarray) -> np.ndarray:
    """Return the mean over the recorded epochs, float64 (n,); NaN if none was recorded.

    values: float (epochs, n), NaN where not recorded.
    """
    recorded = np.isfinite(values)
    total = np.where(recorded, values, 0).sum(axis=0, dtype=np.float64)
    count = recorded.sum(axis=0)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
