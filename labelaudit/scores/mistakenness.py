from __future__ import annotations

import numpy as np

from .probability import only_labelled
from .softmax import Softmax


def mistakenness(labels: np.ndarray, logits: np.ndarray | Softmax) -> np.ndarray:
    """Return (m exp(-H) + 1) / 2, 0 to 1, H the entropy of the prediction in nats.

    m is +1 if the predicted class differs from the given one, else -1.
    labels: int (n,), negative for none. logits: float (n, C). Returns float64 (n,), NaN without a
    given label (FiftyOne scores a missing label as correct).
    Source: FiftyOne Brain, `compute_mistakenness`.
    """
    softmax = Softmax.of(logits)
    m = np.where(softmax.best == labels, -1.0, 1.0)
    return only_labelled(labels, softmax.classes, (m * np.exp(-softmax.entropy) + 1) / 2)
