"""Finds ids and logits in the batches and outputs of a framework."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

ID_KEYS = ("id", "ids")
IdsOf = Callable[[object], object]


def ids_of(batch):
    """Return the ids of a batch: "id" or "ids" of a mapping, or the third of (image, label, id), as
    TorchImageDataset yields them. None if there are none."""
    if isinstance(batch, Mapping):
        return next((batch[key] for key in ID_KEYS if key in batch), None)
    if isinstance(batch, list | tuple) and len(batch) > 2:
        return batch[2]
    return None


def logits_of(output):
    """Return the logits in the output of a model or a step: "logits" of a mapping, an attribute of
    that name, the first matrix of a tuple, or the output itself if it is a matrix. None if there
    are none."""
    if isinstance(output, Mapping):
        return output.get("logits")
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, list | tuple):
        return next((part for part in output if getattr(part, "ndim", 0) == 2), None)
    return output if getattr(output, "ndim", 0) == 2 else None


def remove_argument(key: str, module, arguments, keywords):
    """A forward pre-hook that removes an argument, because models do not use ids.

    A function of this module, not of a callback, so that a model with this hook can be pickled.
    """
    return arguments, {name: value for name, value in keywords.items() if name != key}


class BatchCheck:
    """Checks for ids and logits, and logs once that they are missing."""

    def __init__(self, remedy: str) -> None:
        """remedy: a sentence that says how to provide them."""
        self._remedy, self._logged = remedy, False

    def __call__(self, ids, logits) -> bool:
        """Whether there are both."""
        missing = "ids" if ids is None else "logits" if logits is None else None
        if missing and not self._logged:
            log.warning("a batch without %s is not recorded: %s", missing, self._remedy)
            self._logged = True
        return missing is None
