from __future__ import annotations

import numpy as np

from .beliefs import Beliefs
from .probability import only_labelled


def self_confidence(labels: np.ndarray, logits: np.ndarray | Beliefs) -> np.ndarray:
    """1 - p_y, 0 to 1: how little the model believes the given class.

    labels: int (n,), negative for none. logits: float (n, C). Returns float64 (n,), NaN without a
    given label. Source: cleanlab, `get_self_confidence_for_each_label`, turned round.
    """
    beliefs = Beliefs.of(logits)
    return only_labelled(labels, beliefs.classes, beliefs.of_others(labels))
