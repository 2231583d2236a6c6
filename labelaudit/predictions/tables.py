"""Predictions as tables: CSV, TSV, Parquet or a pandas frame, streamed batch by batch.

There is one column per class, with the name of the class; or (in Parquet and pandas) one column of
lists, named `logits` or `probabilities`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from ..core.csv_format import CsvFormat
from ..core.errors import BadInputError, DamagedError
from ..sources.image_list import explain
from ..sources.list_columns import LABELS, normal
from . import keys
from .arrays import EMBEDDINGS, NUMBERS, Source
from .classes import HOW_TO_NAME_CLASSES, shown, text
from .matching import with_keys
from .numbers import sum_to_one

BLOCK_BYTES = 1 << 24  # of a CSV file in memory at once
PROBE_ROWS = 1  # rows read to find the length of lists
PROBED_ROWS = 1000  # to find out whether columns of numbers are classes

# Yields record batches of some columns, with at most so many rows each.
Reader = Callable[[list[str], int], Iterator[pa.RecordBatch]]


@dataclass(kw_only=True)
class Table(Source):
    """Predictions in a table."""

    read: Reader
    columns: Sequence[str]  # of numbers: one per class, or a single column of lists
    of_lists: bool = False
    embedding_column: str | None = None

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        wanted = [*self.columns, *([self.embedding_column] if self.embedding_column else [])]
        for batch in self.read(wanted, self.batch_rows):
            embeddings = None
            if self.embedding_column:
                embeddings = self._lists(batch, self.embedding_column, self.embedded)
            if self.of_lists:
                yield self._lists(batch, self.columns[0], self.width), embeddings
            else:
                numbers = [self._numbers(batch, column) for column in self.columns]
                yield np.stack(numbers, axis=1), embeddings

    def _numbers(self, batch: pa.RecordBatch, column: str) -> np.ndarray:
        values = batch[column]
        if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
            raise BadInputError(
                f"{self.what}: column {column!r} holds {values.type}, and must hold numbers."
            )
        if values.null_count:  # becomes NaN, which is refused with its row
            values = pc.fill_null(values.cast(pa.float64()), np.nan)
        return values.to_numpy(zero_copy_only=False)

    def _lists(self, batch: pa.RecordBatch, column: str, width: int) -> np.ndarray:
        """Return a column of lists as (n, width). Raises LabelAuditError if lengths differ."""
        values = batch[column]
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
        if values.null_count or (lengths != width).any():
            other = lengths[lengths != width]
            raise BadInputError(
                f"{self.what}: the lists of column {column!r} must all have the same length; the "
                f"first has {width:,} numbers, another {other[0] if len(other) else 0:,}."
            )
        return values.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def open_csv(path: Path, classes: Sequence[str], named: Sequence | None) -> Table:
    """Open a CSV or TSV file. classes: of the dataset. named: classes that the caller gave."""
    written = CsvFormat.of_file(path)
    try:
        schema = written.open(path, BLOCK_BYTES).schema
        names = schema.names
    except (pa.ArrowException, ValueError) as error:  # ValueError: another encoding
        raise DamagedError(f"{path.name} cannot be read: {explain(error)}.") from error
    numbers = {*classes, *map(text, named or ())}
    kinds = {
        name: pa.string() if keys.is_key(name) and name not in numbers else pa.float64()
        for name in names
    }

    def read(columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        types = {name: kinds[name] for name in columns}
        try:
            for batch in written.open(path, BLOCK_BYTES, types, columns):
                yield from (batch.slice(at, rows) for at in range(0, len(batch), rows))
        except (pa.ArrowException, ValueError) as error:
            raise DamagedError(f"{path.name}: {explain(error)}.") from error

    types = dict(zip(names, schema.types, strict=True))
    return _table(path.name, names, types, read, classes, named)


def open_parquet(
    path: Path,
    classes: Sequence[str],
    named: Sequence | None,
    known: Mapping[str, str | None] = NUMBERS,
) -> Table:
    """Open a Parquet file. classes: of the dataset. named: classes that the caller gave. known:
    names of a column of lists, with their kind."""
    try:
        file = parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DamagedError(f"{path.name} cannot be read as Parquet: {error}.") from error

    def read(columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        yield from file.iter_batches(rows, columns=columns)

    schema = file.schema_arrow
    types = dict(zip(schema.names, schema.types, strict=True))
    return _table(path.name, schema.names, types, read, classes, named, known)


def from_frame(
    frame: pd.DataFrame,
    classes: Sequence[str],
    named: Sequence | None,
    known: Mapping[str, str | None] = NUMBERS,
) -> Table:
    """Return a frame as source. The other arguments are those of `open_parquet`."""
    frame = with_keys(frame).rename(columns=str)

    def read(columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(frame), rows):
            some = frame[columns].iloc[start : start + rows]
            try:
                table = pa.Table.from_pandas(some, preserve_index=False).combine_chunks()
            except pa.ArrowException as error:
                raise BadInputError(f"the frame: {_line(error)}.") from error
            yield from table.to_batches()

    _check_unique("the frame", list(frame.columns))
    head = next(read(list(frame.columns), PROBE_ROWS), None)
    types = {} if head is None else dict(zip(head.schema.names, head.schema.types, strict=True))
    return _table("the frame", list(frame.columns), types, read, classes, named, known)


def _table(
    what: str,
    names: list[str],
    types: dict[str, pa.DataType],
    read: Reader,
    classes: Sequence[str],
    named: Sequence | None,
    known: Mapping[str, str | None] = NUMBERS,
) -> Table:
    """Find out what the columns are, and read the keys."""
    _check_unique(what, names)
    lists = [name for name in names if name in known and _is_list(types.get(name))]
    if lists:
        columns, class_names = lists[:1], named
    else:
        columns = class_names = _class_columns(what, names, classes, named)
        if named is None:
            columns += _unknown_classes(what, names, types, read, columns)
    others = [name for name in names if name not in columns]
    key_names = keys.key_columns([name for name in others if not _is_nested(types.get(name))])
    embeddings = next((n for n in others if n in EMBEDDINGS and _is_list(types.get(n))), None)
    found, in_order, rows = _read_keys(what, read, key_names, columns[0])
    table = Table(
        what,
        rows,
        width=_length(read, columns[0]) if lists else len(columns),
        names=class_names,
        kind=known[columns[0]] if lists else None,
        unused=[name for name in names if name not in (*columns, *key_names.names, embeddings)],
        embedded=_length(read, embeddings) if embeddings else None,
        in_order=in_order,
        read=read,
        columns=columns,
        of_lists=bool(lists),
        embedding_column=embeddings,
    )
    table.set_keys(found)
    return table


def _check_unique(what: str, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInputError(f"{what} has the column {twice!r} twice: keep one of them.")


def _class_columns(
    what: str, names: list[str], classes: Sequence[str], named: Sequence | None
) -> list[str]:
    """Return the columns of the named classes; else those with names of the dataset's classes;
    else those named 0, 1, 2 …

    Raises LabelAuditError if there are none, or if a named class has no column.
    """
    if named is not None:
        wanted = [text(name) for name in named]
        absent = next((name for name in wanted if name not in names), None)
        if absent is not None:
            raise BadInputError(f"{what} has no column {absent!r}: its columns are {shown(names)}.")
        return wanted
    found = [name for name in names if name in set(classes)]
    numbered = [name for name in names if name.isdecimal()]
    if not found and numbered == [str(i) for i in range(len(classes))]:
        return numbered
    if not found:
        raise BadInputError(
            f"{what} has no column with the name of a class of the dataset "
            f"({shown(list(classes))}): its columns are {shown(names)}."
        )
    return found


def _unknown_classes(
    what: str, names: list[str], types: dict[str, pa.DataType], read: Reader, columns: list[str]
) -> list[str]:
    """Return further columns of numbers that are classes which the dataset does not have.

    Only probabilities show whether there are any, because they sum to 1. Raises BadInputError if
    the numbers do not show it: without such a class the others would look more probable.
    """
    whole = all(_is_integer(types.get(name)) for name in columns)
    others = [
        name
        for name in names
        if name not in columns
        and not keys.is_key(name)
        and normal(name) not in LABELS
        and (_is_float(types.get(name)) or (whole and _is_integer(types.get(name))))
    ]
    head = next(read([*columns, *others], PROBED_ROWS), None) if others else None
    if head is None:
        return []
    values = np.stack([_as_floats(head[name]) for name in (*columns, *others)], axis=1)
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values) or sum_to_one(values[:, : len(columns)]):
        return []
    if sum_to_one(values):
        return others
    many = len(others) > 1
    raise BadInputError(
        f"{what} has the column{'s' if many else ''} {shown(others)} with numbers, and the dataset "
        f"has no class{'es' if many else ''} with {'these names' if many else 'this name'}: name "
        f"all classes of the model ({HOW_TO_NAME_CLASSES}), or remove the column"
        f"{'s' if many else ''}."
    )


def _as_floats(values: pa.Array) -> np.ndarray:
    return values.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _read_keys(
    what: str, read: Reader, names: keys.KeyColumns, any_column: str
) -> tuple[keys.Keys, bool, int]:
    """Return the keys, whether the index is 0, 1, 2 …, and the number of rows, in one pass over
    narrow columns."""
    found: dict[str, list[pa.Array]] = {name: [] for name in names.names}
    rows = 0
    for batch in read(names.names or [any_column], 1 << 18):
        rows += len(batch)
        for name in names.names:
            found[name].append(batch[name])
    columns = {
        name: pa.chunked_array(parts or [pa.array([], pa.int64())]) for name, parts in found.items()
    }
    if names.index is not None:
        return keys.Keys(), _counts_up(columns[names.index]), rows
    return keys.read_keys(names, columns, what), True, rows


def _counts_up(values: pa.ChunkedArray) -> bool:
    try:
        numbers = values.cast(pa.int64())
    except pa.ArrowException:
        return False
    return not numbers.null_count and np.array_equal(numbers.to_numpy(), np.arange(len(numbers)))


def _is_float(kind: pa.DataType | None) -> bool:
    return kind is not None and pa.types.is_floating(kind)


def _is_integer(kind: pa.DataType | None) -> bool:
    return kind is not None and pa.types.is_integer(kind)


def _is_nested(kind: pa.DataType | None) -> bool:
    return kind is not None and pa.types.is_nested(kind)


def _is_list(kind: pa.DataType | None) -> bool:
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return kind is not None and any(check(kind) for check in checks)


def _length(read: Reader, column: str) -> int:
    """Return the length of the first list of a column, 0 if there is none."""
    head = next(read([column], PROBE_ROWS), None)
    return 0 if head is None or not head[column].is_valid()[0].as_py() else len(head[column][0])


def _line(error: Exception) -> str:
    """Return the first line of an error."""
    return str(error).split("\n")[0].rstrip(".")
