"""Columns of a table that become the user's own fields of the samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import BadInputError
from ..dataset import own_fields
from ..dataset.own_fields import BOOL, DATE, INPUT_TYPES, LABEL, NUMBER, TEXT
from .image_list import MAX_ERROR_TEXT, ListFile
from .list_columns import named_column
from .manifest_columns import replaced, text_column

HOW_TO_SET = "fields=… in Python, --field on the command line"
OWN = "own"  # column of an image list, and key of its rows: the values by field
_GUESSES = (BOOL, NUMBER, DATE)  # a text is none of these; all classes are labels
_MOST_LABELS = 100_000  # distinct values of a column that may be labels


def wanted_fields(fields: Mapping[str, str | None] | Sequence[str] | str) -> dict[str, str | None]:
    """Return the kind of each field that the user names, or None to find out.

    Raises BadInputError for a kind or a name that a field cannot have.
    """
    if isinstance(fields, str):
        fields = [fields]
    wanted = dict(fields) if isinstance(fields, Mapping) else dict.fromkeys(fields)
    for name, kind in wanted.items():
        own_fields.check_definition(name, kind or TEXT)
    return wanted


class OwnColumns:
    """The own fields of one table. `kinds` is complete after `settle`."""

    def __init__(self, file: ListFile, names: Sequence[str], escaped: bool, exact: bool) -> None:
        """names: of all columns. escaped, exact: see `text_column`."""
        self._file, self._escaped, self._exact = file.name, escaped, exact
        self.kinds: dict[str, str | None] = dict(file.fields)
        self.columns = {
            name: named_column(file, names, name, "the field", HOW_TO_SET) for name in self.kinds
        }
        self._possible = {name: {*_GUESSES} for name, kind in self.kinds.items() if kind is None}
        self._distinct: dict[str, set[str]] = {name: set() for name in self._possible}
        self._labels: set[str | None] = set()

    def look(self, batch: pa.Table) -> None:
        """Read the values of a batch, to find out the kinds and the classes."""
        for name, kind in self.kinds.items():
            if kind not in (None, LABEL):
                continue
            found = set(pc.unique(self._texts(batch, name)).to_pylist()) - {None}
            if kind == LABEL:
                self._labels |= found
                continue
            self._possible[name] = {
                kind for kind in self._possible[name] if all(map(_parsers[kind], found))
            }
            if len(self._distinct[name]) <= _MOST_LABELS:
                self._distinct[name] |= found

    def settle(self, classes: Sequence[str]) -> set[str | None]:
        """Choose the kinds that the user left open. classes: of the column of labels.

        Returns the classes of all own fields that are labels.
        """
        for name, values in self._distinct.items():
            if values and values <= set(classes):
                self.kinds[name] = LABEL
            elif values and self._possible[name]:
                self.kinds[name] = next(kind for kind in _GUESSES if kind in self._possible[name])
            else:
                self.kinds[name] = TEXT
        return self._labels

    def values(self, batch: pa.Table, first: int, read_as: dict[str, str | None]) -> pa.StructArray:
        """Return the values of a batch. first: how many rows precede it. read_as: labels that mean
        another. Raises BadInputError that names the row of a value that does not fit."""
        columns = []
        for name, kind in self.kinds.items():
            texts = self._texts(batch, name)
            if kind == LABEL:
                texts = replaced(texts, read_as)
            if kind in _parsers:
                cells = [
                    None if text is None else self._parse(name, kind, text, first + row)
                    for row, text in enumerate(texts.to_pylist(), 1)
                ]
                columns.append(pa.array(cells, INPUT_TYPES[kind]))
            else:
                columns.append(texts.combine_chunks())
        return pa.StructArray.from_arrays(columns, fields=list(self.type))

    @property
    def type(self) -> pa.StructType:
        """The type of `values`."""
        return pa.struct([(name, INPUT_TYPES[kind or TEXT]) for name, kind in self.kinds.items()])

    def _texts(self, batch: pa.Table, name: str) -> pa.ChunkedArray:
        return text_column(batch, self.columns[name], self._escaped, self._exact)

    def _parse(self, name: str, kind: str, text: str, row: int):
        found = _parsers[kind](text)
        if found is None:
            wanted = {NUMBER: "a finite number", BOOL: "true or false", DATE: "an ISO date"}[kind]
            raise BadInputError(
                f"{self._file}, row {row}: {text[:MAX_ERROR_TEXT]!r} in the column "
                f"{self.columns[name]!r} is not {wanted}: correct it, or load the field as text "
                f"({HOW_TO_SET})."
            )
        return found[0]


def _number(text: str) -> tuple[float] | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return (value,) if "_" not in text and abs(value) < float("inf") else None


def _bool(text: str) -> tuple[bool] | None:
    word = text.casefold()
    return (word == "true",) if word in ("true", "false") else None


def _date(text: str) -> tuple[object] | None:
    seconds = own_fields.to_seconds(text)
    return None if seconds is None else (own_fields.from_seconds(seconds),)


# Each returns the value in a tuple; None for a text that is none.
_parsers: dict[str, Callable[[str], tuple | None]] = {NUMBER: _number, BOOL: _bool, DATE: _date}
