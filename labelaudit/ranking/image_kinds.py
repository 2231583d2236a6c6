"""Samples by their image, whatever their label: image issues, outliers, duplicates."""

from __future__ import annotations

import numpy as np

from ..dataset.arrays import MISSING
from ..dataset.columns import Frame
from ..dataset.image_issues import ISSUES, image_issues
from ..dataset.view import View
from ..scores import SCORES
from ..scores.outlier import OUTLIER  # the score, and the kind of the samples above its boundary

DUPLICATE, CONFLICT = "duplicate", "duplicate conflict"

MEANINGS = {
    OUTLIER: "The image looks like no class of the dataset.",
    **{name: issue.meaning for name, issue in ISSUES.items()},
    DUPLICATE: "The same picture occurs more than once.",
    CONFLICT: "An exact copy has another label, so at least one label is wrong.",
}


def image_kinds(view: View) -> dict[str, np.ndarray]:
    """Return the ids of the view's samples of each kind, int64 (n,), in the view's order.

    Outliers come first. Kinds that were not measured or have no samples are left out.
    """
    with view.steady():
        at, ids = view.positions(), view.frame.ids
        masks = dict(image_issues(view.frame))
        if OUTLIER in view.score_names():
            far = view.fields.number(OUTLIER) > SCORES[OUTLIER].boundary
            masks = {OUTLIER: far, **masks}
        masks |= {DUPLICATE: _duplicates(view.frame), CONFLICT: view.fields.copy_conflicts()}
        found = {name: ids[at[mask[at]]] for name, mask in masks.items()}
    return {name: some for name, some in found.items() if len(some)}


def _duplicates(frame: Frame) -> np.ndarray:
    """Return a mask, bool (n,), of the samples that share a picture; all False if duplicates were
    not searched for."""
    group = frame.number("duplicates", "group", MISSING)
    _, index, counts = np.unique(group, return_inverse=True, return_counts=True)
    return (group != MISSING) & (counts[index] > 1)


def match_image(view: View, kind: str) -> View:
    """Select the samples of a kind, in the view's order; none if there are none."""
    return view.select(image_kinds(view).get(kind, np.empty(0, np.int64)))
