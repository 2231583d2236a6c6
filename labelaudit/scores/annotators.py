from __future__ import annotations

import numpy as np


def annotators(p_label: np.ndarray) -> np.ndarray:
    """Return the probability that the label is wrong by several annotators and a model.

    p_label: probability of the given label, float (n,), NaN for samples without labels by
    annotators; see `labelaudit/annotators/dawid_skene.py`. Returns float64 (n,).
    """
    return 1 - np.asarray(p_label, np.float64)
