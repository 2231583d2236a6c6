"""Image quality: images that are dark, bright, blurred, empty, oddly shaped or sized, or grey.

The definitions follow the image checks that are common in the field (percentiles of perceived
brightness, variance of the Laplacian, entropy of the grey levels, ratio of the sides).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..core.errors import StoppedError
from ..core.progress import QUIET, Task
from ..dataset.arrays import MISSING
from ..dataset.columns import Frame
from ..storage import schema
from .image_batches import Images

TABLE = "quality"
SIZE = 96  # side in pixels of the images that are measured
ROWS = 256
WRITE_SECONDS = 10.0
WEIGHTS = np.array([0.241, 0.691, 0.068], np.float32)  # of squared red, green and blue
MEASURES = ("shadows", "highlights", "sharpness", "entropy", "colour")
SHAPE_RATIO = 0.35  # shorter side divided by longer side
SIZE_FACTOR = 4.0  # of the median side
RARE = 0.2  # of the images; a kind that is more common is a property of the dataset
SMALLEST = 24  # pixels a side; smaller images say nothing about sharpness


@dataclass(frozen=True)
class Issue:
    """A kind of image issue. found: mask, bool (n,), from the measures of all images by name."""

    name: str
    meaning: str
    found: Callable[[dict[str, np.ndarray]], np.ndarray]


ISSUES: dict[str, Issue] = {
    issue.name: issue
    for issue in [
        Issue("dark", "Nearly all of the image is dark.", lambda m: m["highlights"] < 0.32),
        Issue("bright", "Nearly all of the image is white.", lambda m: m["shadows"] > 0.95),
        Issue("blurred", "The image has no sharp edges.", lambda m: _blurred(m)),
        Issue("low information", "The image is nearly one colour.", lambda m: m["entropy"] < 1.5),
        Issue(
            "odd shape",
            "One side is about three times as long as the other.",
            lambda m: (
                np.minimum(m["width"], m["height"])
                < SHAPE_RATIO * np.maximum(m["width"], m["height"])
            ),
        ),
        Issue("odd size", "The image is far smaller or larger than most.", lambda m: _odd_size(m)),
        Issue("grey", "A grey image among coloured ones.", lambda m: _rare(m["colour"] < 1.0)),
    ]
}


def measure(pixels: np.ndarray) -> np.ndarray:
    """Measure images, uint8 (n, 3, S, S): float32 (n, 5), one column for each of MEASURES.

    shadows and highlights are the 5th and 99th percentile of perceived brightness (0 to 1),
    sharpness the standard deviation of the Laplacian of the grey levels (0 to 255), entropy that
    of their histogram in bits, and colour the mean distance between the largest and the smallest
    channel (0 to 255).
    """
    values = pixels.astype(np.float32)
    squared = np.einsum("nchw,c->nhw", np.square(values), WEIGHTS)
    bright = np.sqrt(squared).reshape(len(values), -1) / 255
    low, high = np.percentile(bright, [5, 99], axis=1)
    grey = values.mean(axis=1)
    inner = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    sharp = (laplacian - 4 * inner).std(axis=(1, 2))
    colour = (pixels.max(axis=1) - pixels.min(axis=1)).mean(axis=(1, 2))
    columns = [low, high, sharp, _entropy(grey), colour]
    return np.stack(columns, axis=1).astype(np.float32)


def _entropy(grey: np.ndarray) -> np.ndarray:
    """Entropy of each histogram of 256 grey levels, in bits."""
    n = len(grey)
    levels = grey.astype(np.int64).reshape(n, -1)
    flat = (levels + 256 * np.arange(n)[:, None]).ravel()
    share = np.bincount(flat, minlength=256 * n).reshape(n, 256) / levels.shape[1]
    return -(share * np.log2(np.maximum(share, 1e-12))).sum(axis=1)


def measure_quality(frame: Frame, ids: np.ndarray, task: Task = QUIET) -> None:
    """Measure and store the images that were not measured yet. ids: sorted, int64.

    Images that cannot be read are left out. A stop raises StoppedError; what is done is kept.
    """
    rows = frame.read(TABLE, ["id"])
    known = np.empty(0, np.int64) if rows is None else rows["id"].to_numpy()
    missing = np.setdiff1d(ids, known)
    if not len(missing):
        return
    images = Images(frame, missing, SIZE)
    stage = task.stage("checking image quality", len(missing), stoppable=False)
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    written = time.monotonic()
    try:
        for places, pixels in images.batches(np.arange(len(missing)), ROWS):
            if task.stop():
                raise StoppedError("checking image quality was stopped: what is done is kept.")
            waiting.append((missing[places], measure(pixels.numpy())))
            stage.advance(len(places))
            if time.monotonic() - written > WRITE_SECONDS:
                _write(frame, waiting)
                written = time.monotonic()
    finally:
        _write(frame, waiting)


def _write(frame: Frame, waiting: list) -> None:
    if waiting:
        ids, values = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
        waiting.clear()
        columns = [pa.array(ids, pa.int64()), *map(pa.array, values.T)]
        with frame.writing():
            rows = pa.table(columns, schema=schema.QUALITY)
            frame.upsert(TABLE, rows, schema.QUALITY)


def image_issues(frame: Frame) -> dict[str, np.ndarray]:
    """Return a mask, bool (n,), for each kind of issue, aligned to `frame.ids`; empty if the
    quality was not measured. Cached until the measures change."""
    if not frame.exists(TABLE):
        return {}

    def load() -> dict[str, np.ndarray]:
        measures = {name: frame.number(TABLE, name, float("nan")) for name in MEASURES}
        for name in ("width", "height"):
            side = frame.number("samples", name, MISSING).astype(float)
            measures[name] = np.where(side == MISSING, np.nan, side)
        with np.errstate(invalid="ignore"):
            return {name: issue.found(measures) for name, issue in ISSUES.items()}

    stamp = (frame.stamp(TABLE), frame.stamp("samples"), len(frame.ids))
    return frame.cached("image issues", stamp, load)


def _blurred(measures: dict[str, np.ndarray]) -> np.ndarray:
    """Sharpness far below the usual, in absolute terms and within the dataset."""
    sharp = np.log(np.maximum(measures["sharpness"], 1e-3))
    middle = np.nanmedian(sharp) if np.isfinite(sharp).any() else 0.0
    small = np.maximum(measures["width"], measures["height"]) < SMALLEST
    return (measures["sharpness"] < 3.0) & (sharp < middle - np.log(4.0)) & ~small


def _odd_size(measures: dict[str, np.ndarray]) -> np.ndarray:
    side = np.sqrt(measures["width"] * measures["height"])
    middle = np.nanmedian(side) if np.isfinite(side).any() else 1.0
    return (side * SIZE_FACTOR < middle) | (side > SIZE_FACTOR * middle)


def _rare(found: np.ndarray) -> np.ndarray:
    """The mask itself, or nothing if it is the usual case."""
    return found if found.mean() < RARE else np.zeros_like(found)
