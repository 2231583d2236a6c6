"""Image quality: images that are dark, bright, blurred, empty, oddly shaped or sized, or grey.

This module measures images. `dataset.image_issues` finds the issues from the stored measures.
"""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa

from ..core.errors import StoppedError
from ..core.progress import QUIET, Task
from ..dataset.columns import Frame
from ..dataset.image_issues import TABLE
from ..storage import schema
from .image_batches import Images
from .image_size import usual_size

SIZE = 96  # side in pixels of the images that are measured; smaller ones are not enlarged
LEAST_SIZE = 8
ROWS = 256
WRITE_SECONDS = 10.0
WEIGHTS = np.array([0.241, 0.691, 0.068], np.float32)  # of squared red, green and blue


def measure(pixels: np.ndarray) -> np.ndarray:
    """Measure images, uint8 (n, 3, S, S): float32 (n, 5), one column for each of MEASURES.

    shadows and highlights are the 5th and 99th percentile of perceived brightness (0 to 1),
    sharpness the standard deviation of the Laplacian of the grey levels (0 to 255), entropy that
    of their histogram in bits, and colour the mean distance between the largest and the smallest
    channel (0 to 255).
    """
    red, green, blue = (pixels[:, channel] for channel in range(3))
    largest = np.maximum(np.maximum(red, green), blue)
    smallest = np.minimum(np.minimum(red, green), blue)
    r, g, b = (channel.astype(np.float32) for channel in (red, green, blue))
    bright = np.sqrt(WEIGHTS[0] * r * r + WEIGHTS[1] * g * g + WEIGHTS[2] * b * b) / 255
    ordered = np.sort(bright.reshape(len(bright), -1), axis=1)
    low, high = (ordered[:, round(share * (ordered.shape[1] - 1))] for share in (0.05, 0.99))
    grey = (r + g + b) / 3
    inner = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    sharp = (laplacian - 4 * inner).std(axis=(1, 2))
    columns = [low, high, sharp, _entropy(grey), (largest - smallest).mean(axis=(1, 2))]
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
    images = Images(frame, missing, usual_size(frame, frame.ids, LEAST_SIZE, SIZE))
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
        with frame.transaction():
            rows = pa.table(columns, schema=schema.QUALITY)
            frame.upsert(TABLE, rows, schema.QUALITY)
