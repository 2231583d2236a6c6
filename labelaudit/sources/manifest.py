"""Tables of images: `filepath,label` and optionally `split`, `id` and `tags`; or, as in Hugging
Face's ImageFolder, `file_name` and a column of labels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import BadInputError
from .class_list import class_list_name, parse_class_list
from .image_list import COLUMNS, HOW_TO_SET_LABEL, MAX_ERROR_TEXT, ImageList, ListFile
from .labels import check_one_label, number_notes, read_numbers
from .manifest_columns import (
    check_filepaths,
    check_unique,
    id_column,
    replaced,
    tag_column,
    text_column,
)
from .source import class_names
from .table_reader import (
    BATCHED_SUFFIXES,
    FILE_NAME,
    FILEPATH,
    LABEL,
    column_names,
    open_parquet,
    parse_json,
    read_batches,
    read_errors,
)

SUFFIXES = {".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet"}

BATCH_ROWS = 50_000
MAX_ROWS = 50_000_000  # a Parquet file of a few bytes can declare any number
MAX_CLASSES = 1_000_000  # a column with more values holds ids or the like, not labels


def is_manifest(file: ListFile) -> bool:
    """Whether the table has a column `filepath` and no `file_name`."""
    names = column_names(file)
    return FILEPATH in names and FILE_NAME not in names


def is_metadata(file: ListFile) -> bool:
    """Whether the table has a column `file_name`, as in an ImageFolder."""
    return FILE_NAME in column_names(file)


def read_manifest(file: ListFile, label: str | None = None) -> ImageList:
    """Read and check a manifest.

    label: the column of the labels, by default `label`. If LabelAudit wrote a class list next to
    it, that sets the class order, and blanks at the ends of names are kept.
    Raises LabelAuditError that names the file and the row.
    """
    data = file.read_sibling(class_list_name(PurePosixPath(file.name).name))
    class_list = None if data is None else parse_class_list(data)
    columns = {"filepath": FILEPATH, "label": label or LABEL}
    images = _read(_ManifestTable(file, columns, exact=class_list is not None), repeats=True)
    listed_classes = (class_list or {}).get("classes", ())
    images.classes = list(dict.fromkeys([*listed_classes, *images.classes]))
    return images


def read_metadata(file: ListFile, label: str | None = None) -> ImageList:
    """Read the metadata file of an ImageFolder. A column `id` is ignored: its meaning is unknown.

    label: the column of the labels; by default `label`, or the only other column.
    """
    names = column_names(file)
    others = [name for name in names if name not in (FILE_NAME, "split", "tags", "id")]
    if label is None and LABEL not in others:
        if len(others) != 1:
            raise BadInputError(
                f"{file.name} has no column 'label'; besides file_name it has "
                f"{', '.join(others) or 'none'}: name the column with the labels "
                f"({HOW_TO_SET_LABEL})."
            )
        label = others[0]
    columns = {"filepath": FILE_NAME, "label": label or LABEL, "id": None}
    return _read(_ManifestTable(file, columns), repeats=False)


def _read(table: _ManifestTable, repeats: bool) -> ImageList:
    return ImageList(table, table.check(), allow_repeats=repeats, notes=table.notes)


class _ManifestTable:
    """The rows of a manifest with the schema COLUMNS.

    The file is read twice, each time in batches: once to check it, once to load the images.
    """

    def __init__(self, file: ListFile, columns: dict[str, str | None], exact: bool = False) -> None:
        """columns: names in the file that differ from COLUMNS; None for a column to ignore.
        exact: keep blanks at the ends of names."""
        self.name, self._file, self._exact = file.name, file, exact
        # cells that a spreadsheet would run as formulas are escaped in these formats
        self._escaped = file.suffix in (".csv", ".tsv")
        self._columns = {name: columns.get(name, name) for name in COLUMNS.names}
        self._rows = 0
        self._read_as: dict[str, str | None] = {}  # labels that mean another, or none as -1 does

    def __len__(self) -> int:
        return self._rows

    def check(self) -> list[str]:
        """Read the whole table. Returns its classes; raises LabelAuditError that names the row."""
        self._check_columns()
        if self._file.suffix == ".parquet":  # the declared number; the real one is counted below
            with read_errors(self._file), open_parquet(self._file) as file:
                self._check_row_count(file.metadata.num_rows)
        labels: set[str | None] = set()
        ids: list[np.ndarray] = []
        for batch in self.to_batches(BATCH_ROWS):
            labels.update(pc.unique(batch["label"]).to_pylist())
            if len(labels) > MAX_CLASSES:
                raise BadInputError(
                    f"{self.name} has more than {MAX_CLASSES:,} different labels in the column "
                    f"{self._columns['label']!r}: name the column with the labels "
                    f"({HOW_TO_SET_LABEL})."
                )
            if batch["id"].null_count < len(batch):
                ids.append(batch["id"].to_numpy())
            self._rows += len(batch)
            self._check_row_count(self._rows)
        if not self._rows:
            raise BadInputError(f"{self.name} has no rows: add one row per image.")
        if ids:
            check_unique(np.concatenate(ids), self.name)
        if not self._exact:
            check_one_label(labels, self.name)
            self._read_as = read_numbers(labels, self.name)
        found = class_names(self._read_as.get(label, label) for label in labels)
        ordered = [name for name in self._categories() if name in set(found)]
        return list(dict.fromkeys([*ordered, *found]))

    def to_batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        first = 0
        whole = self._json
        for batch in read_batches(self._file, rows) if whole is None else [whole]:
            yield from self._to_columns(batch, first).to_batches(rows)
            first += len(batch)

    @cached_property
    def _json(self) -> pa.Table | None:
        """The table of a JSON file, which is parsed as a whole, once."""
        if self._file.suffix in BATCHED_SUFFIXES:
            return None
        with read_errors(self._file):
            return parse_json(self._file.json)

    def _categories(self) -> list[str]:
        """Return the categories of the labels in their order, if pandas wrote them to Parquet."""
        if self._file.suffix != ".parquet":
            return []
        for batch in read_batches(self._file, 1):
            values = batch[self._columns["label"]].combine_chunks()
            if pa.types.is_dictionary(values.type):
                return list(map(str, values.dictionary.to_pylist()))
            break
        return []

    @property
    def notes(self) -> list[str]:
        """Sentences about how the table was read."""
        return number_notes(self._read_as)

    def _check_row_count(self, rows: int) -> None:
        if rows > MAX_ROWS:
            raise BadInputError(
                f"{self.name} has more than {MAX_ROWS:,} rows: split it into several files."
            )

    def _check_columns(self) -> None:
        names = column_names(self._file) if self._json is None else self._json.column_names
        columns = self._columns
        repeated = [name for name in columns.values() if name and names.count(name) > 1]
        if repeated:
            raise BadInputError(
                f"{self.name} has the column {repeated[0]!r} twice: remove one of them."
            )
        missing = [columns[c] for c in ("filepath", "label") if columns[c] not in names]
        if missing:
            raise BadInputError(
                f"{self.name} has no column {missing[0]!r}: it has {_shorten(names)}; it needs "
                f"{columns['filepath']} and {columns['label']}, and may have split, id and tags."
            )

    def _to_columns(self, batch: pa.Table, first: int) -> pa.Table:
        """Convert a batch to COLUMNS. first: how many rows precede it."""
        names, escaped = self._columns, self._escaped
        try:
            columns = {
                column: text_column(batch, names[column], escaped, self._exact)
                for column in ("filepath", "label", "split")
            }
            columns["tags"] = tag_column(batch, escaped)
        except pa.ArrowException as error:
            raise BadInputError(
                f"{self.name}: {names['filepath']}, {names['label']} and split must be text, "
                f"and tags text or lists of text: {error}."
            ) from error
        columns["label"] = replaced(columns["label"], self._read_as)
        columns["id"] = id_column(batch, self.name, names["id"], first)
        check_filepaths(columns["filepath"], self.name, names["filepath"], first)
        return pa.table([columns[column] for column in COLUMNS.names], schema=COLUMNS)


def _shorten(names: list[str]) -> str:
    names = [" ".join(name.split()) for name in names]
    shown = ", ".join(names[:12])[:MAX_ERROR_TEXT]
    return shown + (" …" if len(shown) < len(", ".join(names)) else "")
