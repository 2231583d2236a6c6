"""Finds the columns of a table that say which sample a row is of, and reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.csv_cells import unguard
from ..core.errors import BadInputError
from ..sources.list_columns import IMAGE_NAMES, PATH_NAMES, normal

_IDS = ("id", "ids", "sampleid", "sampleids")  # in the form that `normal` returns
INDEX = ("", "Unnamed: 0", "index", "__index_level_0__")  # pandas' index, in a file
_WHOLE = r"^\s*-?[0-9]{1,18}(\.0*)?\s*$"
_NUMBERED_NAME = r"^\s*0[0-9]"  # 007 is a name, and no number


@dataclass(frozen=True)
class KeyColumns:
    """Names of key columns; None if there is none. either: holds ids if its values are numbers."""

    id: str | None
    path: str | None
    either: str | None
    index: str | None

    @property
    def names(self) -> list[str]:
        """The columns that exist."""
        return [name for name in (self.id, self.path, self.either, self.index) if name is not None]


@dataclass
class Keys:
    """What the key columns hold."""

    ids: np.ndarray | None = None  # int64 (n,)
    paths: pa.Array | None = None  # strings (n,)
    ambiguous: str | None = None  # name of the column of ids, if they may be file names too


def is_key(name: str) -> bool:
    """Whether a column of this name says which sample a row is of."""
    return str(name) in INDEX or normal(str(name)) in (*_IDS, *PATH_NAMES, *IMAGE_NAMES)


def find(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return the first name that is one of `wanted`, in their order."""
    by_name = {normal(str(name)): name for name in reversed(names)}
    return next((by_name[name] for name in wanted if name in by_name), None)


def key_columns(names: Sequence[str]) -> KeyColumns:
    """Return the key columns among these names. The index counts only if there is no other."""
    names = [str(name) for name in names]
    path, either, number = find(names, PATH_NAMES), find(names, IMAGE_NAMES), find(names, _IDS)
    index = next((name for name in INDEX if name in names), None)
    return KeyColumns(number, path, either, None if number or path or either else index)


def read_keys(columns: KeyColumns, values: dict[str, pa.ChunkedArray], what: str) -> Keys:
    """Return the keys. values: those of the columns by name. what: the table, for errors.

    Raises BadInputError for an empty key, and for ids of which only some are whole numbers.
    """
    keys = Keys()
    if columns.path is not None:
        keys.paths = as_text(values[columns.path], columns.path, what)
    for name in (columns.id, columns.either):
        if name is None or keys.ids is not None:
            continue
        numbers, wrong = _whole_numbers(values[name])
        if numbers is not None:
            keys.ids = numbers
            if name == columns.either and keys.paths is None:
                keys.ambiguous, keys.paths = name, as_text(values[name], name, what)
        elif name == columns.id and len(wrong) < len(values[name]):
            row = int(wrong[0])
            given = values[name][row].as_py()
            raise BadInputError(
                f"{what}, row {row + 1:,}: the id is empty."
                if given in (None, "")
                else f"{what}, row {row + 1:,}: {name} is {given!r}, not a whole number."
            )
        elif keys.paths is None:
            keys.paths = as_text(values[name], name, what)
    return keys


def as_text(values: pa.ChunkedArray, name: str, what: str) -> pa.Array:
    """Return a column as strings. Raises BadInputError if that is not possible."""
    try:
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        return unguard(values.cast(pa.string())).combine_chunks()
    except pa.ArrowException as error:
        raise BadInputError(
            f"{what}: the column {name!r} of ids or file paths holds {values.type}, and must hold "
            "numbers or text."
        ) from error


def _whole_numbers(values: pa.ChunkedArray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return a column as int64 (n,), or None; and the rows, int (k,), that are no whole numbers."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    if pa.types.is_integer(values.type):
        good = pc.is_valid(values)
    elif pa.types.is_floating(values.type):
        good = pc.fill_null(pc.equal(values, pc.floor(values)), False)
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        if pc.any(pc.match_substring_regex(values, _NUMBERED_NAME)).as_py():
            return None, np.arange(len(values))
        good = pc.fill_null(pc.match_substring_regex(values, _WHOLE), False)
    else:
        good = pa.chunked_array([pa.array(np.zeros(len(values), bool))])
    wrong = np.flatnonzero(~good.to_numpy().astype(bool))
    if len(wrong):
        return None, wrong
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = pc.replace_substring_regex(pc.utf8_trim_whitespace(values), r"\.0*$", "")
    try:
        return values.cast(pa.int64()).to_numpy(), wrong
    except pa.ArrowInvalid:  # above 2^63
        return None, np.arange(len(values))
