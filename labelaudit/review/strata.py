"""Groups of samples with similar suspicion, in which wrong labels are counted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

EDGES = np.array([0.0, 0.01, 0.1, 0.5, 0.9, 1.0])  # of suspicion
STRATA = len(EDGES) - 1
NAMES = [f"{100 * low:g} to {100 * high:g}%" for low, high in pairwise(EDGES)]
# In the strata from here on, reviewers see the most suspicious samples first. Below, they see few
# samples but random checks.
SUSPECT = 2


def stratum_of(p: np.ndarray) -> np.ndarray:
    """Return the stratum of each suspicion, int8 (n,), 0 to STRATA - 1."""
    at = np.searchsorted(EDGES, p, "left") - 1  # 0.1 belongs to "1 to 10%", like in the ranking
    return np.clip(at, 0, STRATA - 1).astype(np.int8)
