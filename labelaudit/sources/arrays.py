"""Images and labels in memory."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import LabelAuditError
from ..pictures import encode
from .source import Row, Source, classes_of


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
    """See `load_arrays`. names: what each image is called, as its filepath."""
    count = len(images)
    for what, values in (("labels", labels), ("splits", splits), ("ids", ids), ("tags", tags)):
        if values is not None and len(values) != count:
            raise LabelAuditError(
                f"{count} images but {len(values)} {what} were given: match them."
            )
    if not count:
        raise LabelAuditError("no images were given: the arrays are empty.")
    label_names = _names(labels, classes)

    def rows() -> Iterator[Row]:
        for i in range(count):
            yield {
                "id": None if ids is None else int(ids[i]),
                "filepath": None if names is None else names[i],
                "image": encode(images[i]),
                "label": label_names[i],
                "split": None if splits is None else splits[i],
                "tags": None if tags is None else list(tags[i]),
                "width": _size(images[i])[0],
                "height": _size(images[i])[1],
            }

    known = list(classes) if classes is not None else classes_of(label_names)
    return Source(description, known, count, rows, check=False)


def _names(labels: Sequence, classes: Sequence[str] | None) -> list[str | None]:
    values = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    return [_name(value, classes) for value in values]


def _name(value, classes: Sequence[str] | None) -> str | None:
    if value is None or (isinstance(value, numbers.Real) and (value < 0 or value != value)):
        return None  # a negative number or NaN stands for no label
    if classes is None or not isinstance(value, numbers.Integral):
        return str(value)
    if value >= len(classes):
        raise LabelAuditError(f"label {value} has no class: {len(classes)} classes were given.")
    return classes[value]


def _size(image) -> tuple[int, int]:
    return (image.shape[1], image.shape[0]) if isinstance(image, np.ndarray) else image.size
