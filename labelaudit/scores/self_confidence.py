from __future__ import annotations

import numpy as np

from .probability import only_labelled
from .softmax import Softmax


def self_confidence(labels: np.ndarray, logits: np.ndarray | Softmax) -> np.ndarray:
    """Return 1 - p_y, 0 to 1, y the given class.

    labels: int (n,), negative for none. logits: float (n, C). Returns float64 (n,), NaN without a
    given label. Source: one minus cleanlab's `get_self_confidence_for_each_label`.
    """
    softmax = Softmax.of(logits)
    return only_labelled(labels, softmax.classes, softmax.of_others(labels))
