from __future__ import annotations

import numpy as np

from .epochs import mean_over_epochs


def aum(margin: np.ndarray) -> np.ndarray:
    """Return minus the mean over epochs of z_y - z_k: the area under the margin, negated.

    margin: float (epochs, n), the logit of the given class minus the largest other one; NaN where
    not recorded. Returns float64 (n,), NaN for a sample that was never recorded. Above 0, another
    class had the larger logit on average.
    Source: Pleiss et al. 2020, "Identifying Mislabeled Data using the Area Under the Margin
    Ranking".
    """
    return -mean_over_epochs(margin)
