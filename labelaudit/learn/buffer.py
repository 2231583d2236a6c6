"""Logits of a user's batches, kept on the device that they came from until it is worth waiting for:
reading from a GPU halts it, so that is done once in a good many steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..core.errors import LabelAuditError
from ..dataset.arrays import as_ids

BUFFERED_BYTES = 8 << 20  # of logits and embeddings, on the device …
BUFFERED_BATCHES = 64  # … and at most so many batches


@dataclass
class Batch:
    """ids: (n,), a tensor where they lie on a device. logits: (n, C) in whatever precision, a copy:
    the loop may go on to change its own. embeddings: (n, D) or None."""

    ids: np.ndarray | torch.Tensor
    logits: torch.Tensor
    embeddings: torch.Tensor | None
    learned: bool

    @property
    def kind(self) -> tuple:
        """Equal for batches that can be joined."""
        width = None if self.embeddings is None else self.embeddings.shape[1]
        return self.learned, self.logits.device, self.logits.dtype, width

    @property
    def nbytes(self) -> int:
        return self.logits.nbytes + (0 if self.embeddings is None else self.embeddings.nbytes)


def as_batch(ids, logits, embeddings, learned: bool, classes: int) -> Batch:
    """What a loop gave, checked without waiting for the device. Raises LabelAuditError where it
    does not fit."""
    logits = _copied(logits, "logits")
    ids = _ids(ids)
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise LabelAuditError(
            f"logits of shape {tuple(logits.shape)} were given, and the dataset has {classes} "
            f"classes: give (n, {classes}), one column for each class."
        )
    if len(ids) != len(logits):
        raise LabelAuditError(
            f"{len(ids)} ids were given with {len(logits)} rows of logits: give one id for each."
        )
    if embeddings is not None:
        embeddings = _copied(embeddings, "embeddings")
        if embeddings.ndim != 2 or len(embeddings) != len(ids) or not embeddings.shape[1]:
            raise LabelAuditError(
                f"embeddings of shape {tuple(embeddings.shape)} were given for {len(ids)} samples: "
                f"give ({len(ids)}, D)."
            )
        embeddings = embeddings.to(logits.device)
    return Batch(ids, logits, embeddings, learned)


def _ids(ids) -> np.ndarray | torch.Tensor:
    if isinstance(ids, torch.Tensor):
        if ids.dtype.is_floating_point or ids.dtype.is_complex or ids.dtype == torch.bool:
            raise LabelAuditError(f"ids are a tensor of {ids.dtype}: ids are whole numbers.")
        ids = ids.detach().reshape(-1)
        return ids.numpy().astype(np.int64) if ids.device.type == "cpu" else ids.clone()
    if isinstance(ids, list | tuple) and any(isinstance(one, torch.Tensor) for one in ids):
        ids = [int(one) for one in ids]
    return as_ids(ids)


def _copied(values, what: str) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach().clone()
    values = np.array(values)
    if values.dtype.kind not in "fiu":
        raise LabelAuditError(f"{what} of type {values.dtype} were given: they must be numbers.")
    return torch.from_numpy(values.astype(np.float32))


class Buffer:
    """Batches of one kind that wait to be read."""

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self._nbytes = 0

    def takes(self, batch: Batch) -> bool:
        """Whether this one can be joined to those that wait."""
        return not self._batches or self._batches[0].kind == batch.kind

    def add(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._nbytes += batch.nbytes

    @property
    def is_full(self) -> bool:
        return self._nbytes >= BUFFERED_BYTES or len(self._batches) >= BUFFERED_BATCHES

    def empty(self) -> tuple[list[np.ndarray], torch.Tensor, torch.Tensor | None, bool] | None:
        """All that waits, and forget it: ids of each batch, int64 (n,); of all together logits
        (N, C) and embeddings (N, D), float32 on their device; learned. None for nothing."""
        batches, self._batches, self._nbytes = self._batches, [], 0
        if not batches:
            return None
        ids = [_on_host(batch.ids) for batch in batches]
        logits = torch.cat([batch.logits for batch in batches]).float()
        vectors = None
        if batches[0].embeddings is not None:
            vectors = torch.cat([batch.embeddings.float() for batch in batches])
        return ids, logits, vectors, batches[0].learned


def _on_host(ids: np.ndarray | torch.Tensor) -> np.ndarray:
    return ids if isinstance(ids, np.ndarray) else ids.cpu().numpy().astype(np.int64)


def about_labels(logits: torch.Tensor, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Margin of the given class to the best other and p(given class), float32 (n,) each, on the
    device of the logits, float32 (n, C). labels: int (n,); any numbers where it is negative."""
    given = torch.from_numpy(np.maximum(labels, 0).astype(np.int64)).to(logits.device)[:, None]
    own = logits.gather(1, given)[:, 0]
    best_other = logits.scatter(1, given, -torch.inf).amax(1)
    return own - best_other, (own - logits.logsumexp(1)).exp()
