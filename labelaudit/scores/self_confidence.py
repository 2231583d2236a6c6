from __future__ import annotations

import numpy as np

from .probability import of_label, only_labelled, probabilities


def self_confidence(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """1 - p_y, 0 to 1: how little the model believes the given class.

    labels: int (n,), negative for none. logits: float (n, C). Returns float64 (n,), NaN without a
    given label. Source: cleanlab, `get_self_confidence_for_each_label`, turned round.
    """
    p_label = of_label(probabilities(logits), labels)
    return only_labelled(labels, logits.shape[1], 1 - p_label)
