from __future__ import annotations

import numpy as np

from .beliefs import Beliefs
from .probability import only_labelled


def mistakenness(labels: np.ndarray, logits: np.ndarray | Beliefs) -> np.ndarray:
    """(m exp(-H) + 1) / 2, 0 to 1: m is +1 where argmax differs from the given class, else -1.

    labels: int (n,), negative for none. logits: float (n, C). Returns float64 (n,), NaN without a
    given label (FiftyOne scores a missing label as correct; we do not).
    Source: FiftyOne Brain, `compute_mistakenness`.
    """
    beliefs = Beliefs.of(logits)
    m = np.where(beliefs.best == labels, -1.0, 1.0)
    return only_labelled(labels, beliefs.classes, (m * np.exp(-beliefs.entropy) + 1) / 2)
