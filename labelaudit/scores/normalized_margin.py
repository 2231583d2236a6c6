from __future__ import annotations

import numpy as np

from .probability import only_labelled
from .softmax import Softmax


def normalized_margin(labels: np.ndarray, logits: np.ndarray | Softmax) -> np.ndarray:
    """Return (1 - (p_y - p_k)) / 2, 0 to 1, y the given class and k the most probable other one.

    labels: int (n,), negative for none. logits: float (n, C). Returns float64 (n,), NaN without a
    given label. Source: one minus cleanlab's `get_normalized_margin_for_each_label`.
    """
    softmax = Softmax.of(logits)
    twice = softmax.of_others(labels) + softmax.best_other(labels)
    return only_labelled(labels, softmax.classes, twice / 2)
