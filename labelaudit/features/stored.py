"""Stored features: one table per extractor, one row per image, in half precision.

The table `features` has a row per extractor: its name and the version of its weights. Features of
another version of the weights are dropped when the extractor is used again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..core.errors import NotFoundError
from ..dataset.arrays import find
from ..dataset.columns import Frame
from ..storage import schema

TABLE = "features"
COLUMN = "features"
LARGEST = float(np.finfo(np.float16).max)
ROWS = 20_000  # read at once
FEW = 4  # rows are read one by one if the table has so many times as many


@dataclass(frozen=True)
class Features:
    """The stored features of one extractor, or imported ones, of one dataset."""

    frame: Frame
    id: int
    name: str
    version: str
    width: int

    @property
    def table(self) -> str:
        """Name of the table that holds them."""
        return schema.table(TABLE, self.id)

    def ids(self) -> np.ndarray:
        """Ids of the samples that have features, int64 (n,), in stored order."""
        rows = self.frame.read(self.table, ["id"])
        return np.empty(0, np.int64) if rows is None else rows["id"].to_numpy()

    def batches(self, ids: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (places in `ids`, features float16 (m, width)), streamed in stored order.

        ids: sorted, int64. Samples without features do not appear.
        """
        for batch in self.frame.batches(self.table, ["id", COLUMN], ROWS):
            places, known = find(ids, batch["id"].to_numpy())
            vectors = batch[COLUMN].flatten().to_numpy(zero_copy_only=False)
            vectors = vectors.reshape(-1, self.width)
            yield places[known], vectors if known.all() else vectors[known]

    def read(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (has features, bool (n,); features, float16 (n, width), 0 if there are none).

        ids: sorted, int64. Takes 2 bytes of memory per number.
        """
        there = np.zeros(len(ids), bool)
        values = np.zeros((len(ids), self.width), np.float16)
        few = len(ids) * FEW < self.frame.store.count(self.table)
        for places, vectors in self._some(ids) if few else self.batches(ids):
            values[places], there[places] = vectors, True
        return there, values

    def _some(self, ids: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the same as `batches`, without reading the rest of the table."""
        positions = self.frame.positions(ids)
        for start in range(0, len(ids), ROWS):
            rows = self.frame.take(self.table, positions[start : start + ROWS], [COLUMN])
            vectors = rows[COLUMN].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            yield find(ids, rows["id"].to_numpy())[0], vectors.reshape(-1, self.width)

    def append(self, ids: np.ndarray, values: np.ndarray) -> None:
        """Store features, float (m, width), of ids that have none yet. One commit."""
        columns = schema.features(self.width)
        half = np.clip(values, -LARGEST, LARGEST).astype(np.float16)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(half.reshape(-1)), self.width)
        rows = pa.table([pa.array(ids, pa.int64()), vectors], schema=columns)
        with self.frame.transaction():
            self.frame.upsert(self.table, rows, columns)


def stored_features(frame: Frame) -> dict[str, Features]:
    """Return the stored features of a dataset by the name of their extractor."""
    found = {}
    for row in sorted(frame.read_rows(TABLE, ["id", "name", "info"]), key=lambda row: row["id"]):
        info = json.loads(row["info"])
        if info is not None:
            found[row["name"]] = Features(
                frame, row["id"], row["name"], info["version"], info["width"]
            )
    return found


def stored_state(frame: Frame, name: str) -> bytes | None:
    """Return what an extractor was fitted to the dataset's images; None if it was not."""
    for row in frame.read_rows(TABLE, ["name", "info", "state"]):
        if row["name"] == name and row["info"] != "null":
            return row["state"]
    return None


def open_features(
    frame: Frame, name: str, version: str, width: int, state: bytes | None = None
) -> Features:
    """Return the features of this extractor; empty if none of this version are stored yet."""
    found = stored_features(frame).get(name)
    if found is not None and (found.version, found.width) == (version, width):
        return found
    with frame.transaction():
        last = max((row["id"] for row in frame.read_rows(TABLE, ["id"])), default=0)
        info = json.dumps({"version": version, "width": width})
        changed = [{"id": last + 1, "name": name, "info": info, "state": state}]
        if found is not None:  # the id is not used again
            changed.append({"id": found.id, "name": name, "info": "null", "state": None})
        frame.upsert(TABLE, pa.Table.from_pylist(changed, schema=schema.FEATURES), schema.FEATURES)
        if found is not None:
            frame.store.drop(found.table)
    return Features(frame, last + 1, name, version, width)


def find_features(frame: Frame, name: str) -> Features:
    """Return stored features by name. Raises NotFoundError if there are none."""
    known = stored_features(frame)
    if name not in known:
        names = ", ".join(known)
        raise NotFoundError(
            f"dataset {frame.name!r} has no features {name!r}: "
            + (f"it has {names}." if names else "it has none yet.")
        )
    return known[name]
