"""The format of Hugging Face `datasets`: Parquet files with images in them, and a dataset card.

Only Arrow is needed: the schema's metadata describes the columns under `huggingface`.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from ..dataset.arrays import MISSING
from ..dataset.own_fields import BOOL, DATE, LABEL, NUMBER, TEXT
from .card import dataset_card
from .outputs import Output
from .provenance import SHARD, with_metadata
from .samples import CHUNK_BYTES, CHUNK_ROWS, Samples, read_image

SHARD_BYTES = 500_000_000  # of images per file, as `datasets` writes it
# The names in `datasets` of samples without a split: alone, and beside others that have one.
DEFAULT_SPLIT, NO_SPLIT = "train", "no_split"
_NOT_A_SPLIT = re.compile(r"\W+")
_TEXT, _NUMBER = ({"dtype": kind, "_type": "Value"} for kind in ("string", "int64"))

_OWN_TYPES = {
    LABEL: ("int64", pa.int64()),
    NUMBER: ("float64", pa.float64()),
    TEXT: ("string", pa.string()),
    BOOL: ("bool", pa.bool_()),
    DATE: ("timestamp[us]", pa.timestamp("us")),
}


def write_huggingface(samples: Samples, output: Output, folder: str) -> list[str]:
    """Write README.md and data/<split>-00000-of-00001.parquet, ….

    Columns: image, label, original_label, id, tags, own fields; and split, if a split has another
    name on Hugging Face.
    """
    splits = _split_names(samples)
    renamed = any(name != split for name, split in splits.items())
    schema = _schema(samples, renamed)
    names = ["tags", *samples.own_kinds]
    parts = [{name: frame[name].to_numpy() for name in names} for frame in samples.frames()]
    own = {name: np.concatenate([part[name] for part in parts]) for name in names}
    paths = samples.image_paths(np.full(len(samples), "", object))
    output.write("README.md", dataset_card(samples, splits).encode())
    for split, name in splits.items():
        rows = np.flatnonzero(samples.splits == split)
        shards = _shards(samples.sizes[rows])
        for number in range(shards.max() + 1):
            path = f"data/{name}-{number:05}-of-{shards.max() + 1:05}.parquet"
            shard = rows[shards == number]
            if output.dry:
                output.count(int(samples.sizes[shard].sum()))
            else:
                _write_shard(samples, output, path, shard, paths, own, schema)
    notes = []
    if splits.get(None, DEFAULT_SPLIT) != DEFAULT_SPLIT:
        notes = [f"Samples without a split are in the split {splits[None]} there."]
    return notes + [
        f"Hugging Face does not allow the split name {split!r}: it is {name!r} there, and the "
        "column split contains the original name."
        for split, name in splits.items()
        if split not in (None, name)
    ]


def _write_shard(
    samples: Samples,
    output: Output,
    path: str,
    rows: np.ndarray,
    paths: np.ndarray,
    own: dict[str, np.ndarray],
    schema: pa.Schema,
) -> None:
    """Write these rows to one Parquet file, with few images in memory at a time."""
    stamped = with_metadata(schema, samples.provenance(len(rows), SHARD))
    with output.open(path) as sink, parquet.ParquetWriter(sink, stamped) as out:
        images, at, size = [], [], 0
        for i, image in samples.images(rows):
            data = read_image(image)
            images.append({"bytes": data, "path": paths[i]})
            at.append(i)
            size += len(data)
            if size > CHUNK_BYTES or len(at) == CHUNK_ROWS:
                out.write_table(_table(samples, at, images, own, schema))
                images, at, size = [], [], 0
        if at:
            out.write_table(_table(samples, at, images, own, schema))


def _table(samples: Samples, at: list[int], images: list[dict], own, schema) -> pa.Table:
    def indices(values: np.ndarray) -> pa.Array:
        return pa.array(values[at], pa.int64(), mask=values[at] == MISSING)

    columns = {
        "image": images,
        "label": indices(samples.labels),
        "original_label": indices(samples.originals),
        "id": samples.ids[at],
        "tags": [list(names) for names in own["tags"][at]],
        "split": samples.splits[at],
    }
    codes = {name: code for code, name in enumerate(samples.classes)}
    for name, kind in samples.own_kinds.items():
        values = own[name][at]
        if kind == LABEL:
            values = [None if value is None else codes[value] for value in values]
        columns[name] = pa.array(values, schema.field(name).type, from_pandas=True)
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _schema(samples: Samples, with_split: bool) -> pa.Schema:
    label = {"names": samples.classes, "_type": "ClassLabel"}
    features = {
        "image": {"_type": "Image"},
        "label": label,
        "original_label": label,
        "id": _NUMBER,
        "tags": {"feature": _TEXT, "_type": "Sequence"},
    }
    types = {
        "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        "label": pa.int64(),
        "original_label": pa.int64(),
        "id": pa.int64(),
        "tags": pa.list_(pa.string()),
    }
    for name, kind in samples.own_kinds.items():
        dtype, types[name] = _OWN_TYPES[kind]
        features[name] = label if kind == LABEL else {"dtype": dtype, "_type": "Value"}
    if with_split:
        features["split"], types["split"] = _TEXT, pa.string()
    info = json.dumps({"info": {"features": features}})
    return pa.schema(list(types.items()), metadata={"huggingface": info})


def _split_names(samples: Samples) -> dict[str | None, str]:
    """Return the name of each split there: letters, digits and `_`, but not `all`."""
    names: dict[str | None, str] = {}
    splits = list(dict.fromkeys(samples.splits.tolist()))
    without = DEFAULT_SPLIT if splits == [None] else NO_SPLIT
    for split in sorted(splits, key=lambda name: (name is None, name)):
        name = _NOT_A_SPLIT.sub("_", split) if split else without
        name = f"{name}_" if name == "all" else name
        while name in names.values():
            name += "_"
        names[split] = name
    return {split: names[split] for split in splits}


def _shards(sizes: np.ndarray) -> np.ndarray:
    """Return the number of the file, from 0, for each image of these sizes."""
    numbers = (np.cumsum(sizes) - sizes) // SHARD_BYTES
    return np.unique(numbers, return_inverse=True)[1]
