"""The usual size of a dataset's images."""

from __future__ import annotations

import numpy as np

from ..core.errors import DamagedError
from ..core.images import UnreadableImageError
from ..dataset.arrays import MISSING
from ..dataset.columns import Frame
from .decoding import decoded_images

SMALL_SIDE = 96  # pixels of the longer side; larger images are photographs
SIZE_SAMPLE = 16  # images opened to find their size if the dataset does not know it
LARGEST = 100_000  # pixels


def usual_size(frame: Frame, ids: np.ndarray, low: int = 1, high: int = LARGEST) -> int:
    """Return the longer side of most images in pixels, within bounds.

    Raises DamagedError if the sizes are not known and no image can be read.
    """
    positions = frame.positions(ids)
    width = frame.number("samples", "width", MISSING)[positions]
    height = frame.number("samples", "height", MISSING)[positions]
    sides = np.maximum(width, height)[width != MISSING]
    if not len(sides):
        sides = _some_sides(frame, ids)
    return int(np.clip(np.median(sides), low, high))


def _some_sides(frame: Frame, ids: np.ndarray) -> list[int]:
    """Return the longer sides, in pixels, of the first readable images."""
    start, count, unread = 0, SIZE_SAMPLE, ""
    while start < len(ids):
        sides = []
        for _, path, image in decoded_images(frame, ids[start : start + count]):
            if isinstance(image, UnreadableImageError):
                unread = f"{path}: {image}"
            else:
                sides.append(max(image.size))
        if sides:
            return sides
        start, count = start + count, 2 * count
    raise DamagedError(f"none of the {len(ids):,} images can be read: {unread}")
