"""Read tables of images: CSV and Parquet in batches, JSON as a whole."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
from pyarrow import csv, parquet

from ..core.csv_format import CsvFormat
from ..core.errors import DamagedError
from .image_list import BATCH_ROWS, ListFile, explain
from .labels import ONE_LABEL

BATCHED_SUFFIXES = (".csv", ".tsv", ".parquet")
ROW_BYTES = 4 << 20  # size of the blocks in which a CSV is read; no row can be longer
HEADER_ROWS = 1000  # JSON objects whose keys are the column names
FILEPATH, FILE_NAME, LABEL = "filepath", "file_name", "label"


def column_names(file: ListFile) -> list[str]:
    """Return the column names without reading a large table as a whole.

    Raises LabelAuditError if the file cannot be read.
    """
    with read_errors(file):
        if file.suffix == ".parquet":
            with open_parquet(file) as table:
                return table.schema_arrow.names
        if file.suffix in (".csv", ".tsv"):
            with file.open() as stream:
                return _open_csv(file, stream).schema.names
    rows = [file.json] if isinstance(file.json, dict) else file.json
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        return []
    return list(dict.fromkeys(key for row in rows[:HEADER_ROWS] if isinstance(row, dict)
                              for key in row))  # fmt: skip


def read_batches(file: ListFile, rows: int) -> Iterator[pa.Table]:
    """Yield the table in batches: of `rows` rows for Parquet, of ROW_BYTES bytes for CSV.

    Raises LabelAuditError if the file cannot be read.
    """
    with read_errors(file):
        if file.suffix == ".parquet":
            with open_parquet(file) as table:
                for batch in table.iter_batches(rows):
                    yield pa.Table.from_batches([batch])
            return
        with file.open() as stream:
            names = _open_csv(file, stream).schema.names
        with file.open() as stream:  # all columns are text: a label may look like a number or date
            for batch in _open_csv(file, stream, dict.fromkeys(names, pa.string())):
                yield pa.Table.from_batches([batch])


@contextmanager
def read_errors(file: ListFile) -> Iterator[None]:
    """Turn the errors of readers into a LabelAuditError of one sentence."""
    try:
        yield
    except (pa.ArrowException, ValueError, OSError, EOFError, zlib.error) as error:
        raise DamagedError(
            f"{file.name} cannot be read as {file.suffix[1:]}: {explain(error)}."
        ) from error


def open_parquet(file: ListFile) -> parquet.ParquetFile:
    """Open a Parquet file. On disk only the requested parts are read; in a zip, all of it."""
    stream = file.open()
    stream = stream if isinstance(stream, io.BufferedReader) else io.BytesIO(file.content)
    return parquet.ParquetFile(stream)


def _open_csv(
    file: ListFile, stream: IO[bytes], types: dict | None = None
) -> csv.CSVStreamingReader:
    return CsvFormat.of(file.head).open(stream, ROW_BYTES, types, texts_may_be_null=True)


def read_rows(file: ListFile, rows: int) -> pa.Table:
    """Return the first rows of the table. Raises LabelAuditError if the file cannot be read."""
    if file.suffix in BATCHED_SUFFIXES:
        batch = next(read_batches(file, rows), None)
        return pa.table({}) if batch is None else batch.slice(0, rows)
    with read_errors(file):
        return parse_json(file.json).slice(0, rows)


def row_count(file: ListFile) -> int:
    """Return the number of rows. Raises LabelAuditError if the file cannot be read."""
    if file.suffix == ".parquet":
        with read_errors(file), open_parquet(file) as table:
            return table.metadata.num_rows
    if file.suffix in BATCHED_SUFFIXES:
        return sum(len(batch) for batch in read_batches(file, BATCH_ROWS))
    return len(file.json)


def parse_json(rows, texts: Collection[str] = (FILEPATH, FILE_NAME, LABEL, "split")) -> pa.Table:
    """Turn JSON objects into a table. Raises ValueError if a row has the wrong shape.

    texts: columns that must be text or numbers.

    Arrow's own reader is not used because it takes labels that look like dates for dates.
    """
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("each line must be an object with filepath and label")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    for name, values in columns.items():
        values = [None if isinstance(v, float) and math.isnan(v) else v for v in values]
        lists = name in ("tags", FILEPATH, FILE_NAME, "split")
        columns[name] = values if lists else list(map(_unwrapped, values))
    for name in columns.keys() & set(texts):
        wrong = next((i for i, v in enumerate(columns[name]) if isinstance(v, (dict, list))), None)
        if wrong is not None:
            why = "" if name in (FILEPATH, FILE_NAME, "split") else f": {ONE_LABEL}"
            raise ValueError(
                f"{name} of row {wrong + 1} must be text, not a list or an object{why}"
            )
    for name in columns.keys() - {"id", "tags"}:
        columns[name] = list(map(_text, columns[name]))
    return pa.table(columns)


def _unwrapped(value):
    """Return the element of a list of one, None for an empty list; any other value unchanged."""
    if isinstance(value, list) and len(value) <= 1:
        return value[0] if value else None
    return value


def _text(value) -> str | None:
    """Return a value as text. A whole number is written without a fraction: pandas writes 1 as 1.0
    if another value of the column is missing. Raises ValueError for an infinite number."""
    if isinstance(value, float) and math.isinf(value):
        raise ValueError("it contains an infinite number; write a name instead")
    whole = isinstance(value, float) and value.is_integer()
    return None if value is None else str(int(value) if whole else value)
