"""Buffers logits of the user's batches on their device.

Reading from a GPU makes it wait, so the logits of many steps are read at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..core.errors import BadInputError
from ..dataset.arrays import as_ids

BUFFERED_BYTES = 8 << 20  # of buffered logits and embeddings
BUFFERED_BATCHES = 64


@dataclass
class Batch:
    """One batch of a training loop.

    ids: int (n,), a tensor if they are on a device. logits: (n, C) in any precision, a copy, since
    the loop may change its own. embeddings: (n, D) or None. learned: whether the model is trained
    on these samples.
    """

    ids: np.ndarray | torch.Tensor
    logits: torch.Tensor
    embeddings: torch.Tensor | None
    learned: bool

    @property
    def kind(self) -> tuple:
        """Equal for batches that can be concatenated."""
        width = None if self.embeddings is None else self.embeddings.shape[1]
        return self.learned, self.logits.device, self.logits.dtype, width

    @property
    def nbytes(self) -> int:
        return self.logits.nbytes + (0 if self.embeddings is None else self.embeddings.nbytes)


def as_batch(ids, logits, embeddings, learned: bool, classes: int) -> Batch:
    """Return what a loop passed as a Batch, checked without waiting for the device.

    Raises LabelAuditError if shapes or types do not fit.
    """
    logits = _copy(logits, "logits")
    ids = _as_ids(ids)
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise BadInputError(
            f"logits of shape {tuple(logits.shape)} were given, and the dataset has {classes} "
            f"classes: give (n, {classes}), one column for each class."
        )
    if len(ids) != len(logits):
        raise BadInputError(
            f"{len(ids)} ids were given with {len(logits)} rows of logits: give one id for each."
        )
    if embeddings is not None:
        embeddings = _copy(embeddings, "embeddings")
        if embeddings.ndim != 2 or len(embeddings) != len(ids) or not embeddings.shape[1]:
            raise BadInputError(
                f"embeddings of shape {tuple(embeddings.shape)} were given for {len(ids)} samples: "
                f"give ({len(ids)}, D)."
            )
        embeddings = embeddings.to(logits.device)
    return Batch(ids, logits, embeddings, learned)


def _as_ids(ids) -> np.ndarray | torch.Tensor:
    if isinstance(ids, torch.Tensor):
        if ids.dtype.is_floating_point or ids.dtype.is_complex or ids.dtype == torch.bool:
            raise BadInputError(f"ids are a tensor of {ids.dtype}: ids are whole numbers.")
        ids = ids.detach().reshape(-1)
        return ids.numpy().astype(np.int64) if ids.device.type == "cpu" else ids.clone()
    if isinstance(ids, list | tuple) and any(isinstance(one, torch.Tensor) for one in ids):
        ids = [int(one) for one in ids]
    return as_ids(ids)


def _copy(values, name: str) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach().clone()
    values = np.array(values)
    if values.dtype.kind not in "fiu":
        raise BadInputError(f"{name} of type {values.dtype} were given: they must be numbers.")
    return torch.from_numpy(values.astype(np.float32))


@dataclass
class Buffered:
    """The content of a buffer: batches of one kind, concatenated."""

    ids: list[np.ndarray]  # of each batch, int64 (n,)
    logits: torch.Tensor  # float32 (N, C), on the device
    embeddings: torch.Tensor | None  # float32 (N, D), on the device
    learned: bool


class BatchBuffer:
    """Batches of one kind that were not read from their device yet."""

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self._nbytes = 0

    def accepts(self, batch: Batch) -> bool:
        """Whether the batch can be concatenated with the buffered ones."""
        return not self._batches or self._batches[0].kind == batch.kind

    def add(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._nbytes += batch.nbytes

    @property
    def is_full(self) -> bool:
        return self._nbytes >= BUFFERED_BYTES or len(self._batches) >= BUFFERED_BATCHES

    def clear(self) -> Buffered | None:
        """Empty the buffer. Returns what it contained, None if it was empty."""
        batches, self._batches, self._nbytes = self._batches, [], 0
        if not batches:
            return None
        ids = [_to_host(batch.ids) for batch in batches]
        logits = torch.cat([batch.logits for batch in batches]).float()
        embeddings = None
        if batches[0].embeddings is not None:
            embeddings = torch.cat([batch.embeddings.float() for batch in batches])
        return Buffered(ids, logits, embeddings, batches[0].learned)


def _to_host(ids: np.ndarray | torch.Tensor) -> np.ndarray:
    return ids if isinstance(ids, np.ndarray) else ids.cpu().numpy().astype(np.int64)
