"""The feature extractors that need no training, by name."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
import torch

from .patches import Patches
from .pixels import Pixels


class Extractor(Protocol):
    """Turns images into features.

    name: stored with a run. least_deviation: features are scaled to equal deviation, but at most as
    if their deviation was this share of the mean deviation of all features.
    """

    name: str
    least_deviation: float

    @classmethod
    def fit(cls, images: torch.Tensor, seed: int = 0) -> Self:
        """Return an extractor for images like these, uint8 (n, 3, S, S)."""

    def of(self, images: torch.Tensor) -> np.ndarray:
        """Return the features of images, uint8 (n, 3, S, S), as float32 (n, d)."""


EXTRACTORS: dict[str, type[Extractor]] = {cls.name: cls for cls in (Pixels, Patches)}


def fit_extractor(images: torch.Tensor, seed: int = 0) -> Extractor:
    """Return an extractor that suits some images, uint8 (n, 3, S, S): their pixels if all are grey,
    otherwise patches."""
    is_grey = (images[:, 0] == images[:, 1]).all() and (images[:, 0] == images[:, 2]).all()
    return (Pixels if is_grey else Patches).fit(images, seed)
