"""The verdict that the review page highlights and that Enter gives; none if the case is unclear.

Also what the page says instead of, or about, the probabilities.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..ranking.evidence import Evidence
from ..ranking.explanation import percent
from ..ranking.image_kinds import OUTLIER
from ..scores.suspicion import FITTING

ACCEPT, KEEP, REMOVE, NONE = "accept", "keep", "remove", ""
CLEAR = 0.5  # least probability of a suggested class that is the default


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
    suggested class is clear or the label is probably correct."""
    best = sorted(found.probabilities.items(), key=lambda row: -row[1])[:2]
    if is_clear(_suggested_p(found)) or not best or found.finding == FITTING:
        return ""
    return f"Unclear: {', '.join(f'{name} {percent(p)}' for name, p in best)}."


def similar_images_sentence(found: Evidence) -> str:
    """Return how the most similar images are labelled, without probabilities; "" without any."""
    labels = Counter(label for _, label, _ in found.neighbours if label is not None)
    if not labels:
        return ""
    label, count = labels.most_common(1)[0]
    return f"{count} of the {len(found.neighbours)} most similar images are labelled {label}."


def _suggested_p(found: Evidence) -> float | None:
    if found.suggested_p is None:
        return found.probabilities.get(found.suggested)
    return found.suggested_p
