"""COCO annotations, read as classification: each image has one category."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..core.errors import BadInputError
from .image_list import ImageList, ListFile
from .labels import check_mostly_one

KEYS = ("images", "annotations", "categories")
FOLDERS = ("", "images", "data")  # next to the annotations, where the images may be


def is_coco(file: ListFile) -> bool:
    """Whether a file is a JSON object with images, annotations and categories."""
    content = file.json_document
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in KEYS)


def read_coco(file: ListFile, label: str | None = None) -> ImageList:
    """Read COCO annotations. The classes are all categories, in their order.

    An image with several categories is skipped; one without any has no label. A text field `split`
    of an image is its split. Raises
    LabelAuditError that names the entry if the content is inconsistent.
    """
    name, content = file.name, file.json
    if label is not None:
        raise BadInputError(
            f"label={label!r} cannot be used with {name}: COCO has only one field of labels."
        )
    categories = _values_by_id(name, "categories", content["categories"], "name")
    _values_by_id(name, "images", content["images"], "file_name")  # checks them
    labels_by_image: dict = {}
    for i, annotation in enumerate(content["annotations"]):
        image, category = _fields(name, "annotations", i, annotation, "image_id", "category_id")
        if category not in categories:
            raise BadInputError(
                f"{name}, annotations[{i}]: category_id {category!r} is not among the categories; "
                "add it there, or remove the annotation."
            )
        labels_by_image.setdefault(image, {})[categories[category]] = None
    rows, entries, skipped, several = [], [], [], 0
    for i, image in enumerate(content["images"]):
        labels, path = list(labels_by_image.pop(image["id"], ())), str(image["file_name"])
        if len(labels) > 1:
            skipped.append((path, f"has {len(labels)} categories ({', '.join(labels)}): keep one"))
            several += 1
        else:
            split = image["split"] if isinstance(image.get("split"), str) else None
            label_name = labels[0] if labels else None
            rows.append({"filepath": path, "label": label_name, "split": split})
            entries.append(i)
    check_mostly_one(name, several, sum(row["label"] is not None for row in rows))
    skipped += [(f"image_id {image}", "is annotated, but not among the images")
                for image in labels_by_image]  # fmt: skip
    classes = dict.fromkeys(categories.values())
    return ImageList.from_rows(
        rows, list(classes), skipped=skipped, candidates=_candidates, entries=entries
    )


def _candidates(name: str) -> Sequence[str]:
    return [f"{folder}/{name}" if folder else name for folder in FOLDERS]


def _values_by_id(name: str, key: str, entries: list, field: str) -> dict:
    """Return `field` of each entry by its id."""
    values: dict = {}
    for i, entry in enumerate(entries):
        number, value = _fields(name, key, i, entry, "id", field)
        if number in values:
            raise BadInputError(
                f"{name}, {key}[{i}]: id {number!r} occurs twice; make the ids unique."
            )
        values[number] = str(value)
    return values


def _is_missing(value) -> bool:
    return value in (None, "") or (isinstance(value, float) and math.isnan(value))


def _fields(name: str, key: str, i: int, entry, *fields: str) -> list:
    """Return these fields of an entry. Raises LabelAuditError if one is missing or no scalar."""
    missing = [f for f in fields if not isinstance(entry, dict) or _is_missing(entry.get(f))]
    if missing:
        raise BadInputError(f"{name}, {key}[{i}] has no {missing[0]}: add it, or remove the entry.")
    nested = [f for f in fields if isinstance(entry[f], (dict, list))]
    if nested:
        raise BadInputError(f"{name}, {key}[{i}]: {nested[0]} must be a number or text.")
    return [entry[f] for f in fields]
