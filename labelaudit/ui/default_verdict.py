"""The verdict that the review page highlights and that Enter gives; none if the case is unclear.

Also what the page says instead of, or about, the probabilities.
"""

from __future__ import annotations

from collections import Counter

from ..ranking.evidence import Evidence, suggestion_is_clear
from ..ranking.explanation import percent
from ..scores.suspicion import BOUNDARY, OUTLIER, SUSPICION

ACCEPT, KEEP, REMOVE, NONE = "accept", "keep", "remove", ""


def default_verdict(found: Evidence, is_check: bool) -> str:
    """Return the default for a sample. is_check: random checks are most likely right."""
    if is_check:
        return KEEP
    if found.finding == OUTLIER:
        return REMOVE
    if found.suggests_unknown:  # no label can say so
        return REMOVE if suggestion_is_clear(found.suggested_p) else NONE
    return ACCEPT if suggestion_is_clear(found.suggested_p) else NONE


def unclear_sentence(found: Evidence) -> str:
    """Return the two most probable classes, such as "Unclear: dog 38%, cat 31%."; "" if the
    suggested class is clear or the label is probably correct."""
    best = sorted(found.probabilities.items(), key=lambda row: -row[1])[:2]
    is_right = found.scores.get(SUSPICION, 1.0) <= BOUNDARY
    if suggestion_is_clear(found.suggested_p) or not best or is_right:
        return ""
    return f"Unclear: {', '.join(f'{name} {percent(p)}' for name, p in best)}."


def similar_images_sentence(found: Evidence) -> str:
    """Return how the most similar images are labelled, without probabilities; "" without any."""
    labels = Counter(label for _, label, _ in found.neighbours if label is not None)
    if not labels:
        return ""
    label, count = labels.most_common(1)[0]
    return f"{count} of the {len(found.neighbours)} most similar images are labelled {label}."
