"""A table of images: `filepath,label` and, if wanted, `split`, `id` and `tags`; or, as Hugging
Face's ImageFolder has it, `file_name` and a column with the labels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.csv_cells import TAG_SEPARATOR, unguard
from ..core.errors import LabelAuditError
from .class_list import class_list_of, parse_class_list
from .listing import COLUMNS, ERROR_LENGTH, SAY_LABEL, Listed, Listing
from .pieces import (
    LABEL,
    METADATA_PATH,
    PATH,
    TABLES,
    column_names,
    open_parquet,
    parse_json,
    raw_batches,
    told,
)  # fmt: skip
from .source import classes_of

SUFFIXES = {".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet"}

BATCH_ROWS = 50_000
MAX_ROWS = 50_000_000  # a Parquet file of a few bytes may say that it has any number
_WHOLE = r"^-?\d{1,18}(\.0*)?$"
MAX_CLASSES = 1_000_000  # more are no labels but, say, the ids


def is_manifest(listing: Listing) -> bool:
    names = column_names(listing)
    return PATH in names and METADATA_PATH not in names


def is_metadata(listing: Listing) -> bool:
    return METADATA_PATH in column_names(listing)


def read_manifest(listing: Listing, label: str | None = None) -> Listed:
    """Checked. Errors name the file and the row. label: the column with the labels, by default
    that of this name. What an export of ours wrote beside it says the order of the classes, and
    that blanks at the ends of a name belong to it."""
    company = listing.beside(class_list_of(PurePosixPath(listing.name).name))
    known = None if company is None else parse_class_list(company)
    called = {"filepath": PATH, "label": label or LABEL}
    found = _listed(_Table(listing, called, exact=known is not None), repeats=True)
    found.classes = list(dict.fromkeys([*(known or {}).get("classes", ()), *found.classes]))
    return found


def read_metadata(listing: Listing, label: str | None = None) -> Listed:
    """Its `id`, if it has one, is not taken for ours: nothing is known of it."""
    names = column_names(listing)
    others = [c for c in names if c not in (METADATA_PATH, "split", "tags", "id")]
    if label is None and LABEL not in others:
        if len(others) != 1:
            raise LabelAuditError(
                f"{listing.name} has no column 'label' but {', '.join(others) or 'none'} beside "
                f"file_name: name the one with the labels ({SAY_LABEL})."
            )
        label = others[0]
    called = {"filepath": METADATA_PATH, "label": label or LABEL, "id": None}
    return _listed(_Table(listing, called), repeats=False)


def _listed(table: _Table, repeats: bool) -> Listed:
    return Listed(table, table.check(), repeats=repeats)


class _Table:
    """The rows of a table, as COLUMNS: read once to check them, and again for their images, both
    times piece by piece."""

    def __init__(
        self, listing: Listing, called: dict[str, str | None], exact: bool = False
    ) -> None:
        """called: what the columns are called in it; None for one that is not to be read. exact:
        blanks at the ends of a name belong to it."""
        self.name, self._listing, self._exact = listing.name, listing, exact
        self._guarded = listing.suffix in (".csv", ".tsv")  # what a spreadsheet opens
        self._called = {column: called.get(column, column) for column in COLUMNS.names}
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def check(self) -> list[str]:
        """Read all of it. Returns the classes; raises LabelAuditError that names the row."""
        self._check_names(self._names())
        if self._listing.suffix == ".parquet":  # as it says; what it holds is counted, too
            with told(self._listing), open_parquet(self._listing) as file:
                self._check_rows(file.metadata.num_rows)
        labels: set[str | None] = set()
        ids: list[np.ndarray] = []
        for batch in self.to_batches(BATCH_ROWS):
            labels.update(pc.unique(batch["label"]).to_pylist())
            if len(labels) > MAX_CLASSES:
                raise LabelAuditError(
                    f"{self.name} has more than {MAX_CLASSES:,} different labels in the column "
                    f"{self._called['label']!r}: name the one with the labels ({SAY_LABEL})."
                )
            if batch["id"].null_count < len(batch):
                ids.append(batch["id"].to_numpy())
            self._rows += len(batch)
            self._check_rows(self._rows)
        if not self._rows:
            raise LabelAuditError(f"{self.name} has no rows: give one a line for each image.")
        if ids:
            _check_unique(np.concatenate(ids), self.name)
        return classes_of(labels)

    def _check_rows(self, rows: int) -> None:
        if rows > MAX_ROWS:
            raise LabelAuditError(
                f"{self.name} has more than {MAX_ROWS:,} rows: split it into several."
            )

    def to_batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        first = 0
        whole = self._json
        for batch in raw_batches(self._listing, rows) if whole is None else [whole]:
            yield from self._as_columns(batch, first).to_batches(rows)
            first += len(batch)

    @cached_property
    def _json(self) -> pa.Table | None:
        """JSON is parsed whole, and once."""
        if self._listing.suffix in TABLES:
            return None
        with told(self._listing):
            return parse_json(self._listing.json)

    def _names(self) -> list[str]:
        return column_names(self._listing) if self._json is None else self._json.column_names

    def _check_names(self, names: list[str]) -> None:
        called = {column: name for column, name in self._called.items() if name}
        twice = [c for c in called.values() if names.count(c) > 1]
        if twice:
            raise LabelAuditError(
                f"{self.name} has the column {twice[0]!r} twice: leave one of them."
            )
        missing = [called[c] for c in ("filepath", "label") if called[c] not in names]
        if missing:
            raise LabelAuditError(
                f"{self.name} has no column {missing[0]!r}: it has {_some(names)}; it needs "
                f"{called['filepath']} and {called['label']}, and may have split, id and tags."
            )

    def _as_columns(self, batch: pa.Table, first: int) -> pa.Table:
        """first: how many rows are before it."""
        called = self._called
        try:
            how = self._guarded, self._exact
            columns = {c: _text(batch, called[c], *how) for c in ("filepath", "label", "split")}
            columns["tags"] = _tags(batch, self._guarded)
        except pa.ArrowException as error:
            raise LabelAuditError(
                f"{self.name}: {called['filepath']}, {called['label']} and split must be text, "
                f"tags text or lists of it: {error}."
            ) from error
        columns["id"] = _ids(batch, self.name, called["id"], first)
        empty = pc.is_null(columns["filepath"])
        if pc.any(empty).as_py():
            raise LabelAuditError(
                f"{self.name}, row {first + _first(empty)}: the {called['filepath']} is empty; "
                "fill it or drop the row."
            )
        nul = pc.match_substring(columns["filepath"], "\0")
        if pc.any(nul).as_py():
            raise LabelAuditError(
                f"{self.name}, row {first + _first(nul)}: the {called['filepath']} holds a NUL "
                "byte, which no path has; write it again."
            )
        return pa.table([columns[column] for column in COLUMNS.names], schema=COLUMNS)


def _some(names: list[str]) -> str:
    names = [" ".join(name.split()) for name in names]
    shown = ", ".join(names[:12])[:ERROR_LENGTH]
    return shown + (" …" if len(shown) < len(", ".join(names)) else "")


# --- its columns ---


def _text(table: pa.Table, column: str, guarded: bool, exact: bool) -> pa.ChunkedArray:
    if column not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), pa.string())])
    values = table[column].cast(pa.string())
    values = values if exact else pc.utf8_trim_whitespace(values)
    values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    return unguard(values) if guarded else values


def _ids(table: pa.Table, name: str, column: str | None, first: int) -> pa.ChunkedArray:
    """first: how many rows are before these."""
    if column not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), pa.int64())])
    given = table[column]
    if pa.types.is_string(given.type):
        given = pc.utf8_trim_whitespace(given)
    try:
        ids = _whole(given)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        where, what = name, str(given.type)
        if pa.types.is_string(given.type):
            odd = pc.invert(pc.match_substring_regex(pc.fill_null(given, "0"), _WHOLE))
            at = _first(odd) if pc.any(odd).as_py() else 1
            where, what = f"{name}, row {first + at}", repr(given[at - 1].as_py())[:ERROR_LENGTH]
        raise LabelAuditError(
            f"{where}: ids must be whole numbers below 2^63, not {what}; mend it, or drop the "
            "column."
        ) from error
    if ids.null_count:
        row = first + _first(pc.is_null(ids))
        raise LabelAuditError(f"{name}, row {row}: the id is empty; fill it or drop the column.")
    return ids


def _whole(given: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return given.cast(pa.int64())
    except pa.ArrowInvalid:  # pandas writes 7 as 7.0 where a row had none
        return given.cast(pa.float64()).cast(pa.int64())


def _check_unique(ids: np.ndarray, name: str) -> None:
    order = np.argsort(ids, kind="stable")
    repeats = np.flatnonzero(np.diff(ids[order]) == 0)
    if len(repeats):
        first, second = sorted(order[repeats[0] : repeats[0] + 2] + 1)
        raise LabelAuditError(
            f"{name}: id {ids[first - 1]} stands in row {first} and in row {second}; "
            "make the ids unique, or drop the column."
        )


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
