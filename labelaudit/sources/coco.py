"""COCO's annotations, read as classification: the one category that an image has."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import LabelAuditError
from .listing import Listed, Listing, listed

KEYS = ("images", "annotations", "categories")
FOLDERS = ("", "images", "data")  # beside the annotations, where the files may lie


def is_coco(listing: Listing) -> bool:
    return (
        listing.suffix == ".json"
        and isinstance(listing.json, dict)
        and all(isinstance(listing.json.get(key), list) for key in KEYS)
    )


def read_coco(listing: Listing, label: str | None = None) -> Listed:
    """Classes are all categories, in their order. An image with several is left out, one with none
    has no label."""
    name, content = listing.name, listing.json
    if label is not None:
        raise LabelAuditError(f"label={label!r}: {name} is COCO, which has only one field of them.")
    categories = _by_id(name, "categories", content["categories"], "name")
    _by_id(name, "images", content["images"], "file_name")
    found: dict = {}  # image id -> its categories
    for i, annotation in enumerate(content["annotations"]):
        image, category = _entries(name, "annotations", i, annotation, "image_id", "category_id")
        if category not in categories:
            raise LabelAuditError(
                f"{name}, annotations[{i}]: category_id {category!r} is none of the categories; "
                "add it there, or drop the annotation."
            )
        found.setdefault(image, {})[categories[category]] = None
    rows, left_out = [], []
    for image in content["images"]:
        labels, file = list(found.pop(image["id"], ())), str(image["file_name"])
        if len(labels) > 1:
            left_out.append((file, f"has {len(labels)} categories ({', '.join(labels)}): one only"))
        else:
            rows.append({"filepath": file, "label": labels[0] if labels else None})
    left_out += [(f"image_id {image}", "is annotated, but not among the images") for image in found]
    classes = dict.fromkeys(categories.values())
    return listed(rows, list(classes), left_out=left_out, places=_places)


def _places(name: str) -> Sequence[str]:
    return [f"{folder}/{name}" if folder else name for folder in FOLDERS]


def _by_id(name: str, key: str, entries: list, field: str) -> dict:
    """`field` of each entry by its id."""
    values: dict = {}
    for i, entry in enumerate(entries):
        number, value = _entries(name, key, i, entry, "id", field)
        if number in values:
            raise LabelAuditError(
                f"{name}, {key}[{i}]: id {number!r} is there twice; make the ids unique."
            )
        values[number] = str(value)
    return values


def _entries(name: str, key: str, i: int, entry, *fields: str) -> list:
    missing = [f for f in fields if not isinstance(entry, dict) or entry.get(f) in (None, "")]
    if missing:
        raise LabelAuditError(f"{name}, {key}[{i}] has no {missing[0]}: give it one, or drop it.")
    values = [entry[f] for f in fields]
    odd = [f for f in fields if isinstance(entry[f], (dict, list))]
    if odd:
        raise LabelAuditError(f"{name}, {key}[{i}]: {odd[0]} must be a number or text.")
    return values
