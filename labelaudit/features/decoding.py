"""Reads and decodes the images of samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from ..core.images import UnreadableImageError, decoding
from ..dataset.columns import Frame


def chunks(values: np.ndarray, size: int) -> list[np.ndarray]:
    """Split an array into parts of `size` values; the last one may be shorter."""
    return [values[start : start + size] for start in range(0, len(values), size)]


def decoded_images(
    frame: Frame, ids: np.ndarray, draft: int | None = None
) -> Iterator[tuple[int, str, Image.Image | UnreadableImageError]]:
    """Yield id, file path and image of each sample in order; the error if it cannot be read.

    ids: int64 (n,). draft: side in pixels that is enough; see `core.images.decode`. The memory of
    an image counts as used until the next one is requested.
    """
    scales = frame.grey_scales
    rows = frame.take("samples", frame.positions(ids), ["filepath", "image"])
    columns = (rows[name].to_pylist() for name in ("id", "filepath", "image"))
    for sample_id, path, data in zip(*columns, strict=True):
        try:
            with decoding(path, data, draft, scales) as image:
                yield sample_id, path, image
        except UnreadableImageError as error:
            yield sample_id, path, error
