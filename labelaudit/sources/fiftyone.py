"""Exports of FiftyOne: FiftyOneImageClassificationDataset and FiftyOneDataset.

The package fiftyone is not needed.
"""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath

import pyarrow as pa

from ..core.errors import BadInputError
from ..core.plural import counted
from ..dataset.own_fields import (
    BOOL,
    DATE,
    INPUT_TYPES,
    LABEL,
    NUMBER,
    TEXT,
    check_definition,
    from_seconds,
    to_seconds,
)
from ..scores import SCORES
from .folder_names import SPLITS
from .image_list import HOW_TO_SET_LABEL, ImageList, ListFile
from .labels import ONE_LABEL, check_mostly_one
from .own_columns import OWN
from .source import Row, class_names, is_image_name

FOLDER = "data"
NAMES = "labelaudit_fields"  # in the information of a dataset: names of own fields by those there

_KINDS = {
    "FloatField": NUMBER,
    "IntField": NUMBER,
    "StringField": TEXT,
    "BooleanField": BOOL,
    "DateField": DATE,
    "DateTimeField": DATE,
}
_OTHERS = {"created_at", "last_modified_at", "labelaudit_id"}
_SURE = {"confidence", "logits"}  # of a label that is a prediction


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
    in `metadata.json` keep their order, and its fields of numbers, text, bool, dates and labels
    without a confidence become own fields.
    """
    samples, rows = file.json["samples"], []
    fields = dict.fromkeys(name for sample in samples for name in _classification_fields(sample))
    field = _choose_field(list(fields), label, file.name)
    own, notes = _own_fields(file, samples, field)
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
                OWN: {name: _own_value(sample.get(at), kind) for name, (at, kind) in own.items()},
            }
        )
    names = [row["label"] for row in rows]
    names += [row[OWN][name] for name, (_, kind) in own.items() if kind == LABEL for row in rows]
    classes = list(dict.fromkeys([*_metadata(file)[0], *class_names(names)]))
    kinds = {name: kind for name, (_, kind) in own.items()}
    found = ImageList.from_rows(rows, classes, fields=kinds, notes=notes)
    if kinds:
        types = pa.struct([(name, INPUT_TYPES[kind]) for name, kind in kinds.items()])
        values = pa.array([row[OWN] for row in rows], types)
        found.table = pa.Table.from_batches(found.table.to_batches(len(rows))).append_column(
            OWN, values
        )
    return found


def _own_fields(
    file: ListFile, samples: list[Row], label: str
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Return the fields of the samples that become own fields, each with its name in the file and
    its kind, and sentences on those that cannot. label: the field with the labels.

    Raises BadInputError if the user names a field that the file does not have.
    """
    _, listed, names = _metadata(file)
    found, left_out = {}, []
    for entry in listed:
        there, kind = entry.get("name"), _KINDS.get(str(entry.get("ftype")).split(".")[-1])
        if str(entry.get("embedded_doc_type")).endswith(".Classification"):
            kind = LABEL
        if not isinstance(there, str) or there[0] == "_" or kind is None or there in _OTHERS:
            continue
        values = [sample.get(there) for sample in samples if isinstance(sample, dict)]
        if there == label or any(isinstance(v, dict) and _SURE & v.keys() for v in values):
            continue  # a prediction: its scores would be lost
        name = names.get(there, there)
        try:
            check_definition(name, kind)
        except BadInputError:
            left_out += [name] if name in SCORES else []
            continue
        found[name] = there, kind
    unknown = [name for name in file.fields if name not in found]
    if unknown:
        raise BadInputError(
            f"{file.name} has no field {unknown[0]!r} of numbers, text, bool, dates or labels: it "
            f"has {', '.join(found) or 'none'}."
        )
    if file.fields:
        found = {name: found[name] for name in file.fields}
    notes = [f"Fields with the names of scores are not loaded: {', '.join(left_out)}."]
    return found, notes if left_out else []


def _own_value(value, kind: str):
    """Return a value of an own field; None for null, and for one that does not fit the kind."""
    if kind == LABEL:
        labels = _labels(value, None, "an own field")
        return labels[0] if len(labels) == 1 else None
    if kind == DATE:
        value = value.get("$date") if isinstance(value, dict) else value
        seconds = value / 1000 if isinstance(value, int) else to_seconds(value)
        return None if seconds is None else from_seconds(seconds)
    if kind == NUMBER:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number and math.isfinite(value) else None
    return value if isinstance(value, bool if kind == BOOL else str) else None


def _metadata(file: ListFile) -> tuple[list[str], list[dict], dict[str, str]]:
    """Return from `metadata.json` the class names, the fields, and the names here of own fields
    that have another name there; all empty without it."""
    try:
        content = json.loads(file.read_sibling("metadata.json") or b"{}")
    except ValueError:
        content = {}
    content = content if isinstance(content, dict) else {}
    classes, fields = content.get("default_classes"), content.get("sample_fields")
    info = content.get("info")
    names = info.get(NAMES) if isinstance(info, dict) else None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        classes = []
    return (
        classes,
        [entry for entry in fields if isinstance(entry, dict)] if isinstance(fields, list) else [],
        dict(names) if isinstance(names, dict) else {},
    )


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
                raise BadInputError(
                    f"{place} is {value}, but the file lists {counted(len(classes), 'class')}."
                )
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
