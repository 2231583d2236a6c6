"""A dataset as FiftyOne opens it: `fo.Dataset.from_dir(folder, fo.types.FiftyOneDataset)`."""

from __future__ import annotations

import json

import numpy as np

from .content import Content
from .names import Places
from .trees import Tree

# An old version that every later FiftyOne takes, and brings up to its own on the way in.
VERSION = "1.0.0"
_FIELDS = "fiftyone.core.fields."
_STAMP = {"$date": "2000-01-01T00:00:00Z"}  # FiftyOne puts the time of its import in its place
LABELS = ("ground_truth", "original_label", "prediction", "suggested")


def write_fiftyone(content: Content, tree: Tree) -> list[str]:
    """data/, samples.json and metadata.json. Fields: ground_truth (the label now), original_label,
    prediction and suggested with confidences, split, finding, every score, labelaudit_id; tags."""
    places = content.image_places(np.full(len(content), "data", object), Places())
    for i, image in content.images():
        tree.place(places[i], image)
    scores = content.view.score_names()
    row = 0
    with tree.open("samples.json") as sink:
        sink.write(b'{"samples": [')
        for frame in content.frames():
            records = frame.to_dict("records")
            for record in records:
                text = json.dumps(_sample(record, places[row], scores))
                sink.write((",\n" if row else "\n").encode() + text.encode())
                row += 1
        sink.write(b"\n]}\n")
    tree.write("metadata.json", json.dumps(_dataset(content, scores), indent=1).encode())
    return []


def _sample(row: dict, path: str, scores: list[str]) -> dict:
    number = row["id"]
    sample = {
        "_id": _object_id(0, number),
        "filepath": path,
        "tags": list(row["tags"]),
        "_media_type": "image",
        "_rand": (number * 0.6180339887498949) % 1,  # by which FiftyOne draws at random
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
    return sample | {name: _finite(row[name]) for name in scores}


def _label(label: str | None, confidence: float | None, key: dict) -> dict | None:
    if label is None:
        return None
    told = {"_id": key, "_cls": "Classification", "tags": [], "label": label}
    return told if confidence is None else {**told, "confidence": _finite(confidence)}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _object_id(kind: int, number: int) -> dict:
    """24 hexadecimal digits, the same at every export; unique within a dataset is enough."""
    return {"$oid": f"{kind:08x}{number:016x}"}


def _dataset(content: Content, scores: list[str]) -> dict:
    scalars = {"labelaudit_id": "IntField", "split": "StringField", "finding": "StringField"}
    scalars |= dict.fromkeys(scores, "FloatField")
    run = content.run
    return {
        "_id": _object_id(0, 0),
        "name": content.frame.name,
        "slug": content.frame.name,
        "version": VERSION,
        "created_at": _STAMP,
        "last_modified_at": _STAMP,
        "last_loaded_at": _STAMP,
        "sample_collection_name": "samples.exported",
        "persistent": False,
        "media_type": "image",
        "group_media_types": {},
        "tags": [],
        "info": {"labelaudit_run": run["name"]} if run else {},
        "app_config": {},
        "classes": {},
        "default_classes": content.classes,
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
            *(_document(name, "fiftyone.core.labels.Classification", _LABEL) for name in LABELS),
            *(_field(name, kind) for name, kind in scalars.items()),
        ],
    }


def _field(name: str, kind: str, **more) -> dict:
    return {
        "name": name, "ftype": _FIELDS + kind, "embedded_doc_type": None, "subfield": None,
        "fields": [], "db_field": name, "description": None, "info": None, "read_only": False,
        "created_at": _STAMP, **more,
    }  # fmt: skip


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
