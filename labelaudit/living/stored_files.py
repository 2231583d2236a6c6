"""What a dataset remembers of its source: see `source-files` in `storage.schema`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import BadInputError
from ..dataset.arrays import MISSING, in_order
from ..dataset.columns import Frame
from ..sources.manifest import SUFFIXES
from ..storage import schema
from ..storage.schema import AWAY, IN_SOURCE, SHA256_BYTES

TABLE = "source-files"
NONE = -1  # stands for null


@dataclass(frozen=True)
class StoredFiles:
    """The samples of a dataset as the source had them last. Arrays (n,), sorted by id."""

    ids: np.ndarray
    paths: pa.Array  # text
    splits: pa.Array  # text or null
    size: np.ndarray  # int64; NONE without a file
    changed: np.ndarray  # int64, ns; NONE without a file
    sha256: np.ndarray  # void32
    label: np.ndarray  # class index in the source; MISSING for none
    state: np.ndarray  # see the schema
    present: np.ndarray  # bool: the source had it when it was read last
    keys: pa.Array  # the paths where they are expected now

    def moved(self, before: Mapping, after: Mapping) -> StoredFiles:
        """Expect the files below the place where the source is now. before, after: origins."""
        old, new = _folder(before["source"]), _folder(after["source"])
        if old == new:
            return self
        inside = pc.starts_with(self.paths, old)
        rest = pc.utf8_slice_codeunits(self.paths, len(old))
        moved = pc.binary_join_element_wise(pa.scalar(new), rest, "")
        return replace(self, keys=pc.if_else(inside, moved, self.paths))


def read_stored(frame: Frame) -> StoredFiles:
    """Read it. Raises BadInputError for a dataset that does not remember its source."""
    check_source_known(frame)
    rows = frame.read(TABLE, schema.SOURCE_FILES.names)
    ids = frame.ids
    rows = in_order(rows, ids)
    known = rows["id"].to_numpy()
    samples = frame.take("samples", frame.positions(known), ["filepath", "split"])
    paths = samples["filepath"].combine_chunks()
    return StoredFiles(
        ids=known,
        paths=paths,
        keys=paths,
        splits=samples["split"].combine_chunks(),
        size=rows["size"].fill_null(NONE).to_numpy(),
        changed=rows["changed"].fill_null(NONE).to_numpy(),
        sha256=hash_array(rows["sha256"]),
        label=rows["label"].fill_null(MISSING).to_numpy(),
        state=(state := rows["state"].to_numpy()),
        present=(state == IN_SOURCE) | ~frame.tagged(AWAY)[frame.positions(known)],
    )


def check_source_known(frame: Frame) -> None:
    """Raise BadInputError for a dataset that does not remember its source."""
    if not frame.exists(TABLE) or "origin" not in frame.meta:
        raise BadInputError(_why_not(frame))


def _folder(source: str) -> str:
    """Return the folder of a source that is a folder or a list in it, with a slash."""
    is_file = os.path.splitext(source)[1].lower() in SUFFIXES
    return (source.rpartition("/")[0] if is_file else source.rstrip("/")) + "/"


def _why_not(frame: Frame) -> str:
    source = frame.meta["source"] or "data in memory"
    if "origin" in frame.meta or source.startswith(schema.FROM_FOLDER):
        return (
            f"dataset {frame.name!r} was loaded by an earlier version, which did not remember the "
            f"files of {source}: load it once more under another name, and take its label changes "
            "along with `labelaudit patch`."
        )
    return (
        f"dataset {frame.name!r} ({source}) has no source that can be read again: only datasets "
        "that this version loaded from files, a bucket or Hugging Face have one."
    )


def hash_array(values: pa.ChunkedArray) -> np.ndarray:
    """Convert SHA-256 hashes to void32 (n,); zeros for null."""
    filled = pc.fill_null(values, pa.scalar(bytes(SHA256_BYTES), values.type)).combine_chunks()
    if isinstance(filled, pa.ChunkedArray):
        filled = pa.concat_arrays(filled.chunks) if filled.num_chunks else pa.array([], values.type)
    data = filled.buffers()[1]
    whole = np.frombuffer(data, f"V{SHA256_BYTES}") if data else np.empty(0, f"V{SHA256_BYTES}")
    return whole[filled.offset : filled.offset + len(filled)]
