"""What FiftyOne exports: FiftyOneImageClassificationDataset, and FiftyOneDataset. Neither needs
the package."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath

from ..core.errors import LabelAuditError
from .listing import SAY_LABEL, Listed, Listing, listed
from .source import Row, classes_of, is_image_name
from .tree import SPLITS

FOLDER = "data"


def is_classification(listing: Listing) -> bool:
    """{"classes": [name …] or null, "labels": {key: label}}"""
    content = listing.json if listing.suffix == ".json" else None
    return (
        isinstance(content, dict)
        and "classes" in content
        and isinstance(content.get("labels"), dict)
    )


def is_samples(listing: Listing) -> bool:
    """{"samples": [{"filepath": …, field: {"_cls": "Classification", "label": …}}]}"""
    content = listing.json if listing.suffix == ".json" else None
    return isinstance(content, dict) and isinstance(content.get("samples"), list)


def read_classification(listing: Listing, label: str | None = None) -> Listed:
    """A key is a whole path, or that of a file below `data/` without its suffix."""
    if label is not None:
        raise LabelAuditError(f"label={label!r}: {listing.name} has only one field of labels.")
    classes, rows, left_out = listing.json["classes"], [], []
    if classes is not None and not all(isinstance(name, str) for name in classes):
        raise LabelAuditError(f"{listing.name}: classes must be a list of names, or null.")
    files = _files(listing)
    for key, value in listing.json["labels"].items():
        names = _names(value, classes, f"{listing.name}, labels[{key!r}]")
        found = [key] if posixpath.isabs(key) else files.get(key, [])
        if len(names) > 1:
            left_out.append((key, f"has {len(names)} labels ({', '.join(names)}): one only"))
        elif len(found) > 1:
            left_out.append((key, f"may be {' or '.join(found)}: rename one of them"))
        elif not found:
            left_out.append((key, f"there is no such file in {FOLDER}/"))
        else:
            rows.append({"filepath": found[0], "label": names[0] if names else None})
    used = classes_of([row["label"] for row in rows])
    return listed(rows, classes or used, left_out=left_out)


def read_samples(listing: Listing, label: str | None = None) -> Listed:
    """label: the field, where there are several of Classification beside `ground_truth`. The split
    is what a field of that name says, or the one tag that is a split's name. Classes that
    `metadata.json` lists keep their order."""
    samples, rows = listing.json["samples"], []
    fields = dict.fromkeys(name for sample in samples for name in _classifications(sample))
    field = _chosen(list(fields), label, listing.name)
    for i, sample in enumerate(samples):
        path = sample.get("filepath") if isinstance(sample, dict) else None
        if not path:
            raise LabelAuditError(f"{listing.name}, samples[{i}] has no filepath: give it one.")
        names = _names(sample.get(field), None, f"{listing.name}, samples[{i}], {field}")
        tags = [str(tag) for tag in sample.get("tags") or ()]
        splits = [tag for tag in tags if tag.lower() in SPLITS]
        split = splits[0] if len(splits) == 1 else None
        split = sample["split"] if isinstance(sample.get("split"), str) else split
        tags = [tag for tag in tags if tag != split]
        rows.append({"filepath": path, "label": names[0] if names else None, "split": split,
                     "tags": tags})  # fmt: skip
    found = classes_of([row["label"] for row in rows])
    return listed(rows, list(dict.fromkeys([*_ordered(listing), *found])))


def _ordered(listing: Listing) -> list[str]:
    """The dataset's class names, where the export says them beside the samples."""
    try:
        names = json.loads(listing.beside("metadata.json") or b"{}")["default_classes"]
    except (ValueError, LookupError, TypeError):
        return []
    known = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if known else []


def _files(listing: Listing) -> dict[str, list[str]]:
    """Images below `data/`, by their path there without the suffix."""
    start, found = listing.path_of(f"{FOLDER}/"), {}
    for name in listing.files.names:
        if name.startswith(start) and is_image_name(name):
            key = str(PurePosixPath(name[len(start) :]).with_suffix(""))
            found.setdefault(key, []).append(f"{FOLDER}/{name[len(start) :]}")
    return found


def _names(value, classes: list[str] | None, place: str) -> list[str]:
    """Of one label: null, a name, an index into the classes, an object with `label`, or a list."""
    match value:
        case None:
            return []
        case list():
            return list(dict.fromkeys(name for v in value for name in _names(v, classes, place)))
        case dict():
            return _names(value.get("label"), classes, place)
        case int() if classes is not None and not isinstance(value, bool):
            if not 0 <= value < len(classes):
                raise LabelAuditError(f"{place} is {value}, but there are {len(classes)} classes.")
            return [classes[value]]
        case str() | int():
            return [str(value)]
    raise LabelAuditError(f"{place} is {value!r}: it must be a class name, its index or null.")


def _classifications(sample: Row) -> Iterator[str]:
    for name, value in sample.items() if isinstance(sample, dict) else ():
        if isinstance(value, dict) and value.get("_cls") == "Classification":
            yield name


def _chosen(fields: list[str], label: str | None, name: str) -> str:
    if label is not None and label not in fields:
        raise LabelAuditError(
            f"{name} has no field {label!r} of Classification: it has "
            f"{', '.join(fields) or 'none'}."
        )
    if label is None and "ground_truth" not in fields and len(fields) != 1:
        raise LabelAuditError(
            f"{name} has {', '.join(fields)}: name the field with the labels ({SAY_LABEL})."
            if fields
            else f"{name} has no field of Classification, so no labels: export one with it."
        )
    return label or ("ground_truth" if "ground_truth" in fields else fields[0])
