"""Predictions as tables: CSV, TSV, Parquet or a pandas frame, streamed batch by batch.

One column a class, called like it; or (Parquet, pandas) one column of lists, called `logits` or
`probabilities`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from ..core.csv_cells import separator, unguard
from ..core.errors import LabelAuditError
from .arrays import EMBEDDINGS, NUMBERS, Brought, whole_numbers
from .classes import shown, text
from .matching import IDS, INDEX, PATHS, with_keys

PROBED_ROWS = 1  # of a column of lists, to see how long they are

# Gives record batches of some columns, at most so many rows each.
Reader = Callable[[list[str], int], Iterator[pa.RecordBatch]]


@dataclass
class Table(Brought):
    read: Reader | None = None
    columns: Sequence[str] = ()  # of numbers: one a class, or the one of lists
    of_lists: bool = False
    vectors: str | None = None  # the column of embeddings

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        wanted = [*self.columns, *([self.vectors] if self.vectors else [])]
        for batch in self.read(wanted, self.batch_rows):
            vectors = None
            if self.vectors:
                vectors = _lists(batch[self.vectors], self.embedded, self.what, self.vectors)
            if self.of_lists:
                yield (
                    _lists(batch[self.columns[0]], self.width, self.what, self.columns[0]),
                    vectors,
                )
            else:
                yield np.stack([self._numbers(batch, c) for c in self.columns], axis=1), vectors

    def _numbers(self, batch: pa.RecordBatch, column: str) -> np.ndarray:
        values = batch[column]
        if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
            raise LabelAuditError(
                f"{self.what}: column {column!r} holds {values.type}, and must hold numbers."
            )
        if values.null_count:  # NaN, which is refused by row
            values = pc.fill_null(values.cast(pa.float64()), np.nan)
        return values.to_numpy(zero_copy_only=False)


def open_csv(path: Path, classes: Sequence[str], named: Sequence | None) -> Table:
    mark = separator(path)

    def open_it(convert: csv.ConvertOptions, block: int = 1 << 24):
        try:
            return csv.open_csv(
                path, csv.ReadOptions(block_size=block), csv.ParseOptions(delimiter=mark), convert
            )
        except pa.ArrowException as error:
            raise LabelAuditError(f"{path.name} cannot be read: {_line(error)}.") from error

    names = open_it(csv.ConvertOptions()).schema.names
    kinds = dict.fromkeys(names, pa.float64())
    kinds |= {name: pa.string() for name in names if name in (*PATHS, *INDEX)}
    kinds |= {name: pa.float64() for name in classes if name in INDEX}
    kinds |= {name: pa.int64() for name in names if name in IDS}

    def read(columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        convert = csv.ConvertOptions(
            include_columns=columns, column_types={name: kinds[name] for name in columns}
        )
        try:
            for batch in open_it(convert):
                yield from (batch.slice(at, rows) for at in range(0, len(batch), rows))
        except pa.ArrowException as error:
            raise LabelAuditError(f"{path.name}: {_line(error)}.") from error

    return _table(path.name, names, {}, read, classes, named)


def open_parquet(path: Path, classes: Sequence[str], named: Sequence | None) -> Table:
    try:
        file = parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise LabelAuditError(f"{path.name} cannot be read as Parquet: {error}.") from error

    def read(columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        yield from file.iter_batches(rows, columns=columns)

    there = file.schema_arrow
    types = dict(zip(there.names, there.types, strict=True))
    return _table(path.name, there.names, types, read, classes, named)


def of_frame(frame: pd.DataFrame, classes: Sequence[str], named: Sequence | None) -> Table:
    frame = with_keys(frame).rename(columns=str)

    def read(columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(frame), rows):
            some = frame[columns].iloc[start : start + rows]
            try:
                made = pa.Table.from_pandas(some, preserve_index=False).combine_chunks()
            except pa.ArrowException as error:
                raise LabelAuditError(f"the frame: {_line(error)}.") from error
            yield from made.to_batches()

    _check_unique("the frame", list(frame.columns))
    head = next(read(list(frame.columns), PROBED_ROWS), None)
    types = {} if head is None else dict(zip(head.schema.names, head.schema.types, strict=True))
    return _table("the frame", list(frame.columns), types, read, classes, named)


def _table(
    what: str, names: list[str], types: dict[str, pa.DataType], read: Reader,
    classes: Sequence[str], named: Sequence | None,
) -> Table:  # fmt: skip
    """The table, once it is clear what its columns are. named: classes that the caller gave."""
    _check_unique(what, names)
    lists = [name for name in names if name in NUMBERS and _is_list(types.get(name))]
    if lists:
        columns, names_of = lists[:1], named
    else:
        columns = names_of = _class_columns(what, names, classes, named)
    keys = [next((name for name in names if name in some and name not in columns), None)
            for some in (IDS, PATHS, INDEX)]  # fmt: skip
    if keys[:2] != [None, None]:
        keys[2] = None  # the row is named otherwise
    vectors = next((n for n in names if n in EMBEDDINGS and _is_list(types.get(n))), None)
    ids, paths, in_order, rows = _read_keys(what, read, *keys, columns[0])
    table = Table(
        what, rows, len(columns), names_of, NUMBERS[columns[0]] if lists else None, ids, paths,
        [name for name in names if name not in (*columns, *keys, vectors)],
        in_order=in_order, read=read, columns=columns, of_lists=bool(lists), vectors=vectors,
    )  # fmt: skip
    if lists:
        table.width = _length(read, columns[0])
    if vectors:
        table.embedded = _length(read, vectors)
    return table


def _check_unique(what: str, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise LabelAuditError(f"{what} has the column {twice!r} twice: leave one of them.")


def _class_columns(
    what: str, names: list[str], classes: Sequence[str], named: Sequence | None
) -> list[str]:
    """The columns of the classes that are named; else those that are called like a class of the
    dataset; else those that are called 0, 1, 2 …"""
    if named is not None:
        wanted = [text(name) for name in named]
        lacking = next((name for name in wanted if name not in names), None)
        if lacking is not None:
            raise LabelAuditError(
                f"{what} has no column {lacking!r}: its columns are {shown(names)}."
            )
        return wanted
    found = [name for name in names if name in set(classes)]
    numbered = [name for name in names if name.isdecimal()]
    if not found and numbered == [str(i) for i in range(len(classes))]:
        return numbered
    if not found:
        raise LabelAuditError(
            f"{what} has no column that is called like a class of the dataset "
            f"({shown(list(classes))}): its columns are {shown(names)}."
        )
    return found


def _read_keys(
    what: str, read: Reader, id_column: str | None, path_column: str | None,
    index_column: str | None, any_column: str,
) -> tuple[np.ndarray | None, pa.Array | None, bool, int]:  # fmt: skip
    """Ids, filepaths, whether the index is 0, 1, 2 …, and how many rows there are: in one pass over
    narrow columns."""
    columns = [name for name in (id_column, path_column, index_column) if name is not None]
    found: dict[str, list[pa.Array]] = {name: [] for name in columns}
    rows = 0
    for batch in read(columns or [any_column], 1 << 18):
        rows += len(batch)
        for name in columns:
            found[name].append(batch[name])
    ids = paths = None
    if id_column is not None:
        values = pa.chunked_array(found[id_column] or [pa.array([], pa.int64())])
        if values.null_count:
            row = int(np.flatnonzero(pc.is_null(values).to_numpy())[0])
            raise LabelAuditError(f"{what}, row {row + 1:,}: the id is empty.")
        ids = whole_numbers(values.to_numpy(), rows, what)
    if path_column is not None:
        texts = pa.chunked_array(found[path_column] or [pa.array([], pa.string())])
        paths = unguard(texts.cast(pa.string())).combine_chunks()
    in_order = index_column is None or _counts_up(pa.chunked_array(found[index_column]))
    return ids, paths, in_order, rows


def _counts_up(values: pa.ChunkedArray) -> bool:
    try:
        numbers = values.cast(pa.int64())
    except pa.ArrowException:
        return False
    return not numbers.null_count and np.array_equal(numbers.to_numpy(), np.arange(len(numbers)))


def _is_list(kind: pa.DataType | None) -> bool:
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return kind is not None and any(check(kind) for check in checks)


def _length(read: Reader, column: str) -> int:
    head = next(read([column], PROBED_ROWS), None)
    return 0 if head is None or not head[column].is_valid()[0].as_py() else len(head[column][0])


def _lists(values: pa.Array, width: int, what: str, column: str) -> np.ndarray:
    """A column of lists as (n, width); an error for one that is of another length."""
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    if values.null_count or (lengths != width).any():
        other = lengths[lengths != width]
        raise LabelAuditError(
            f"{what}: the lists of column {column!r} must all be of one length; the first has "
            f"{width:,} numbers, another {other[0] if len(other) else 0:,}."
        )
    return values.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def _line(error: Exception) -> str:
    return str(error).split("\n")[0].rstrip(".")
