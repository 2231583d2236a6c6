from __future__ import annotations

import numpy as np

from .beliefs import Beliefs


def hardness(labels: np.ndarray, logits: np.ndarray | Beliefs) -> np.ndarray:
    """Entropy of softmax(logits), in nats, 0 to ln C; the given label is not read.

    labels: int (n,), ignored. logits: float (n, C). Returns float64 (n,).
    Source: FiftyOne Brain, `compute_hardness`.
    """
    return Beliefs.of(logits).entropy
