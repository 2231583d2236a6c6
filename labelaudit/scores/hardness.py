from __future__ import annotations

import numpy as np

from .softmax import Softmax


def hardness(labels: np.ndarray, logits: np.ndarray | Softmax) -> np.ndarray:
    """Return the entropy of softmax(logits) in nats, 0 to ln C. It does not depend on the label.

    labels: int (n,), ignored. logits: float (n, C). Returns float64 (n,).
    Source: FiftyOne Brain, `compute_hardness`.
    """
    return Softmax.of(logits).entropy
