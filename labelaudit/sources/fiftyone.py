"""Exports of FiftyOne: FiftyOneImageClassificationDataset and FiftyOneDataset.

The package fiftyone is not needed.
"""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath

from ..core.errors import BadInputError
from .folder_names import SPLITS
from .image_list import HOW_TO_SET_LABEL, ImageList, ListFile
from .labels import ONE_LABEL, check_mostly_one
from .source import Row, class_names, is_image_name

FOLDER = "data"


def is_classification(file: ListFile) -> bool:
    """Whether a file is like {"classes": [name, …] or null, "labels": {key: label}}."""
    content = file.json_document
    return (
        isinstance(content, dict)
        and "classes" in content
        and isinstance(content.get("labels"), dict)
    )


def is_samples(file: ListFile) -> bool:
    """Whether a file is like {"samples": [{"filepath": …, field: {"_cls": "Classification"}}]}."""
    content = file.json_document
    return isinstance(content, dict) and isinstance(content.get("samples"), list)


def read_classification(file: ListFile, label: str | None = None) -> ImageList:
    """Read a FiftyOneImageClassificationDataset.

    Each key is an absolute path, or the path of a file below `data/` without its suffix. Raises
    LabelAuditError that names the entry if the content is inconsistent.
    """
    if label is not None:
        raise BadInputError(
            f"label={label!r} cannot be used with {file.name}: it has only one field of labels."
        )
    classes, rows, skipped, mentioned = file.json["classes"], [], [], []
    if classes is not None and not all(isinstance(name, str) for name in classes):
        raise BadInputError(f"{file.name}: classes must be a list of names, or null.")
    paths_by_key = _image_paths(file)
    for key, value in file.json["labels"].items():
        labels = _labels(value, classes, f"{file.name}, labels[{key!r}]")
        paths = [key] if posixpath.isabs(key) else paths_by_key.get(key, [])
        if len(labels) > 1:
            mentioned += map(file.relative_path, paths)
            skipped.append((key, f"has {len(labels)} labels ({', '.join(labels)}): keep one"))
        elif len(paths) > 1:
            skipped.append((key, f"may be {' or '.join(paths)}: rename one of them"))
            mentioned += map(file.relative_path, paths)
        elif not paths:
            skipped.append((key, f"there is no such file in {FOLDER}/"))
        else:
            rows.append({"filepath": paths[0], "label": labels[0] if labels else None})
    labelled = sum(row["label"] is not None for row in rows)
    check_mostly_one(file.name, sum("labels (" in why for _, why in skipped), labelled)
    used = class_names([row["label"] for row in rows])
    return ImageList.from_rows(rows, classes or used, skipped=skipped, mentioned=mentioned)


def read_samples(file: ListFile, label: str | None = None) -> ImageList:
    """Read a FiftyOneDataset.

    label: the Classification field to use; by default `ground_truth`, or the only one. The split is
    the value of a text field `split`, or the only tag that is the name of a split. Classes listed
    in `metadata.json` keep their order.
    """
    samples, rows = file.json["samples"], []
    fields = dict.fromkeys(name for sample in samples for name in _classification_fields(sample))
    field = _choose_field(list(fields), label, file.name)
    for i, sample in enumerate(samples):
        path = sample.get("filepath") if isinstance(sample, dict) else None
        if not path:
            raise BadInputError(f"{file.name}, samples[{i}] has no filepath: add it.")
        labels = _labels(sample.get(field), None, f"{file.name}, samples[{i}], {field}")
        tags = [str(tag) for tag in sample.get("tags") or ()]
        split_tags = [tag for tag in tags if tag.lower() in SPLITS]
        split = split_tags[0] if len(split_tags) == 1 else None
        split = sample["split"] if isinstance(sample.get("split"), str) else split
        rows.append(
            {
                "filepath": path,
                "label": labels[0] if labels else None,
                "split": split,
                "tags": [tag for tag in tags if tag != split],
            }
        )
    used = class_names([row["label"] for row in rows])
    return ImageList.from_rows(rows, list(dict.fromkeys([*_default_classes(file), *used])))


def _default_classes(file: ListFile) -> list[str]:
    """Return the class names in `metadata.json`; empty if there are none."""
    try:
        names = json.loads(file.read_sibling("metadata.json") or b"{}")["default_classes"]
    except (ValueError, LookupError, TypeError):
        return []
    is_valid = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_valid else []


def _image_paths(file: ListFile) -> dict[str, list[str]]:
    """Return the images below `data/` by their path there without suffix."""
    start, paths = file.relative_path(f"{FOLDER}/"), {}
    for name in file.files.names:
        if name.startswith(start) and is_image_name(name):
            key = str(PurePosixPath(name[len(start) :]).with_suffix(""))
            paths.setdefault(key, []).append(f"{FOLDER}/{name[len(start) :]}")
    return paths


def _labels(value, classes: list[str] | None, place: str) -> list[str]:
    """Return the class names in a value: null, a name, a class index, an object, or a list."""
    match value:
        case None | "":
            return []
        case float() if math.isnan(value):
            return []
        case list():
            return list(dict.fromkeys(name for v in value for name in _labels(v, classes, place)))
        case dict():
            return _labels(value.get("label"), classes, place)
        case int() if classes is not None and not isinstance(value, bool):
            if not 0 <= value < len(classes):
                raise BadInputError(f"{place} is {value}, but there are {len(classes)} classes.")
            return [classes[value]]
        case str() | int():
            return [str(value)]
    raise BadInputError(f"{place} is {value!r}: it must be a class name, its index or null.")


def _classification_fields(sample: Row) -> Iterator[str]:
    for name, value in sample.items() if isinstance(sample, dict) else ():
        if isinstance(value, dict) and value.get("_cls") == "Classification":
            yield name


def _choose_field(fields: list[str], label: str | None, name: str) -> str:
    if label is not None and label not in fields:
        raise BadInputError(
            f"{name} has no Classification field {label!r}: it has {', '.join(fields) or 'none'}."
        )
    if label is None and "ground_truth" not in fields and len(fields) != 1:
        raise BadInputError(
            f"{name} has the Classification fields {', '.join(fields)}: name the one with the "
            f"labels ({HOW_TO_SET_LABEL})."
            if fields
            else f"{name} has no Classification field, so it has no labels: export one with it "
            f"({ONE_LABEL}, not Classifications or Detections)."
        )
    return label or ("ground_truth" if "ground_truth" in fields else fields[0])
