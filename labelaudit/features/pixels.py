"""Features of grey images: their pixels."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from .extractors import Examples, Extractor

MAX_SIDE = 16  # larger images are averaged down to this side
MIN_SIDE = 8


class Pixels(Extractor):
    """The grey values of small images, float32 (n, side^2): enough for digits and icons."""

    name = "pixels"
    # Higher than any: scaling a pixel that is nearly always the same, such as a corner, would give
    # it as much weight as the middle.
    least_deviation = 100.0

    def __init__(self, side: int) -> None:
        """side: usual longer side of the dataset's images in pixels."""
        self.size = max(min(side, 2 * MAX_SIDE), MIN_SIDE)
        self._side = min(self.size, MAX_SIDE)
        self.width = self._side**2
        self.version = f"{self._side} px"

    def of(self, images: torch.Tensor) -> np.ndarray:
        """Return the features of images, uint8 (n, 3, size, size)."""
        grey = images.float().mean(dim=1, keepdim=True)
        if grey.shape[-1] != self._side:
            grey = F.adaptive_avg_pool2d(grey, self._side)
        return grey.flatten(1).numpy()


def open_pixels(_: str, examples: Examples) -> Pixels:
    """Open the extractor for the images of a dataset."""
    return Pixels(examples.side)
