"""Converts new samples in any supported form to checked table rows, batch by batch."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import BadInputError
from ..core.images import encode
from ..storage import schema
from . import edits
from .columns import ONE_LABEL
from .own_fields import LABEL, checker, stored_type

# Fields of a new sample. `filepath` or `image` is required; the others may be null.
INPUT = pa.schema(
    [
        ("id", pa.int64()),
        ("filepath", pa.string()),
        ("image", pa.binary()),
        ("label", pa.string()),
        ("split", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
CLASS_LENGTH = 500  # characters
# Control characters, line ends, marks that change the direction of text, and lone surrogates.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
INPUT_ROWS = 10_000  # rows converted to Arrow at once if they come one by one


class SampleReader:
    """Converts new samples to rows of `samples`, and collects their annotations.

    taken: ids of existing samples. fields: kinds of the own fields that samples may have. After
    `read` is exhausted, `classes` and `next_id` include the new samples.
    """

    def __init__(
        self,
        classes: list[str],
        next_id: int,
        taken: np.ndarray,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self._fields = dict(fields or {})
        self._checkers = {name: checker(name, kind, (), "") for name, kind in self._fields.items()}
        self._own: dict[str, list[tuple[np.ndarray, pa.Array]]] = {n: [] for n in self._fields}
        self.classes, self.next_id = list(classes), next_id
        self._index = {name: i for i, name in enumerate(self.classes)}
        self._taken = taken
        self._ids: list[np.ndarray] = []
        self._labels: list[pa.Array] = []
        self._tags: list[pa.Array] = []

    @property
    def ids(self) -> np.ndarray:
        """Ids of the samples that were read, int64 (n,)."""
        return np.concatenate(self._ids) if self._ids else np.empty(0, np.int64)

    def read(self, samples) -> Iterator[pa.RecordBatch]:
        """Yield rows of `samples`. samples: see `Dataset.add_samples`.

        Raises BadInputError for an invalid row, and after the last row for a repeated id.
        """
        for batch in _batches(samples, self._fields):
            if not len(batch):
                continue
            ids = self._assign(batch)
            paths = _absolute(batch, ids)
            self._ids.append(ids)
            self._labels.append(self._encode(batch["label"]))
            self._tags.append(_clean_tags(batch["tags"]))
            self._read_own(batch, ids)
            yield pa.record_batch(
                [pa.array(ids), paths, *(batch[n] for n in schema.SAMPLES.names[2:])],
                schema=schema.SAMPLES,
            )
        self._check_unique()

    def annotations(self) -> pa.Table:
        """Return the rows of `annotations` for the samples that were read."""
        labels = pa.chunked_array(self._labels, pa.int32())
        nothing = pa.nulls(len(labels), pa.int32())
        tags = pa.chunked_array(self._tags, pa.list_(pa.string()))
        return pa.table([pa.array(self.ids), labels, nothing, tags], schema=schema.ANNOTATIONS)

    def own_values(self) -> Iterator[tuple[str, np.ndarray, pa.Array]]:
        """Yield each own field with ids, int64 (m,), and its values as they are stored."""
        for name, parts in self._own.items():
            if parts:
                ids, values = zip(*parts, strict=True)
                yield name, np.concatenate(ids), pa.concat_arrays(values)

    def _read_own(self, batch: pa.RecordBatch, ids: np.ndarray) -> None:
        for name in self._fields.keys() & set(batch.schema.names):
            values, kind = batch[name], self._fields[name]
            if kind == LABEL:
                if not pa.types.is_null(values.type) and not pa.types.is_string(values.type):
                    raise BadInputError(
                        f"field {name!r} of the samples holds {values.type}: give class names."
                    )
                stored = self._encode(values.cast(pa.string()))
            else:
                check = self._checkers[name]
                cells = [check(value) for value in values.to_pylist()]
                stored = pa.array(cells, stored_type(kind))
            known = stored.is_valid().to_numpy(zero_copy_only=False)
            self._own[name].append((ids[known], stored.filter(pa.array(known))))

    def _assign(self, batch: pa.RecordBatch) -> np.ndarray:
        given = batch["id"]
        if given.null_count == len(given):
            ids = np.arange(self.next_id, self.next_id + len(given))
        elif given.null_count:
            raise BadInputError("some samples have an id and others have none: give all or none.")
        else:
            ids = given.to_numpy()
            if ids.min() < 0:
                raise BadInputError(f"id {ids.min()} is negative: ids are 0 or more.")
        self.next_id = max(self.next_id, int(ids.max()) + 1)
        return ids

    def _check_unique(self) -> None:
        """Runs before the write is committed, so nothing is stored if an id is repeated."""
        ids = self.ids
        unique, counts = np.unique(ids, return_counts=True)
        if len(unique) != len(ids):
            raise BadInputError(
                f"id {unique[counts > 1][0]} is given to {counts.max()} samples: "
                "make the ids unique, or leave them out."
            )
        clash = np.intersect1d(unique, self._taken)
        if len(clash):
            raise BadInputError(
                f"id {clash[0]} is taken: {len(clash)} of the given ids exist in the dataset. "
                "Give other ids, or none."
            )

    def _encode(self, labels: pa.Array) -> pa.Array:
        names = labels.dictionary_encode()
        known = names.dictionary.to_pylist()
        for name in natural_order(set(known) - self._index.keys()):
            check_class(name)
            self._index[name] = len(self.classes)
            self.classes.append(name)
        codes = pa.array([self._index[name] for name in known], pa.int32())
        return codes.take(names.indices)


def check_class(name: str) -> str:
    """Return a valid class name, or raise BadInputError.

    Other scripts, blanks and quotes are allowed. Control characters and marks that change the
    direction of text are not: names must be recognisable, and patches cannot contain them.
    """
    if all(char.isspace() or unicodedata.category(char) in ("Cf", "Cc") for char in name):
        raise BadInputError("a label is empty: leave it out (null), or give a class name.")
    shown = ascii(name[:40]) + ("…" if len(name) > 40 else "")
    if len(name) > CLASS_LENGTH:
        raise BadInputError(
            f"class {shown} has a name of {len(name):,} characters, over {CLASS_LENGTH}: shorten "
            "it, or choose the column with the labels."
        )
    if UNPRINTABLE.search(name):
        raise BadInputError(
            f"class {shown} has characters that cannot be printed: rename the class."
        )
    return name


def natural_order(names: Iterable[str]) -> list[str]:
    """Sort names by their characters; by number if all are numbers ("9" before "10"), and names of
    the same number by their length ("1" before "01")."""
    names = set(names)
    if all(re.fullmatch(r"-?\d{1,500}", name) for name in names):
        return sorted(names, key=lambda name: (int(name), len(name), name))
    return sorted(names)


def _clean_tags(tags: pa.Array) -> pa.Array:
    for name in pc.unique(pc.list_flatten(tags)).to_pylist():
        edits.check_tag(name)
    return pc.fill_null(tags, pa.scalar([], pa.list_(pa.string())))


def _absolute(batch: pa.RecordBatch, ids: np.ndarray) -> pa.Array:
    """Make file paths absolute; the names of stored images stay unchanged."""
    paths, stored = batch["filepath"], batch["image"].is_valid()
    lacking = pc.and_(pc.is_null(paths), pc.invert(stored))
    if pc.any(lacking).as_py():
        row = int(np.flatnonzero(lacking.to_numpy(zero_copy_only=False))[0])
        raise BadInputError(f"row {row + 1} has neither a filepath nor an image: give one of them.")
    if paths.null_count:  # an image from memory is named after its id
        paths = pc.coalesce(paths, pa.array([f"{i}.png" for i in ids.tolist()]))
    relative = pc.and_(pc.invert(stored), pc.invert(pc.starts_with(paths, "/")))
    if pc.any(relative).as_py():
        paths = pc.if_else(
            relative, pa.array([os.path.abspath(p) for p in paths.to_pylist()]), paths
        )
    return paths.cast(pa.string())


def _batches(samples, fields: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """Convert anything that `add_samples` accepts to batches of INPUT and of own fields."""
    if isinstance(samples, pd.DataFrame):
        missing = samples.isna() if len(samples) else samples
        samples = {
            name: [
                None if null else value for value, null in zip(column, missing[name], strict=True)
            ]
            for name, column in samples.to_dict("list").items()
        }
    if isinstance(samples, Mapping):
        columns = {
            name: _encoded(values) if name == "image" else values
            for name, values in samples.items()
        }
        try:
            samples = pa.table(columns)
        except (pa.ArrowException, ValueError) as error:
            raise BadInputError(f"the columns of the samples do not match: {error}.") from error
    if isinstance(samples, pa.Table):
        yield from _conform(samples, fields).to_batches()
        return
    rest = iter(samples)
    first = next(rest, None)
    if isinstance(first, pa.RecordBatch):
        for batch in chain([first], rest):
            yield from _conform(pa.Table.from_batches([batch]), fields).to_batches()
    elif first is not None:
        rest = chain([first], rest)
        while rows := list(islice(rest, INPUT_ROWS)):
            names = {name for row in rows for name in row}
            columns = {name: [row.get(name) for row in rows] for name in names}
            yield from _batches(columns, fields)


def _conform(table: pa.Table, fields: Mapping[str, str]) -> pa.Table:
    """Add missing columns of INPUT, and convert the types of the others. fields: own ones."""
    unknown = set(table.column_names) - set(INPUT.names) - fields.keys()
    if unknown:
        name = sorted(unknown)[0]
        raise BadInputError(
            f"samples have no field {name!r}: the fields are {', '.join([*INPUT.names, *fields])}; "
            f"dataset.add_field({name!r}, kind) adds one."
        )
    columns = []
    for field in INPUT:
        if field.name not in table.column_names:
            columns.append(pa.nulls(len(table), field.type))
            continue
        if field.name == "label" and pa.types.is_nested(table["label"].type):
            raise BadInputError(
                f"field 'label' of the samples has several values in a row: {ONE_LABEL}."
            )
        try:
            columns.append(table[field.name].cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadInputError(f"field {field.name!r} of the samples: {error}.") from error
    conformed = pa.table(columns, schema=INPUT)
    for name in fields.keys() & set(table.column_names):
        conformed = conformed.append_column(name, table[name])
    return conformed


def _encoded(images: Iterable) -> list[bytes | None]:
    return [
        image if image is None or isinstance(image, bytes) else encode(image) for image in images
    ]
