"""A dataset as Hugging Face's `datasets` opens it: Parquet with images in it, and a card.

Written by Arrow alone: what a column is stands in the schema's metadata, under `huggingface`.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from ..dataset.arrays import MISSING
from .card import dataset_card
from .content import CHUNK_BYTES, CHUNK_ROWS, Content, read_image
from .names import Places
from .trees import Tree

SHARD_BYTES = 500_000_000  # of images a file, as `datasets` itself does it
DEFAULT_SPLIT = "train"  # what it calls the samples where nobody said more
_NOT_A_SPLIT = re.compile(r"\W+")
_TEXT, _NUMBER = ({"dtype": kind, "_type": "Value"} for kind in ("string", "int64"))


def write_huggingface(content: Content, tree: Tree) -> list[str]:
    """README.md and data/<split>-00000-of-00001.parquet … with image, label, original_label, id,
    tags, and split where Hugging Face's name of it is another one."""
    splits = _split_names(content)
    named = any(name != split for name, split in splits.items())
    schema = _schema(content.classes, named)
    tags = np.concatenate([frame["tags"].to_numpy() for frame in content.frames()])
    places = content.image_places(np.full(len(content), "", object), Places())
    tree.write("README.md", dataset_card(content, splits).encode())
    for split, name in splits.items():
        rows = np.flatnonzero(content.splits == split)
        shards = _shards(content.sizes[rows])
        for number in range(shards.max() + 1):
            path = f"data/{name}-{number:05}-of-{shards.max() + 1:05}.parquet"
            part = rows[shards == number]
            if tree.dry:
                tree.count(int(content.sizes[part].sum()))
            else:
                _write_shard(content, tree, path, part, places, tags, schema)
    renamed = [(split, name) for split, name in splits.items() if split not in (None, name)]
    return [f"Hugging Face allows no split {split!r}: it is {name!r} there, and the column split "
            "tells its own name." for split, name in renamed]  # fmt: skip


def _write_shard(content, tree: Tree, path: str, rows, places, tags, schema: pa.Schema) -> None:
    with tree.open(path) as sink, parquet.ParquetWriter(sink, schema) as out:
        held, at, size = [], [], 0
        for i, image in content.images(rows):
            data = read_image(image)
            held.append({"bytes": data, "path": places[i]})
            at.append(i)
            size += len(data)
            if size > CHUNK_BYTES or len(at) == CHUNK_ROWS:
                out.write_table(_table(content, at, held, tags, schema))
                held, at, size = [], [], 0
        if at:
            out.write_table(_table(content, at, held, tags, schema))


def _table(content: Content, at: list[int], images: list[dict], tags, schema) -> pa.Table:
    def codes(values: np.ndarray) -> pa.Array:
        return pa.array(values[at], pa.int64(), mask=values[at] == MISSING)

    columns = {
        "image": images,
        "label": codes(content.labels),
        "original_label": codes(content.originals),
        "id": content.ids[at],
        "tags": [list(names) for names in tags[at]],
        "split": content.splits[at],
    }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _schema(classes: list[str], with_split: bool) -> pa.Schema:
    label = {"names": classes, "_type": "ClassLabel"}
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
    if with_split:
        features["split"], types["split"] = _TEXT, pa.string()
    info = json.dumps({"info": {"features": features}})
    return pa.schema(list(types.items()), metadata={"huggingface": info})


def _split_names(content: Content) -> dict[str | None, str]:
    """What each split is called there: words of letters, digits and `_`, never `all`."""
    chosen: dict[str | None, str] = {}
    splits = list(dict.fromkeys(content.splits.tolist()))
    for split in sorted(splits, key=lambda name: (name is None, name)):
        name = _NOT_A_SPLIT.sub("_", split) if split else DEFAULT_SPLIT
        name = f"{name}_" if name == "all" else name
        while name in chosen.values():
            name += "_"
        chosen[split] = name
    return {split: chosen[split] for split in splits}


def _shards(sizes: np.ndarray) -> np.ndarray:
    """Number of the file, from 0, that each image of these sizes goes to."""
    numbers = (np.cumsum(sizes) - sizes) // SHARD_BYTES
    return np.unique(numbers, return_inverse=True)[1]
