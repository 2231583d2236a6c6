"""Features of grey images: their pixels."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

MAX_SIDE = 16  # larger images are averaged down to this side


class Pixels:
    """The grey values of small images, float32 (n, side^2): enough for digits and icons."""

    name = "pixels"
    # Higher than any: scaling a pixel that is nearly always the same, such as a corner, would give
    # it as much weight as the middle.
    least_deviation = 100.0

    @classmethod
    def fit(cls, images: torch.Tensor, seed: int = 0) -> Pixels:
        """Nothing is learned from the images."""
        return cls()

    def of(self, images: torch.Tensor) -> np.ndarray:
        """Return the features of images, uint8 (n, 3, S, S)."""
        grey = images[:, :1].float()
        if grey.shape[-1] > MAX_SIDE:
            grey = F.adaptive_avg_pool2d(grey, MAX_SIDE)
        return grey.flatten(1).numpy()
