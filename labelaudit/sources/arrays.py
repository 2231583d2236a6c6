"""Images and labels in memory."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from ..core.errors import BadInputError
from ..core.images import encode
from .source import Row, Source, class_names


def open_arrays(
    images: Sequence,
    labels: Sequence,
    splits: Sequence[str | None] | None = None,
    ids: Sequence[int] | None = None,
    tags: Sequence[Sequence[str]] | None = None,
    classes: Sequence[str] | None = None,
    description: str = "arrays in memory",
    names: Sequence[str] | None = None,
) -> Source:
    """Create a source from arrays: see `load_arrays`. names: the filepath of each image."""
    count = len(images)
    images, labels, splits, ids, tags = map(_to_sequence, (images, labels, splits, ids, tags))
    for what, values in (("labels", labels), ("splits", splits), ("ids", ids), ("tags", tags)):
        if values is not None and len(values) != count:
            raise BadInputError(
                f"there are {count} images but {len(values)} {what}: give one per image."
            )
    if not count:
        raise BadInputError("the arrays contain no images: give at least one.")
    label_names = [_label_name(value, classes) for value in labels]
    for i, image in enumerate(images):
        if not isinstance(image, (np.ndarray, Image.Image, bytes)):
            raise BadInputError(
                f"image {i} has the type {type(image).__name__}: give uint8 arrays (H, W) or "
                "(H, W, 3), PIL images or encoded bytes."
            )

    def rows() -> Iterator[Row]:
        for i in range(count):
            yield {
                "id": None if ids is None else int(ids[i]),
                "filepath": None if names is None else names[i],
                "image": encode(images[i]),
                "label": label_names[i],
                "split": None if splits is None or _is_missing(splits[i]) else str(splits[i]),
                "tags": None if tags is None else list(tags[i]),
                **_size(images[i]),
            }

    all_classes = list(classes) if classes is not None else class_names(label_names)
    return Source(description, all_classes, count, rows, check=False)


def _to_sequence(values) -> list | np.ndarray | None:
    """Return a list or array that is indexed by position.

    A pandas Series would be indexed by its index, and a tensor would return tensors.
    """
    if values is None or (
        isinstance(values, (list, np.ndarray)) and getattr(values, "ndim", 2) > 1
    ):
        return values
    if hasattr(values, "numpy") and hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
        return values if values.ndim > 1 else values.tolist()
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _is_missing(value) -> bool:
    return value is None or (np.ndim(value) == 0 and bool(pd.isna(value)))


def _label_name(value, classes: Sequence[str] | None) -> str | None:
    if _is_missing(value) or (isinstance(value, numbers.Real) and value < 0):
        return None  # a negative number means no label
    if classes is None or not isinstance(value, numbers.Real):
        return str(value)
    if value != int(value):
        raise BadInputError(f"label {value} is not a class index: give whole numbers, or names.")
    value = int(value)
    if value >= len(classes):
        raise BadInputError(
            f"label {value} is not a class index: there are only {len(classes)} classes."
        )
    return classes[value]


def _size(image) -> dict[str, int]:
    if isinstance(image, bytes):
        return {}
    if isinstance(image, np.ndarray):
        return {"width": image.shape[1], "height": image.shape[0]}
    return {"width": image.width, "height": image.height}
