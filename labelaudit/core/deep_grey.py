"""Grey images with more than 8 bits: 16-bit, 32-bit and floating point.

All images of a dataset and depth are shown with the same scale, so that classes that differ in
brightness stay different. The scale is measured, because the range of the values is not in the
file: 12-bit data is often stored in 16-bit files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image

DEPTHS = {  # by Pillow's mode
    "I;16": "16-bit", "I;16B": "16-bit", "I;16L": "16-bit", "I;16N": "16-bit",
    "I": "32-bit", "F": "float",
}  # fmt: skip
IGNORED = 0.001  # share of pixels at each end that may lie outside the scale, such as hot pixels
MEASURED_PIXELS = 1 << 16  # of an image, evenly spaced
STRIP_PIXELS = 1 << 22  # converted at once
USUAL_WHITES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # greatest values of usual depths

Scale = tuple[float, float]  # the values that become black and white
Scales = Mapping[str, Scale]  # by depth


class GreyScales:
    """Measures the scale of each depth while the images of a dataset are read."""

    def __init__(self) -> None:
        self._extents: dict[str, list[Scale]] = {}

    def add(self, depth: str, low: float, high: float) -> None:
        """Add the extent of an image; see `extent`."""
        self._extents.setdefault(depth, []).append((low, high))

    def result(self) -> dict[str, list[float]]:
        """Return [black, white] of each depth.

        They enclose the extents of all images, except of one in a thousand at each end, so that a
        few broken images in a large dataset do not darken all others. Images that fill at least
        half of a usual depth, such as 0 to 4095, are read with that: they look like the same images
        with 8 bits.
        """
        found = {}
        for depth, extents in self._extents.items():
            lows, highs = np.array(extents).T
            low = np.quantile(lows, IGNORED, method="lower")
            high = np.quantile(highs, 1 - IGNORED, method="higher")
            white = _usual_white(high, depth)
            if white is not None and low >= 0 and high - low >= white / 2:
                found[depth] = [0.0, white]
            else:
                found[depth] = [float(low), float(high)]
        return found


def describe(scales: Mapping[str, list[float]]) -> list[str]:
    """Return a sentence for each depth."""
    return [
        f"{'Floating-point' if depth == 'float' else depth} grey images are read with one scale: "
        f"{low:g} and less is black, {high:g} and more is white."
        for depth, (low, high) in scales.items()
    ]


def extent(image: Image.Image) -> Scale | None:
    """Return the least and the greatest value of an image of one of DEPTHS, without IGNORED pixels
    at each end. None if no value is finite."""
    step = max(round((image.width * image.height / MEASURED_PIXELS) ** 0.5), 1)
    rows = max(STRIP_PIXELS // image.width // step, 1) * step
    parts = [_values(strip)[::step, ::step].ravel() for strip in strips(image, rows)]
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low = np.quantile(values, IGNORED, method="lower")
    return float(low), float(np.quantile(values, 1 - IGNORED, method="higher"))


def to_grey(image: Image.Image, scale: Scale) -> Image.Image:
    """Return an image of one of DEPTHS with 8 bits. NaN becomes black, as do infinite values.

    If black and white are the same value, greater values than 0 become white.
    """
    parts = [_scaled(_values(strip), *scale) for strip in strips(image)]
    return Image.fromarray(parts[0] if len(parts) == 1 else np.concatenate(parts))


def usual_scale(image: Image.Image) -> Scale:
    """Return the scale of an image of a dataset in which no image of this depth was measured.

    Black is 0, and white the greatest value of the least usual depth that contains all values, so
    that it is nearly always the same for all images. Other values: the extent of the image.
    """
    low, high = extent(image) or (0.0, 0.0)
    white = _usual_white(high, DEPTHS[image.mode])
    return (low, high) if low < 0 or white is None else (0.0, white)


def _usual_white(high: float, depth: str) -> float | None:
    """Return the least of USUAL_WHITES that is at least `high`; None if there is none."""
    whites = USUAL_WHITES if depth == "float" else USUAL_WHITES[1:]
    return next((white for white in whites if high <= white), None)


def full_range(image: Image.Image) -> Scale:
    """Return the least and the greatest finite value of an image; (0, 0) if there is none."""
    low, high = np.inf, -np.inf
    for strip in strips(image):
        values = _values(strip)
        values = values[np.isfinite(values)]
        if len(values):
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def strips(image: Image.Image, rows: int | None = None) -> Iterator[Image.Image]:
    """Yield the image in parts of so many rows, by default of STRIP_PIXELS, from top to bottom."""
    rows = rows or max(STRIP_PIXELS // max(image.width, 1), 1)
    if rows >= image.height:
        yield image
        return
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _values(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Scale (H, W) to uint8 (H, W)."""
    finite = np.isfinite(values)
    if low == high:
        return np.where(finite & (values >= high) & (high > 0), 255, 0).astype(np.uint8)
    values = np.where(finite, values, low).astype(np.float64)
    return np.clip(np.round((values - low) * 255 / (high - low)), 0, 255).astype(np.uint8)
