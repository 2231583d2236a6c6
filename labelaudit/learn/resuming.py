"""Whether a stored training or recording still fits its dataset."""

from __future__ import annotations

import numpy as np

from ..core.errors import BadInputError
from ..dataset.arrays import MISSING, find
from ..dataset.columns import Frame


def check_unchanged(
    frame: Frame, ids: np.ndarray, labels: np.ndarray, classes: list[str], work: str, remedy: str
) -> None:
    """Raise LabelAuditError if samples, labels or classes changed since the last stored epoch:
    margins of one label must not be continued with margins of another.

    ids: int (n,). labels: int (n,), as they were stored, MISSING for none. Samples and classes that
    were added since are allowed: they take no part. work: "the training of run 'x'". remedy: one
    sentence that says what to do instead.
    """
    with frame.steady():
        positions, found = find(frame.ids, ids)
        compared = found & (labels != MISSING)
        changed = int((frame.label[positions[compared]] != labels[compared]).sum())
        renamed = frame.classes[: len(classes)] != classes
    removed = int((~found).sum())
    if renamed:
        reason = "the classes changed"
    elif removed:
        reason = f"{removed:,} of its samples were deleted"
    elif changed:
        reason = f"{changed:,} of its labels were changed"
    else:
        return
    raise BadInputError(
        f"{work} of dataset {frame.name!r} cannot be resumed: since its last epoch "
        f"{reason}. {remedy}"
    )
