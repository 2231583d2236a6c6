from __future__ import annotations

import numpy as np

from .probability import best_other, of_label, only_labelled, probabilities


def normalized_margin(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(1 - (p_y - p_k)) / 2, 0 to 1, k the most probable class other than the given one.

    labels: int (n,), negative for none. logits: float (n, C). Returns float64 (n,), NaN without a
    given label. Source: cleanlab, `get_normalized_margin_for_each_label`, turned round.
    """
    p = probabilities(logits)
    margin = of_label(p, labels) - best_other(p, labels)
    return only_labelled(labels, logits.shape[1], (1 - margin) / 2)
