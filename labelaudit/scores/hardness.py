from __future__ import annotations

import numpy as np

from .probability import log_softmax


def hardness(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Entropy of softmax(logits), in nats, 0 to ln C; the given label is not read.

    labels: int (n,), ignored. logits: float (n, C). Returns float64 (n,).
    Source: FiftyOne Brain, `compute_hardness`.
    """
    log_p = log_softmax(logits)
    return -(np.exp(log_p) * log_p).sum(axis=1)
