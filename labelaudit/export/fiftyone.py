"""The format FiftyOneDataset: `fo.Dataset.from_dir(folder, fo.types.FiftyOneDataset)`."""

from __future__ import annotations

import json
import re

import numpy as np

from ..dataset.own_fields import BOOL, DATE, LABEL, NUMBER, TEXT
from .outputs import Output
from .provenance import KEY
from .samples import Samples

# An old version: every later FiftyOne accepts it and migrates it on import.
VERSION = "1.0.0"
_FIELDS = "fiftyone.core.fields."
_STAMP = {"$date": "2000-01-01T00:00:00Z"}  # FiftyOne replaces it with the time of the import
_OWN_FIELDS = {
    NUMBER: "FloatField",
    TEXT: "StringField",
    BOOL: "BooleanField",
    DATE: "DateTimeField",
}
LABELS = ("ground_truth", "original_label", "prediction", "suggested")


def write_fiftyone(samples: Samples, output: Output, folder: str) -> list[str]:
    """Write data/, samples.json and metadata.json.

    Fields: ground_truth (the current label), original_label, prediction and suggested with
    confidences, split, finding, own fields, every score, labelaudit_id; tags.
    """
    paths = samples.flat_image_paths("data")
    for i, image in samples.images():
        output.add_image(paths[i], image)
    scores = samples.view.score_names()
    own = samples.own_kinds
    rows = (_sample(*pair, scores, own) for pair in zip(samples.records(), paths, strict=True))
    output.write_json_list("samples.json", rows, b'{"samples": [', b"]}")
    output.write("metadata.json", json.dumps(_dataset(samples, scores), indent=1).encode())
    return []


def _sample(row: dict, path: str, scores: list[str], own: dict[str, str]) -> dict:
    number = row["id"]
    sample = {
        "_id": _object_id(0, number),
        "filepath": path,
        "tags": list(row["tags"]),
        "_media_type": "image",
        "_rand": (number * 0.6180339887498949) % 1,  # FiftyOne uses it to draw random samples
        "labelaudit_id": number,
        "split": row["split"],
        "finding": row.get("finding") or None,
    }
    labels = (
        (row["ground_truth"], None),
        (row["original_label"], None),
        (row["predicted"], row["confidence"]),
        (row.get("suggested"), row.get("suggested_p")),
    )
    for kind, (name, (label, confidence)) in enumerate(zip(LABELS, labels, strict=True), 1):
        sample[name] = _label(label, confidence, _object_id(kind, number))
    for kind, (name, field) in enumerate(own.items(), len(LABELS) + 1):
        sample[_name(name)] = _own(row[name], field, _object_id(kind, number))
    return sample | {name: _finite(row[name]) for name in scores}


def _name(field: str) -> str:
    """Return the name of an own field there: MongoDB gives dots a meaning."""
    return re.sub(r"\W", "_", field)


def _own(value, kind: str, key: dict) -> object:
    if kind == LABEL:
        return _label(value, None, key)
    if value is None or value != value:  # NaN, NaT
        return None
    return {"$date": f"{value.isoformat()}Z"} if kind == DATE else value


def _label(label: str | None, confidence: float | None, key: dict) -> dict | None:
    if label is None:
        return None
    fields = {"_id": key, "_cls": "Classification", "tags": [], "label": label}
    return fields if confidence is None else {**fields, "confidence": _finite(confidence)}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _object_id(kind: int, number: int) -> dict:
    """Return an id of 24 hexadecimal digits, unique in the dataset and stable across exports."""
    return {"$oid": f"{kind:08x}{number:016x}"}


def _dataset(samples: Samples, scores: list[str]) -> dict:
    scalars = {"labelaudit_id": "IntField", "split": "StringField", "finding": "StringField"}
    scalars |= dict.fromkeys(scores, "FloatField")
    own = samples.own_kinds
    labels = [*LABELS, *(_name(name) for name, kind in own.items() if kind == LABEL)]
    scalars |= {_name(name): _OWN_FIELDS[kind] for name, kind in own.items() if kind != LABEL}
    info: dict = {KEY: samples.provenance()}
    if renamed := {_name(name): name for name in own if _name(name) != name}:
        info["labelaudit_fields"] = renamed  # so that their names come back
    return {
        "_id": _object_id(0, 0),
        "name": samples.frame.name,
        "slug": samples.frame.name,
        "version": VERSION,
        "created_at": _STAMP,
        "last_modified_at": _STAMP,
        "last_loaded_at": _STAMP,
        "sample_collection_name": "samples.exported",
        "persistent": False,
        "media_type": "image",
        "group_media_types": {},
        "tags": [],
        "info": info,
        "app_config": {},
        "classes": {},
        "default_classes": samples.classes,
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": [
            _field("id", "ObjectIdField", db_field="_id"),
            _field("filepath", "StringField"),
            _field("tags", "ListField", subfield=f"{_FIELDS}StringField"),
            _document("metadata", "fiftyone.core.metadata.ImageMetadata", _METADATA),
            _field("created_at", "DateTimeField", read_only=True),
            _field("last_modified_at", "DateTimeField", read_only=True),
            _field("_media_type", "StringField"),
            _field("_rand", "FloatField"),
            _field("_dataset_id", "ObjectIdField"),
            *(_document(name, "fiftyone.core.labels.Classification", _LABEL) for name in labels),
            *(_field(name, kind) for name, kind in scalars.items()),
        ],
    }


def _field(name: str, kind: str, **more) -> dict:
    return {
        "name": name,
        "ftype": _FIELDS + kind,
        "embedded_doc_type": None,
        "subfield": None,
        "fields": [],
        "db_field": name,
        "description": None,
        "info": None,
        "read_only": False,
        "created_at": _STAMP,
        **more,
    }


def _document(name: str, kind: str, fields: list[dict]) -> dict:
    return _field(name, "EmbeddedDocumentField", embedded_doc_type=kind, fields=fields)


_METADATA = [
    _field("size_bytes", "IntField"),
    _field("mime_type", "StringField"),
    _field("width", "IntField"),
    _field("height", "IntField"),
    _field("num_channels", "IntField"),
]
_LABEL = [
    _field("id", "ObjectIdField", db_field="_id"),
    _field("tags", "ListField", subfield=f"{_FIELDS}StringField"),
    _field("label", "StringField"),
    _field("confidence", "FloatField"),
    _field("logits", "VectorField"),
]
