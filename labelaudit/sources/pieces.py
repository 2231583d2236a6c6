"""What stands in a table of images: CSV and Parquet piece by piece, JSON whole."""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
from pyarrow import csv, parquet

from ..core.errors import LabelAuditError
from .listing import Listing, reason

TABLES = (".csv", ".tsv", ".parquet")  # are read piece by piece
ROW_BYTES = 4 << 20  # a CSV is read in blocks of so many, and none of its rows is longer
PATH, METADATA_PATH, LABEL = "filepath", "file_name", "label"


def column_names(listing: Listing) -> list[str]:
    """Without reading a large table whole. Raises LabelAuditError where it cannot be read."""
    with told(listing):
        if listing.suffix == ".parquet":
            with open_parquet(listing) as file:
                return file.schema_arrow.names
        if listing.suffix in (".csv", ".tsv"):
            with listing.open() as file:
                return _csv(listing, file).schema.names
    rows = [listing.json] if isinstance(listing.json, dict) else listing.json
    return list(rows[0]) if isinstance(rows, list) and rows and isinstance(rows[0], dict) else []


def raw_batches(listing: Listing, rows: int) -> Iterator[pa.Table]:
    with told(listing):
        if listing.suffix == ".parquet":
            with open_parquet(listing) as file:
                for batch in file.iter_batches(rows):
                    yield pa.Table.from_batches([batch])
            return
        with listing.open() as file:
            names = _csv(listing, file).schema.names
        with listing.open() as file:  # all is text: a label may look like a number, or a date
            for batch in _csv(listing, file, dict.fromkeys(names, pa.string())):
                yield pa.Table.from_batches([batch])


@contextmanager
def told(listing: Listing) -> Iterator[None]:
    """What goes wrong in reading, in one sentence."""
    try:
        yield
    except (pa.ArrowException, ValueError, OSError, EOFError, zlib.error) as error:
        raise LabelAuditError(
            f"{listing.name} cannot be read as {listing.suffix[1:]}: {reason(error)}."
        ) from error


def open_parquet(listing: Listing) -> parquet.ParquetFile:
    """Of a file on disk only what is asked for is read; of one in an archive all."""
    file = listing.open()
    file = file if isinstance(file, io.BufferedReader) else io.BytesIO(listing.content)
    return parquet.ParquetFile(file)


def _csv(listing: Listing, file: IO[bytes], types: dict | None = None) -> csv.CSVStreamingReader:
    encoding, delimiter = _dialect(listing.head)
    return csv.open_csv(
        file,
        # in threads it could not tell the line of an error
        read_options=csv.ReadOptions(use_threads=False, block_size=ROW_BYTES, encoding=encoding),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=types, strings_can_be_null=True, null_values=[""]
        ),
    )


def _dialect(head: bytes) -> tuple[str, str]:
    """A CSV's encoding, by the mark at its beginning, and what parts its cells."""
    encoding = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf8"
    header = head.decode(encoding, errors="replace").split("\n", 1)[0]
    return encoding, max(",;\t", key=header.count)


def parse_json(rows) -> pa.Table:
    """JSON lines, or one JSON array of objects. Not Arrow's reader, which takes a label that
    looks like a date for one."""
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("each line must be an object with filepath and label")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    for name in columns.keys() & {PATH, METADATA_PATH, LABEL, "split"}:
        odd = next((i for i, v in enumerate(columns[name]) if isinstance(v, (dict, list))), None)
        if odd is not None:
            raise ValueError(f"{name} of row {odd + 1} must be text, not a list or an object")
    for name in columns.keys() - {"id", "tags"}:
        columns[name] = [None if v is None else str(v) for v in columns[name]]
    return pa.table(columns)
