"""SHA-256 hashes of image files, or of images that are stored in the dataset."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np

from ..core.files import file_hash
from .columns import Frame

ROWS = 256  # stored images in memory at once


def content_hashes(frame: Frame, ids: np.ndarray) -> list[bytes | None]:
    """Return the hash of each image's bytes, 32 bytes; None for a file that cannot be read.

    ids: int64 (n,).
    """
    found: list[bytes | None] = []
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(ids), ROWS):
            some = ids[start : start + ROWS]
            rows = frame.take("samples", frame.positions(some), ["filepath", "image"])
            found += pool.map(_hash, rows["filepath"].to_pylist(), rows["image"].to_pylist())
    return found


def _hash(path: str, image: bytes | None) -> bytes | None:
    return sha256(image).digest() if image is not None else file_hash(path)
