from __future__ import annotations

import numpy as np

from .epochs import mean_over_epochs


def cartography(p_label: np.ndarray) -> np.ndarray:
    """Return 1 - the mean over epochs of p(given class), 0 to 1.

    p_label: float (epochs, n), NaN where not recorded. Returns float64 (n,), NaN for a sample that
    was never recorded. Source: confidence in Swayamdipta et al. 2020, "Dataset Cartography".
    """
    return 1 - mean_over_epochs(p_label)
