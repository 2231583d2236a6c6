"""A copy of a dataset in which an own field is the label under audit."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError
from ..storage.schema import MISTAKE, PROCESSED
from . import own_fields
from .arrays import tag_lists
from .dataset import Dataset, create_dataset, list_datasets
from .ingest import INPUT
from .own_fields import LABEL

OF_LABELS = (MISTAKE, PROCESSED)  # tags that are about the other labels and their runs
ROWS = 1_000  # read at once; their images may be stored in the dataset


def with_label_field(dataset: Dataset, name: str) -> Dataset:
    """Return the dataset `<dataset>.<field>`, which has the labels of this field.

    It has the same ids, images, splits and tags, and no runs or verdicts. It is created at the
    first call. Image files are referenced, images stored in the dataset are copied. Raises
    NotFoundError if there is no such field, and BadInputError if it is no label field, or if it or
    the samples have changed since.
    """
    frame = dataset.view().frame
    field = own_fields.find(frame, name)
    if field.kind != LABEL:
        raise BadInputError(
            f"field {name!r} of dataset {dataset.name!r} is a {field.kind}: only a field of kind "
            "label can be audited."
        )
    values = own_fields.values(frame, field, np.arange(len(frame.ids)))
    copy_name = f"{dataset.name}.{re.sub(r'[^A-Za-z0-9_-]+', '-', name)}"
    source = f"field {name} of dataset {dataset.name}"
    if copy_name not in list_datasets():
        return create_dataset(
            copy_name,
            _batches(dataset, values),
            classes=dataset.classes,
            source=source,
            found=lambda: {"grey": frame.meta.get("grey", {})},
        )
    made = Dataset(copy_name)
    view = made.view()
    same = np.array_equal(view.ids, frame.ids)
    if not same or view.values("original_label").tolist() != values.tolist():
        raise BadInputError(
            f"dataset {copy_name!r} exists, and does not have the labels that field {name!r} of "
            f"{dataset.name!r} has now: delete it (labelaudit.delete_dataset({copy_name!r}); "
            f"command line: labelaudit delete {copy_name}) to audit these."
        )
    return made


def _batches(dataset: Dataset, labels: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Yield rows for `create_dataset` with these labels, objects (n,)."""
    frame = dataset.view().frame
    columns = ["id", "filepath", "image", "split", "width", "height"]
    for start in range(0, len(frame.ids), ROWS):
        at = np.arange(start, min(start + ROWS, len(frame.ids)))
        rows = frame.take("samples", at, columns[1:])
        masks = {tag: mask[at] for tag, mask in frame.tags.items() if tag not in OF_LABELS}
        tags = tag_lists(masks, len(at))
        table = rows.select(columns)
        table = table.append_column("label", pa.array(labels[at], pa.string()))
        table = table.append_column("tags", tags)
        yield from table.select(INPUT.names).cast(INPUT).combine_chunks().to_batches()
