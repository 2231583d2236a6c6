from __future__ import annotations

import numpy as np

from .epochs import mean_over_epochs


def cartography(p_label: np.ndarray) -> np.ndarray:
    """1 - mean over epochs of p(given class), 0 to 1.

    p_label: float (epochs, n), NaN where not recorded. Returns float64 (n,), NaN for a sample
    never recorded. Source: Swayamdipta et al. 2020, "Dataset Cartography", confidence.
    """
    return 1 - mean_over_epochs(p_label)
