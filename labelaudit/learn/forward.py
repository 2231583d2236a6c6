"""Forward passes over images: augmented copies, logits and embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..features.device import autocast
from ..features.image_batches import Images

EVALUATION_ROWS = 125  # larger batches do not fit the processor's cache and are slower


@dataclass(frozen=True)
class Copy:
    """A copy of an image: shifted by some pixels with reflected borders, and possibly mirrored."""

    down: int = 0
    right: int = 0
    mirrored: bool = False

    def of(self, batch: torch.Tensor) -> torch.Tensor:
        """Return this copy of each image of (n, 3, S, S); float32 if shifted, else unchanged."""
        if self.mirrored:
            batch = batch.flip(3)
        if not self.down and not self.right:
            return batch
        size, pad = batch.shape[-1], max(abs(self.down), abs(self.right))
        wide = F.pad(batch.float(), (pad,) * 4, mode="reflect")
        top, left = pad - self.down, pad - self.right
        return wide[:, :, top : top + size, left : left + size]


def augmented_copies(shift: int, mirror: bool) -> list[Copy]:
    """Return the image, the image moved up left and down right by `shift` pixels, and their mirror
    images: the six views of KellerJordan/cifar10-airbench."""
    moves = [0, -shift, shift] if shift else [0]
    sides = [False, True] if mirror else [False]
    return [Copy(by, by, mirrored) for mirrored in sides for by in moves]


def forward(
    model: torch.nn.Module,
    images: Images,
    places: np.ndarray,
    device: torch.device,
    copies: Sequence[Copy] = (Copy(),),
):
    """Yield (places, logits float32 (n, C)) of these images, in evaluation mode.

    copies: the copies of each image to evaluate; the logits are the mean over them.
    """
    model.eval()
    for at, batch in images.batches(places, EVALUATION_ROWS):
        batch = batch.to(device)
        # both modes must end before the yield: a generator cannot hold a mode across it
        with torch.inference_mode(), autocast(device):
            logits = sum(model(copy.of(batch)).float() for copy in copies) / len(copies)
        yield at, logits.cpu().numpy()


def embedding_width(model: torch.nn.Module) -> int:
    """Return the length of the embeddings of `forward_with_embeddings`."""
    return _last_layer(model).in_features


def _last_layer(model: torch.nn.Module) -> torch.nn.Linear:
    return [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]


def forward_with_embeddings(
    model: torch.nn.Module,
    images: Images,
    places: np.ndarray,
    device: torch.device,
    copies: Sequence[Copy] = (Copy(),),
):
    """Yield (places, logits float32 (n, C), embeddings float32 (n, D)): as `forward`, with the
    input of the model's last linear layer as embedding, also the mean over the copies."""
    inputs: list[torch.Tensor] = []
    last = _last_layer(model)
    hook = last.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0].float()))
    try:
        for at, logits in forward(model, images, places, device, copies):
            yield at, logits, torch.stack(inputs).mean(0).cpu().numpy()
            inputs.clear()
    finally:
        hook.remove()
