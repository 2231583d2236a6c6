"""Checks what is stored with a run, at the call: a page that reads it later cannot explain it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from ..core.errors import BadInputError
from ..scores import SCORES
from .arrays import MISSING
from .columns import Frame

# These are probabilities, or 1 minus one: 0 to 1. The others have no bounds.
UNIT_SCORES = {
    "suspicion", "mistakenness", "self_confidence", "normalized_margin", "least_likely",
}  # fmt: skip


def check_info(frame: Frame, info: Mapping, width: int | None) -> str:
    """Return a run's information as JSON. width: of the stored logits; None without any.

    Raises BadInputError if it has no `classes`, if they are not those of the dataset in order
    (more may follow, or be missing at the end), or if the logits have another number of them.
    """
    names = info.get("classes") if isinstance(info, Mapping) else None
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise BadInputError(
            "the information of a run needs its classes in the order of its logits: "
            'run.finish({"classes": dataset.classes}).'
        )
    known = frame.classes[: len(names)]
    if not names or list(names[: len(known)]) != known or len(set(names)) < len(names):
        raise BadInputError(
            f"the classes of the run ({', '.join(names[:5]) or 'none'}) are not those of dataset "
            f"{frame.name!r} in order ({', '.join(known[:5])}): give dataset.classes."
        )
    if width is not None and width != len(names):
        raise BadInputError(
            f"the run has logits of {width} classes, but {len(names)} classes were given."
        )
    try:
        return json.dumps(dict(info))
    except (TypeError, ValueError) as error:
        raise BadInputError(
            f"the information of a run must be plain JSON values: {error}."
        ) from error


def check_scores(
    frame: Frame, ids: np.ndarray, labels: np.ndarray, scores: Mapping[str, np.ndarray]
) -> None:
    """Raise BadInputError for scores that cannot be stored; see `Run.write_scores`."""
    ids, labels = np.asarray(ids), np.asarray(labels)
    if ids.ndim != 1 or len(np.unique(ids)) != len(ids):
        raise BadInputError("ids of scores must be (n,), each id once.")
    frame.positions(ids)  # raises NotFoundError
    if labels.shape != ids.shape or labels.dtype.kind not in "iu":
        raise BadInputError(f"labels must be class indices, int ({len(ids)},).")
    if len(labels) and not MISSING <= labels.min() <= labels.max() < len(frame.classes):
        raise BadInputError(
            f"labels must be class indices from 0 to {len(frame.classes) - 1}, or {MISSING} for "
            "none."
        )
    for name, given in scores.items():
        if name not in SCORES:
            raise BadInputError(
                f"there is no score {name!r}: choose one of {', '.join(SCORES)}. Values of your "
                f"own belong in a field: dataset.add_field({name!r}, 'number')."
            )
        values = np.asarray(given)
        if values.shape != ids.shape or values.dtype.kind not in "fiu":
            raise BadInputError(f"{name} must be numbers of shape ({len(ids)},), as ids are.")
        bad = np.isinf(values)
        if name in UNIT_SCORES:
            bad |= (values < 0) | (values > 1)
        if bad.any():
            wanted = "from 0 to 1" if name in UNIT_SCORES else "finite"
            at = int(np.flatnonzero(bad)[0])
            raise BadInputError(
                f"{name} of sample {ids[at]} is {values[at]:g}: it must be {wanted}, or NaN for "
                "none."
            )
