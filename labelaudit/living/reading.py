"""Reads a source again, without opening the images that have not changed."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError, NotFoundError, StoppedError
from ..core.progress import Task
from ..dataset.columns import Frame
from ..dataset.own_fields import own_fields
from ..sources.load import place, reopen
from ..sources.own_columns import OWN
from ..sources.source import LABEL_COLUMNS, Row, Source
from ..storage.schema import SHA256_BYTES
from .stored_files import NONE

BATCH_ROWS = 1000  # between two looks at the stop button
NO_HASH = bytes(SHA256_BYTES)


@dataclass(frozen=True)
class SourceNow:
    """What a source has now. Arrays (n,), in its order."""

    paths: pa.Array
    labels: pa.Array  # dictionary-encoded class names; null for none
    splits: pa.Array  # text or null
    size: np.ndarray  # int64; NONE without a file
    changed: np.ndarray  # int64, ns; NONE without a file
    sha256: np.ndarray  # void32; zeros if it is not read yet
    given_ids: np.ndarray | None  # int64, if the source numbers its images itself
    tags: list[list[str] | None] | None
    own: list[dict | None]  # values of own fields; empty if the source has none
    classes: list[str]
    source: Source
    origin: dict

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def in_files(self) -> bool:
        """Whether images are files on this machine, with a size and a time."""
        return bool(len(self) == 0 or (self.size != NONE).all())

    def rows(self, places: np.ndarray) -> Iterator[Row]:
        """Yield these rows, int64 (m,), sorted, with their images."""
        if self.in_files:
            labels, splits = self.labels, self.splits
            for i in places.tolist():
                yield self._row(i, labels[i].as_py(), splits[i].as_py())
            return
        wanted = iter(places.tolist())
        following = next(wanted, None)
        for i, row in enumerate(reopen(self.origin).usable_rows()):
            if i == following:
                yield row
                following = next(wanted, None)
            if following is None:
                return

    def _row(self, i: int, label: str | None, split: str | None) -> Row:
        row: Row = {"filepath": self.paths[i].as_py(), "label": label, "split": split}
        if self.given_ids is not None:
            row["id"] = int(self.given_ids[i])
        if self.tags is not None:
            row["tags"] = self.tags[i]
        if self.own:
            row[OWN] = self.own[i]
        return row


def read_now(
    frame: Frame, moved_to: str | None, within: Sequence[str] | None, task: Task
) -> SourceNow:
    """Read the source of a dataset with the options that it was loaded with.

    moved_to: where it is now, if it was moved. within: as in `load_dataset`; images outside are
    left out. Images in archives and object storage are read and hashed, files are not opened.
    Raises the errors of `load_dataset`, BadInputError for a source without images, and
    StoppedError.
    """
    origin = frame.meta["origin"]
    if wanted := origin.get("fields"):  # a column of other values must not become another kind
        kinds = {name: field.kind for name, field in own_fields(frame).items()}
        fields = {name: kinds.get(name, kind) for name, kind in dict(wanted).items()}
        origin = {**origin, "fields": fields}
    if moved_to is not None:
        origin = {**origin, "source": place(moved_to)}
    try:
        source = reopen(origin, within, task)
    except NotFoundError as error:
        raise NotFoundError(
            f"the source of dataset {frame.name!r} cannot be read: {error} If it was moved, say "
            "where it is now (--source)."
        ) from error
    stage = task.stage(f"reading {source.description}", source.total, stoppable=False)
    paths, labels, splits, ids, tags, own = [], [], [], [], [], []
    sizes, changed, hashes = array("q"), array("q"), bytearray()
    rows = source.usable_rows()
    while part := list(islice(rows, BATCH_ROWS)):
        if task.stop():
            raise StoppedError(f"reading {source.description} was stopped; nothing was changed.")
        stage.advance(len(part))
        part, states = _with_states(part, source)
        paths += [row["filepath"] for row in part]
        labels += [row.get("label") for row in part]
        splits += [row.get("split") for row in part]
        ids += [row.get("id") for row in part]
        tags += [row.get("tags") for row in part]
        if source.fields:
            own += [row.get(OWN) for row in part]
        sizes.extend([size for size, _ in states])
        changed.extend([time for _, time in states])
        for row in part:
            data = row.get("image")
            hashes += NO_HASH if data is None else sha256(data).digest()
    if not paths:
        raise BadInputError(
            f"{source.description} has no image any more: if that is right, delete the dataset."
        )
    return SourceNow(
        paths=pa.array(paths, pa.string()),
        labels=pa.array(labels, pa.string()).dictionary_encode(),
        splits=pa.array(splits, pa.string()),
        size=np.array(sizes, np.int64),
        changed=np.array(changed, np.int64),
        sha256=np.frombuffer(bytes(hashes), f"V{SHA256_BYTES}"),
        given_ids=None if None in ids else np.array(ids, np.int64),
        tags=tags if any(tags) else None,
        own=own,
        classes=list(source.classes),
        source=source,
        origin={**origin, LABEL_COLUMNS: source.label_columns},
    )


def _with_states(rows: list[Row], source: Source) -> tuple[list[Row], list[tuple[int, int]]]:
    """Return the rows whose files exist, with the states of these. The others are reported."""
    kept, states = [], []
    for row in rows:
        state = _state(row)
        if state is None:
            source.skipped.add(row["filepath"], "there is no such file")
        else:
            kept.append(row)
            states.append(state)
    return kept, states


def _state(row: Row) -> tuple[int, int] | None:
    """Return size and time of change of a row's file, NONE for an image without a file; None if
    there is no such file."""
    if row.get("image") is not None:
        return NONE, NONE
    try:
        found = os.stat(row["filepath"])
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns
