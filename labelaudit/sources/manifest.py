"""A table of images: `filepath,label` and, if wanted, `split`, `id` and `tags`; or, as Hugging
Face's ImageFolder has it, `file_name` and a column with the labels."""

from __future__ import annotations

import io
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from ..cells import TAG_SEPARATOR, unguard
from ..errors import LabelAuditError
from .class_list import class_list_of, parse_class_list
from .listing import COLUMNS, SAY_LABEL, Listed, Listing
from .source import classes_of

SUFFIXES = {".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet"}
PATH, METADATA_PATH = "filepath", "file_name"
LABEL = "label"


def is_manifest(listing: Listing) -> bool:
    names = _column_names(listing)
    return PATH in names and METADATA_PATH not in names


def is_metadata(listing: Listing) -> bool:
    return METADATA_PATH in _column_names(listing)


def read_manifest(listing: Listing, label: str | None = None) -> Listed:
    """Checked. Errors name the file and the row. label: the column with the labels, by default
    that of this name. What an export of ours wrote beside it says the order of the classes, and
    that blanks at the ends of a name belong to it."""
    company = listing.beside(class_list_of(PurePosixPath(listing.name).name))
    known = None if company is None else parse_class_list(company)
    called = {"filepath": PATH, "label": label or LABEL}
    table = _checked(_parse(listing), listing, called, exact=known is not None)
    found = classes_of(pc.unique(table["label"]).to_pylist())
    classes = dict.fromkeys([*(known or {}).get("classes", ()), *found])
    return Listed(table, list(classes), repeats=True)


def read_metadata(listing: Listing, label: str | None = None) -> Listed:
    """Its `id`, if it has one, is not taken for ours: nothing is known of it."""
    table = _parse(listing)
    others = [c for c in table.column_names if c not in (METADATA_PATH, "split", "tags", "id")]
    if label is None and LABEL not in others:
        if len(others) != 1:
            raise LabelAuditError(
                f"{listing.name} has no column 'label' but {', '.join(others) or 'none'} beside "
                f"file_name: name the one with the labels ({SAY_LABEL})."
            )
        label = others[0]
    table = table.drop_columns([c for c in ["id"] if c in table.column_names])
    table = _checked(table, listing, {"filepath": METADATA_PATH, "label": label or LABEL})
    return Listed(table, classes_of(pc.unique(table["label"]).to_pylist()))


def _checked(
    table: pa.Table, listing: Listing, called: dict[str, str], exact: bool = False
) -> pa.Table:
    """The table with exactly COLUMNS. called: what the columns are called in it. exact: blanks at
    the ends of a name belong to it."""
    name = listing.name
    guarded = listing.suffix in (".csv", ".tsv")  # what a spreadsheet opens
    called = {column: called.get(column, column) for column in COLUMNS.names}
    twice = [c for c in called.values() if table.column_names.count(c) > 1]
    if twice:
        raise LabelAuditError(f"{name} has the column {twice[0]!r} twice: leave one of them.")
    missing = [called[c] for c in ("filepath", "label") if called[c] not in table.column_names]
    if missing:
        raise LabelAuditError(
            f"{name} has no column {missing[0]!r}: it has {', '.join(table.column_names)}; "
            f"it needs {called['filepath']} and {called['label']}, and may have split, id and tags."
        )
    if not len(table):
        raise LabelAuditError(f"{name} has no rows: give one a line for each image.")
    try:
        columns = {
            c: _text(table, called[c], guarded, exact) for c in ("filepath", "label", "split")
        }
        columns["tags"] = _tags(table, guarded)
    except pa.ArrowException as error:
        raise LabelAuditError(
            f"{name}: {called['filepath']}, {called['label']} and split must be text, tags text or "
            f"lists of it: {error}."
        ) from error
    columns["id"] = _ids(table, name)
    empty = pc.is_null(columns["filepath"])
    if pc.any(empty).as_py():
        raise LabelAuditError(
            f"{name}, row {_first(empty)}: the {called['filepath']} is empty; "
            "fill it or drop the row."
        )
    return pa.table([columns[column] for column in COLUMNS.names], schema=COLUMNS)


def _column_names(listing: Listing) -> list[str]:
    """Without reading a large file whole. Raises LabelAuditError where it cannot be read."""
    if listing.suffix == ".parquet":
        return _parse(listing, lambda data: parquet.read_schema(io.BytesIO(data)).names)
    if listing.suffix in (".csv", ".tsv"):
        header, delimiter = _header(listing.content)
        return [name.strip().strip('"') for name in header.split(delimiter)]
    rows = [listing.json] if isinstance(listing.json, dict) else listing.json
    return list(rows[0]) if isinstance(rows, list) and rows and isinstance(rows[0], dict) else []


def _parse(listing: Listing, read_parquet=lambda data: parquet.read_table(io.BytesIO(data))):
    try:
        if listing.suffix == ".parquet":
            return read_parquet(listing.content)
        if listing.suffix in (".csv", ".tsv"):
            return _parse_csv(listing.content)
        return _parse_json(listing.json)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise LabelAuditError(
            f"{listing.name} cannot be read as {listing.suffix[1:]}: {error}."
        ) from error


def _header(data: bytes) -> tuple[str, str]:
    """The first line of a CSV, and what parts its cells."""
    header = data.split(b"\n", 1)[0].decode("utf-8-sig", errors="replace").strip("\r")
    return header, max(",;\t", key=header.count)


def _parse_csv(data: bytes) -> pa.Table:
    header, delimiter = _header(data)
    numbers = {"id"}  # all else is text: a label may look like a number, or a date
    names = [name.strip('"') for name in header.split(delimiter)]
    return csv.read_csv(
        io.BytesIO(data),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types={name: pa.string() for name in names if name not in numbers},
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


def _parse_json(rows) -> pa.Table:
    """JSON lines, or one JSON array of objects. Not Arrow's reader, which takes a label that
    looks like a date for one."""
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("each line must be an object with filepath and label")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    for name in columns.keys() - {"id", "tags"}:
        columns[name] = [None if v is None else str(v) for v in columns[name]]
    return pa.table(columns)


def _text(table: pa.Table, column: str, guarded: bool, exact: bool) -> pa.ChunkedArray:
    if column not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), pa.string())])
    values = table[column].cast(pa.string())
    values = values if exact else pc.utf8_trim_whitespace(values)
    values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    return unguard(values) if guarded else values


def _ids(table: pa.Table, name: str) -> pa.ChunkedArray:
    if "id" not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), pa.int64())])
    try:
        ids = table["id"].cast(pa.int64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise LabelAuditError(f"{name}: the ids must be whole numbers: {error}.") from error
    if ids.null_count:
        row = _first(pc.is_null(ids))
        raise LabelAuditError(f"{name}, row {row}: the id is empty; fill it or drop the column.")
    values = ids.to_numpy()
    order = np.argsort(values, kind="stable")
    repeats = np.flatnonzero(np.diff(values[order]) == 0)
    if len(repeats):
        first, second = sorted(order[repeats[0] : repeats[0] + 2] + 1)
        raise LabelAuditError(
            f"{name}: id {values[first - 1]} stands in row {first} and in row {second}; "
            "make the ids unique, or drop the column."
        )
    return ids


def _tags(table: pa.Table, guarded: bool) -> pa.ChunkedArray:
    if "tags" not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), pa.list_(pa.string()))])
    tags = table["tags"]
    if pa.types.is_list(tags.type):
        return tags.cast(pa.list_(pa.string()))
    tags = tags.cast(pa.string())
    rows = (text or "" for text in (unguard(tags) if guarded else tags).to_pylist())
    lists = [[tag for part in text.split(TAG_SEPARATOR) if (tag := part.strip())] for text in rows]
    return pa.chunked_array([pa.array(lists, pa.list_(pa.string()))])


def _first(mask: pa.ChunkedArray) -> int:
    """The row, counted from 1 without the header, of the first True."""
    return int(np.flatnonzero(mask.to_numpy())[0]) + 1
