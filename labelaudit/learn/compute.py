"""Forward passes over images: augmented copies, logits, embeddings, and the number of threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..features.device import autocast, available_cores
from ..features.image_batches import Images

EVALUATION_ROWS = 125  # larger batches leave the processor's cache and are slower
TUNING_STEPS = 2  # the first one with a new number of threads pays for starting them


class ThreadTuner:
    """Times a step or two with one thread and with all, and keeps the faster, each epoch anew.

    What is best depends on who else is busy: alone on 2 cores two threads are twice as fast, but
    beside another busy process they wait for each other and are ten times slower than one.
    """

    def __init__(self, fixed: int | None) -> None:
        self.candidates = [fixed] if fixed else sorted({1, available_cores()})
        self.epoch_begins()

    def epoch_begins(self) -> None:
        self._best: dict[int, float] = {}
        self._trying = list(self.candidates) if len(self.candidates) > 1 else []
        self._taken: list[float] = []
        torch.set_num_threads(self.candidates[0])

    def step_begins(self) -> None:
        self._started = time.perf_counter()

    def step_ends(self) -> None:
        if not self._trying:
            return
        self._taken.append(time.perf_counter() - self._started)
        hopeless = self._best and self._taken[0] > 1.5 * min(self._best.values())
        if len(self._taken) < TUNING_STEPS and not hopeless:
            return
        self._best[self._trying.pop(0)] = min(self._taken)
        self._taken = []
        best = min(self._best, key=self._best.get)
        torch.set_num_threads(self._trying[0] if self._trying else best)


@dataclass(frozen=True)
class Copy:
    """An image shifted by some pixels, with reflected borders, and perhaps mirrored."""

    down: int = 0
    right: int = 0
    mirrored: bool = False

    def of(self, batch: torch.Tensor) -> torch.Tensor:
        """This copy of every image of (n, 3, S, S); float32 if shifted, else as it is."""
        if self.mirrored:
            batch = batch.flip(3)
        if not self.down and not self.right:
            return batch
        size, pad = batch.shape[-1], max(abs(self.down), abs(self.right))
        wide = F.pad(batch.float(), (pad,) * 4, mode="reflect")
        top, left = pad - self.down, pad - self.right
        return wide[:, :, top : top + size, left : left + size]


def augmented_copies(shift: int, mirror: bool) -> list[Copy]:
    """The image, moved up left and down right by `shift` pixels, and the mirror images of these:
    the six looks of KellerJordan/cifar10-airbench."""
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

    copies: what of each image is looked at; the logits are the mean over them.
    """
    model.eval()
    for at, batch in images.batches(places, EVALUATION_ROWS):
        batch = batch.to(device)
        # both modes end before the yield: what spans it is lost when the generator goes on
        with torch.inference_mode(), autocast(device):
            logits = sum(model(copy.of(batch)).float() for copy in copies) / len(copies)
        yield at, logits.cpu().numpy()


def embedding_width(model: torch.nn.Module) -> int:
    """How many numbers the embeddings of `forward_with_embeddings` have."""
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
    """Yield (places, logits float32 (n, C), embeddings float32 (n, D)): as `forward`, and what the
    model's last linear layer got, the mean over the copies too."""
    inputs: list[torch.Tensor] = []
    last = _last_layer(model)
    hook = last.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0].float()))
    try:
        for at, logits in forward(model, images, places, device, copies):
            yield at, logits, torch.stack(inputs).mean(0).cpu().numpy()
            inputs.clear()
    finally:
        hook.remove()
