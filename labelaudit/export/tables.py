"""Write tables as CSV, JSON lines or Parquet, to an open sink or atomically to a file."""

from __future__ import annotations

import codecs
import glob
import io
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from ..core.csv_cells import TAG_SEPARATOR, guard
from ..core.errors import StorageError
from ..dataset.own_fields import BOOL, DATE, LABEL, TEXT
from ..dataset.view import View
from ..dataset.view_table import OWN
from ..storage.locks import UseMark

PARTIAL = ".partial"  # suffix of a file that is being written


def write_table(table: pa.Table, target: str | os.PathLike | io.IOBase) -> int:
    """Write a table as CSV, in the same style as `write_suspects`. Returns the number of rows."""
    table = as_text(table)
    with open_sink(target) as sink, csv_writer(sink, table.schema) as out:
        out.write_table(table)
    return len(table)


_TEXTS = ["filepath", "split", "ground_truth", "predicted", "label"]
_TEXTS += ["suggested", "finding", "image_issues"]
_TYPES = {"id": pa.int64(), "tags": pa.list_(pa.string())} | dict.fromkeys(_TEXTS, pa.string())


_OWN_TYPES = {
    LABEL: pa.string(),
    TEXT: pa.string(),
    BOOL: pa.bool_(),
    DATE: pa.timestamp("us"),
}


def column(frame: pd.DataFrame, name: str) -> pa.Array:
    """Return a column of a chunk, with the same type for every chunk."""
    kind = frame.attrs.get(OWN, {}).get(name)
    types, key = (_TYPES, name) if kind is None else (_OWN_TYPES, kind)
    return pa.array(frame[name], types.get(key, pa.float64()), from_pandas=True)


def as_text(table: pa.Table) -> pa.Table:
    """Prepare a table for CSV: join the tags, write dates as ISO text without a time of 00:00:00,
    and escape formulas in texts."""
    for i, name in enumerate(table.column_names):
        values = table[name]
        if pa.types.is_list(values.type):
            values = pc.binary_join(values, TAG_SEPARATOR)
        if pa.types.is_timestamp(values.type):
            values = pc.replace_substring_regex(values.cast(pa.string()), r"(\.0+)$", "")
            values = pc.replace_substring_regex(values, " 00:00:00$", "")
            table = table.set_column(i, name, values)
        elif pa.types.is_string(values.type):
            table = table.set_column(i, name, guard(values))
    return table


def write_view(view: View, target, to_table: Callable, writer: Callable) -> int:
    """Write a view in chunks. Returns the number of rows.

    to_table: turns a chunk (DataFrame) into a table. writer: opens a table writer for a sink and a
    schema, such as `csv_writer`.
    """
    chunks: Iterator[pa.Table] = (to_table(frame) for frame in view.chunks())
    first = next(chunks)
    rows = 0
    with open_sink(target) as sink, writer(sink, first.schema) as out:
        for table in (first, *chunks):
            out.write_table(table)
            rows += len(table)
    return rows


@contextmanager
def open_sink(target) -> Iterator[IO[bytes]]:
    """Open a target for writing bytes. A file replaces an existing one only when it is complete,
    and has its permissions.

    Raises LabelAuditError if it cannot be written.
    """
    if hasattr(target, "write"):
        yield target
        return
    path = Path(os.path.realpath(target))  # the link stays, and the file it points to is replaced
    if path.exists() and not path.is_file():  # a pipe or a device is written to directly
        try:
            with path.open("wb") as sink:
                yield sink
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}.") from error
        return
    partial = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        for other in path.parent.glob(f".{glob.escape(path.name[:80])}.????????{PARTIAL}"):
            with UseMark(other).cleaning_up():  # of a killed process: it is deleted
                pass
        mark = UseMark(partial)
        mark.acquire()  # the umask sets the permissions of a new file
        if path.exists():
            partial.chmod(stat.S_IMODE(path.stat().st_mode))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(os.dup(mark.descriptor), "wb") as sink:
            yield sink
        os.replace(partial, path)
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
        mark.close()


def csv_writer(sink: io.IOBase, schema: pa.Schema, bom: bool = False) -> csv.CSVWriter:
    """Open a CSV writer for tables with this schema. bom: begin with a byte order mark, by which
    Excel recognises UTF-8."""
    if bom:
        sink.write(codecs.BOM_UTF8)
    return csv.CSVWriter(sink, schema, write_options=csv.WriteOptions(quoting_style="needed"))


def parquet_writer(sink: io.IOBase, schema: pa.Schema) -> parquet.ParquetWriter:
    """Open a Parquet writer for tables with this schema."""
    return parquet.ParquetWriter(sink, schema)


class jsonl_writer:  # noqa: N801 (used like the writers of Arrow)
    """Writes tables as JSON lines."""

    def __init__(self, sink: io.IOBase, schema: pa.Schema) -> None:
        self._sink = sink

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        return None

    def write_table(self, table: pa.Table) -> None:
        for at, column in enumerate(table.columns):
            if pa.types.is_floating(column.type):  # JSON has no NaN
                column = pc.if_else(pc.is_finite(column), column, None)
                table = table.set_column(at, table.column_names[at], column)
        rows = (json.dumps(row, ensure_ascii=False, default=_as_text) for row in table.to_pylist())
        self._sink.write("".join(f"{row}\n" for row in rows).encode())


def _as_text(value: date) -> str:
    """Return what JSON cannot hold: a date or a time, as ISO 8601."""
    return value.isoformat()
