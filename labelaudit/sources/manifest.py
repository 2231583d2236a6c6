"""Tables of images: `filepath,label` and optionally `split`, `id` and `tags`; as in Hugging Face's
ImageFolder, `file_name` and a column of labels; or other usual names of these columns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import BadInputError
from .class_list import class_list_name, parse_class_list
from .image_list import COLUMNS, HOW_TO_SET_LABEL, ImageList, ListFile
from .labels import check_mostly_one, check_one_label, number_notes, read_numbers
from .list_columns import Columns, find_columns, normal, path_column
from .manifest_columns import (
    LabelsOfPaths,
    check_filepaths,
    check_unique,
    id_column,
    replaced,
    tag_column,
    text_column,
)
from .own_columns import OWN, OwnColumns, wanted_fields
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
LEAST_SEVERAL = 3  # images with several labels; fewer may be a file that is used twice
MAX_CLASSES = 1_000_000  # a column with more values holds ids or the like, not labels


def is_manifest(file: ListFile) -> bool:
    """Whether the table has a column `filepath` and no `file_name`."""
    names = set(map(normal, column_names(file)))
    return FILEPATH in names and normal(FILE_NAME) not in names and file.path_column is None


def is_metadata(file: ListFile) -> bool:
    """Whether the table has a column `file_name`, as in an ImageFolder."""
    return normal(FILE_NAME) in map(normal, column_names(file)) and file.path_column is None


def is_table(file: ListFile) -> bool:
    """Whether the table has a column whose name says that it holds images or their ids."""
    if file.json_document is not None and not isinstance(file.json_document, list):
        return False
    names = column_names(file)
    return bool(names) and path_column(file, names) is not None


def read_manifest(file: ListFile, label: str | None = None) -> ImageList:
    """Read and check a table of images.

    label: the column of the labels, by default `label` or one with another usual name. A column
    `id` is used only beside `filepath`: elsewhere its meaning is unknown. If LabelAudit wrote a
    class list next to the table, that sets the class order, and blanks at the ends of names are
    kept. Raises LabelAuditError that names the file and the row.
    """
    columns = find_columns(file, label)
    data = file.read_sibling(class_list_name(PurePosixPath(file.name).name))
    class_list = None if data is None else parse_class_list(data)
    if class_list and not file.fields:
        file.fields = wanted_fields(class_list.get("fields", {}))
    table = _ManifestTable(file, columns, exact=class_list is not None)
    classes = table.check()
    notes = table.notes
    if normal(columns.label) != LABEL and label is None:
        notes = [f"The labels are in the column {columns.label.strip()!r}.", *notes]
    images = ImageList(table, classes, allow_repeats=columns.is_manifest, notes=notes)
    images.label_column = columns.label
    images.fields = {name: kind or "text" for name, kind in table.own.kinds.items()}
    if images.fields:
        listed = ", ".join(f"{name} ({kind})" for name, kind in images.fields.items())
        images.notes = [*notes, f"Fields of their own: {listed}."]
    listed_classes = (class_list or {}).get("classes", ())
    images.classes = list(dict.fromkeys([*listed_classes, *images.classes]))
    return images


class _ManifestTable:
    """The rows of a manifest with the schema COLUMNS.

    The file is read twice, each time in batches: once to check it, once to load the images.
    """

    def __init__(self, file: ListFile, columns: Columns, exact: bool = False) -> None:
        """exact: keep blanks at the ends of names."""
        self.name, self._file, self._exact = file.name, file, exact
        # cells that a spreadsheet would run as formulas are escaped in these formats
        self._escaped = file.suffix in (".csv", ".tsv")
        self._columns = {
            "filepath": columns.path,
            "label": columns.label,
            "split": columns.split,
            "id": columns.id,
            "tags": columns.tags,
        }
        self.own = OwnColumns(file, column_names(file), self._escaped, exact)
        self._is_checked = False
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
        several = LabelsOfPaths()
        ids: list[np.ndarray] = []
        for batch in self.to_batches(BATCH_ROWS):
            labels.update(pc.unique(batch["label"]).to_pylist())
            several.add(batch["filepath"], batch["label"])
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
            count, single = several.counts()
            if count >= LEAST_SEVERAL:
                check_mostly_one(self.name, count, single)
            self._read_as = read_numbers(labels, self.name)
        more = self.own.settle([name for name in labels if name is not None])
        labels |= {self._read_as.get(label, label) for label in more}
        found = class_names(self._read_as.get(label, label) for label in labels)
        ordered = [name for name in self._categories() if name in set(found)]
        self._is_checked = True
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
            texts = (self._columns[name] for name in ("filepath", "label", "split"))
            return parse_json(self._file.json, [name for name in texts if name])

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

    def _to_columns(self, batch: pa.Table, first: int) -> pa.Table:
        """Convert a batch to COLUMNS. first: how many rows precede it."""
        names, escaped = self._columns, self._escaped
        try:
            columns = {
                column: text_column(batch, names[column], escaped, self._exact)
                for column in ("filepath", "label", "split")
            }
            columns["tags"] = tag_column(batch, names["tags"], escaped)
        except pa.ArrowException as error:
            raise BadInputError(
                f"{self.name}: {names['filepath']}, {names['label']} and split must be text, "
                f"and tags text or lists of text: {error}."
            ) from error
        columns["label"] = replaced(columns["label"], self._read_as)
        columns["id"] = id_column(batch, self.name, names["id"], first)
        check_filepaths(columns["filepath"], self.name, names["filepath"], first)
        table = pa.table([columns[column] for column in COLUMNS.names], schema=COLUMNS)
        if not self.own.kinds:
            return table
        if not self._is_checked:
            self.own.look(batch)
            return table
        values = self.own.values(batch, first, self._read_as)
        return table.append_column(OWN, values)
