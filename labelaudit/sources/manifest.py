"""A table of images: `filepath,label` and, if wanted, `split`, `id` and `tags`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from ..cells import TAG_SEPARATOR, unguard
from ..errors import LabelAuditError
from .class_list import class_list_of, read_class_list
from .source import Row, Source, classes_of

SUFFIXES = {".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet"}
COLUMNS = ("filepath", "label", "split", "id", "tags")


def open_manifest(path: Path, root: Path | None = None) -> Source:
    """File paths are taken as relative to `root`, by default the manifest's folder."""
    known = read_class_list(path.with_name(class_list_of(path.name)))
    table = read_manifest(path.read_bytes(), path.name, exact=known is not None)
    folder = root or path.parent
    classes = known and known["classes"]
    return manifest_source(
        f"manifest {path}", table, lambda name: str(folder / name), None, classes
    )


def manifest_source(
    description: str, table: pa.Table, locate: Callable[[str], str], load=None, classes=None
) -> Source:
    """A source of the rows that `read_manifest` gave; `locate` turns a filepath into the stored.

    classes: names in their order; those that are not among them come after them."""
    rows_of = table.to_pylist

    def rows() -> Iterator[Row]:
        for row in rows_of():
            yield {**row, "filepath": locate(row["filepath"])}

    found = classes_of(pc.unique(table["label"]).to_pylist())
    classes = list(dict.fromkeys([*(classes or ()), *found]))
    return Source(description, classes, len(table), rows, load=load)


def read_manifest(data: bytes, name: str, exact: bool = False) -> pa.Table:
    """The table with exactly the columns of COLUMNS, checked. Errors name the file and the row.

    exact: blanks at the ends of a name belong to it."""
    table = _parse(data, name)
    twice = [c for c in COLUMNS if table.column_names.count(c) > 1]
    if twice:
        raise LabelAuditError(f"{name} has the column {twice[0]!r} twice: leave one of them.")
    missing = [column for column in ("filepath", "label") if column not in table.column_names]
    if missing:
        raise LabelAuditError(
            f"{name} has no column {missing[0]!r}: it has {', '.join(table.column_names)}; "
            f"it needs filepath and label, and may have split, id and tags."
        )
    if not len(table):
        raise LabelAuditError(f"{name} has no rows: give one a line for each image.")
    try:
        guarded = Path(name).suffix.lower() in (".csv", ".tsv")  # what a spreadsheet opens
        columns = {
            column: _text(table, column, guarded, exact)
            for column in ("filepath", "label", "split")
        }
        columns["tags"] = _tags(table, guarded)
    except pa.ArrowException as error:
        raise LabelAuditError(
            f"{name}: filepath, label and split must be text, tags text or lists of it: {error}."
        ) from error
    columns["id"] = _ids(table, name)
    empty = pc.is_null(columns["filepath"])
    if pc.any(empty).as_py():
        row = _first(empty)
        raise LabelAuditError(f"{name}, row {row}: the filepath is empty; fill it or drop the row.")
    return pa.table({column: columns[column] for column in COLUMNS})


def _parse(data: bytes, name: str) -> pa.Table:
    suffix = Path(name).suffix.lower()
    try:
        if suffix == ".parquet":
            return parquet.read_table(io.BytesIO(data))
        if suffix in (".csv", ".tsv"):
            return _parse_csv(data)
        return _parse_json(data)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise LabelAuditError(f"{name} cannot be read as {suffix[1:]}: {error}.") from error


def _parse_csv(data: bytes) -> pa.Table:
    header = data.split(b"\n", 1)[0]
    delimiter = max(b",;\t".decode(), key=lambda mark: header.count(mark.encode()))
    text = {column: pa.string() for column in ("filepath", "label", "split", "tags")}
    return csv.read_csv(
        io.BytesIO(data),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=text, strings_can_be_null=True, null_values=[""]
        ),
    )


def _parse_json(data: bytes) -> pa.Table:
    """JSON lines, or one JSON array of objects. Not Arrow's reader, which takes a label that
    looks like a date for one."""
    text = data.decode("utf-8-sig")
    lines = (line for line in text.split("\n") if line.strip())
    rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(li) for li in lines]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("each line must be an object with filepath and label")
    names = list(dict.fromkeys(name for row in rows for name in row if name in COLUMNS))
    columns = {name: [row.get(name) for row in rows] for name in names}
    for name in {"filepath", "label", "split"} & columns.keys():
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
