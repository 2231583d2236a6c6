"""What a framework's batches and models say of ids and logits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

ID_KEYS = ("id", "ids")
IdsOf = Callable[[object], object]


def ids_of(batch):
    """The ids in a batch: under "id" or "ids" of a mapping, or the third of (image, label, id), as
    TorchImageDataset yields them. None where it has none."""
    if isinstance(batch, Mapping):
        return next((batch[key] for key in ID_KEYS if key in batch), None)
    if isinstance(batch, list | tuple) and len(batch) > 2:
        return batch[2]
    return None


def logits_of(output):
    """The logits in what a model or a step gave: under "logits", as an attribute of that name, the
    first matrix of a tuple, or the value itself where it is one. None where there are none."""
    if isinstance(output, Mapping):
        return output.get("logits")
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, list | tuple):
        return next((part for part in output if getattr(part, "ndim", 0) == 2), None)
    return output if getattr(output, "ndim", 0) == 2 else None


def without(key: str, module, arguments, keywords):
    """A forward pre-hook that takes one argument away: no model has a use for ids. Of a module, not
    of a callback: a model that bears it can be pickled."""
    return arguments, {name: value for name, value in keywords.items() if name != key}


class Complaint:
    """Says once that ids or logits are missing, and how to give them."""

    def __init__(self, remedy: str) -> None:
        self._remedy, self._said = remedy, False

    def about(self, ids, logits) -> bool:
        """Whether both are there."""
        missing = "ids" if ids is None else "logits" if logits is None else None
        if missing and not self._said:
            log.warning("a batch without %s is not recorded: %s", missing, self._remedy)
            self._said = True
        return missing is None
