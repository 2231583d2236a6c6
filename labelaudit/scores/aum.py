from __future__ import annotations

import numpy as np

from .epochs import mean_over_epochs


def aum(margin: np.ndarray) -> np.ndarray:
    """Minus the mean over epochs of z_y - z_k: the area under the margin, sign turned.

    margin: float (epochs, n), logits' given class minus the best other; NaN where not recorded.
    Returns float64 (n,), NaN for a sample never recorded. Above 0 the given class was behind.
    Source: Pleiss et al. 2020, "Identifying Mislabeled Data using the Area Under the Margin
    Ranking".
    """
    return -mean_over_epochs(margin)
