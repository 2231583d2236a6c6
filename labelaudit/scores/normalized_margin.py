from __future__ import annotations

import numpy as np

from .beliefs import Beliefs
from .probability import only_labelled


def normalized_margin(labels: np.ndarray, logits: np.ndarray | Beliefs) -> np.ndarray:
    """(1 - (p_y - p_k)) / 2, 0 to 1, k the most probable class other than the given one.

    labels: int (n,), negative for none. logits: float (n, C). Returns float64 (n,), NaN without a
    given label. Source: cleanlab, `get_normalized_margin_for_each_label`, turned round.
    """
    beliefs = Beliefs.of(logits)
    lost = beliefs.of_others(labels) + beliefs.best_other(labels)
    return only_labelled(labels, beliefs.classes, lost / 2)
