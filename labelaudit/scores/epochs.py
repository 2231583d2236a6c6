"""What the training-dynamics scores share."""

from __future__ import annotations

import numpy as np


def mean_over_epochs(values: np.ndarray) -> np.ndarray:
    """Mean of (epochs, n) over the epochs that were recorded, float64 (n,); NaN for none."""
    recorded = np.isfinite(values)
    total = np.where(recorded, values, 0).sum(axis=0, dtype=np.float64)
    count = recorded.sum(axis=0)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
