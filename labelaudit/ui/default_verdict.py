"""The verdict that the review page highlights and that Enter gives; none if the case is unclear."""

from __future__ import annotations

import numpy as np

from ..ranking.evidence import Evidence
from ..ranking.explanation import percent

ACCEPT, KEEP, REMOVE, NONE = "accept", "keep", "remove", ""
CLEAR = 0.5  # least probability of a suggested class that is the default
OUTLIER = "outlier"  # finding: the image looks like no class


def is_clear(p: float | None) -> bool:
    """Return whether a suggested class with this probability may be the default."""
    return p is not None and p >= CLEAR


def are_clear(p: np.ndarray) -> np.ndarray:
    """Return the same for each probability, bool (n,); False for NaN."""
    return np.nan_to_num(p, nan=0.0) >= CLEAR


def default_verdict(found: Evidence, is_check: bool) -> str:
    """Return the default for a sample. is_check: random checks are most likely right."""
    if is_check:
        return KEEP
    if found.finding == OUTLIER:
        return REMOVE
    return ACCEPT if is_clear(_suggested_p(found)) else NONE


def unclear_sentence(found: Evidence) -> str:
    """Return the two most probable classes, such as "Unclear: dog 38 %, cat 31 %."; "" if the
    suggested class is clear or the given class is more probable than not."""
    best = sorted(found.probabilities.items(), key=lambda row: -row[1])[:2]
    if is_clear(_suggested_p(found)) or not best or best[0][1] >= CLEAR:
        return ""
    return f"Unclear: {', '.join(f'{name} {percent(p)}' for name, p in best)}."


def _suggested_p(found: Evidence) -> float | None:
    if found.suggested_p is None:
        return found.probabilities.get(found.suggested)
    return found.suggested_p
