"""What the extractors that run a pretrained network share: number format, resizing, batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from .device import choose_device, multiplies_bfloat16
from .extractors import Extractor

BATCH_PIXELS = 16 * 224 * 224  # on a processor: larger batches leave its cache
GPU_IMAGES = 256


class NetworkExtractor(Extractor):
    """Features of a pretrained network.

    network: in evaluation mode, without gradients. forward: maps float images (n, 3, input,
    input), already normalised, to a tensor (n, width). input: side in pixels that the network
    gets. mean, std: of the three channels, for images from 0 to 1. side: usual side of the
    dataset's images; smaller images are enlarged just before the network sees them.
    """

    def __init__(
        self,
        name: str,
        network: torch.nn.Module,
        forward: Callable[[torch.Tensor], torch.Tensor],
        width: int,
        input: int,
        mean: Sequence[float],
        std: Sequence[float],
        side: int,
        weights: str,
        device: str = "auto",
    ) -> None:
        self.name, self.width, self.input = name, width, input
        self.size = min(side, input)
        self.version = f"{weights} at {input} px"
        self.device = choose_device(device)
        low = self.device.type == "cuda" or multiplies_bfloat16(self.device)
        self.dtype = torch.bfloat16 if low else torch.float32
        network.to(self.device, self.dtype, memory_format=torch.channels_last)
        self._forward = forward
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(mean, device=self.device).reshape(shape) * 255
        self._std = torch.tensor(std, device=self.device).reshape(shape) * 255

    @torch.inference_mode()
    def of(self, images: torch.Tensor) -> np.ndarray:
        on_cpu = self.device.type == "cpu"
        rows = max(BATCH_PIXELS // self.input**2, 1) if on_cpu else GPU_IMAGES
        parts = [self._forward(self._prepared(some)).float().cpu() for some in images.split(rows)]
        return torch.cat(parts).numpy()

    def _prepared(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.to(self.device).float()
        if pixels.shape[-1] != self.input:
            shrinks = pixels.shape[-1] > self.input
            size = (self.input, self.input)
            pixels = F.interpolate(pixels, size, mode="bicubic", antialias=shrinks).clamp_(0, 255)
        pixels = (pixels - self._mean) / self._std
        return pixels.to(self.dtype).contiguous(memory_format=torch.channels_last)


def fingerprint(network: torch.nn.Module) -> str:
    """Return 12 hex digits that identify the weights of a network."""
    digest = hashlib.blake2b(digest_size=6)
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
