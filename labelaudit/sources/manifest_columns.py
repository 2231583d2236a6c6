"""Convert and check the columns of a manifest. Row numbers count from 1, without the header."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..core.csv_cells import TAG_SEPARATOR, unguard
from ..core.errors import BadInputError
from ..dataset.arrays import differing
from .image_list import MAX_ERROR_TEXT
from .labels import ONE_LABEL, shown

_WHOLE_NUMBER = r"^-?\d{1,18}(\.0*)?$"


def text_column(table: pa.Table, column: str | None, escaped: bool, exact: bool) -> pa.ChunkedArray:
    """Return a column as strings, with null for empty cells and for a missing column (None).

    escaped: undo the escaping of formulas. exact: keep blanks at the ends.
    """
    if column is None or column not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), pa.string())])
    values = _as_text(table[column], column)
    values = values if exact else pc.utf8_trim_whitespace(values)
    values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    return unguard(values) if escaped else values


class LabelsOfPaths:
    """Counts the images that a table lists with several labels, one in each row."""

    def __init__(self) -> None:
        self._paths: list[np.ndarray] = []  # hashes: 8 bytes a row, whatever the paths
        self._labels: list[np.ndarray] = []

    def add(self, paths: pa.Array, labels: pa.Array) -> None:
        """Add rows of text."""
        for values, hashes in ((paths, self._paths), (labels, self._labels)):
            coded = values.dictionary_encode()
            names = coded.dictionary.to_numpy(zero_copy_only=False)
            known = pd.util.hash_array(names.astype(object), categorize=False)
            hashes.append(np.append(known, np.uint64(0))[coded.indices.fill_null(-1).to_numpy()])

    def counts(self) -> tuple[int, int]:
        """Return how many images have several labels, and how many have one at most."""
        paths = np.concatenate(self._paths)
        distinct = np.unique(paths)
        if len(distinct) == len(paths):
            return 0, len(distinct)
        labels = np.unique(np.concatenate(self._labels), return_inverse=True)[1]
        several = len(np.unique(paths[differing(paths, labels)]))
        return several, len(distinct) - several


def replaced(values: pa.ChunkedArray, texts: dict[str, str | None]) -> pa.ChunkedArray:
    """Return the column with other texts, or null, for these texts."""
    if not texts:
        return values
    place = pc.index_in(values, pa.array(list(texts), pa.string()))
    others = pa.array(list(texts.values()), pa.string()).take(place)
    return pc.if_else(pc.is_valid(place), others, values)


def _as_text(values: pa.ChunkedArray, column: str) -> pa.ChunkedArray:
    """Return a column of Parquet as strings; NaN and empty lists become null."""
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        lists = values.to_pylist()
        several = next((value for value in lists if value and len(value) > 1), None)
        if several is not None:
            raise pa.ArrowInvalid(
                f"column {column!r} has several values in a row ({shown(several)}), but {ONE_LABEL}"
            )
        values = pa.chunked_array([pa.array([v[0] if v else None for v in lists])])
    if pa.types.is_nested(values.type):
        raise pa.ArrowInvalid(f"column {column!r} has several values in a row, but {ONE_LABEL}")
    if pa.types.is_floating(values.type):
        if pc.any(pc.is_inf(values)).as_py():
            raise pa.ArrowInvalid(f"column {column!r} has an infinite number")
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    return values.cast(pa.string())


def tag_column(table: pa.Table, column: str | None, escaped: bool) -> pa.ChunkedArray:
    """Return the column of tags as lists of strings; null if it is missing."""
    if column is None or column not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), pa.list_(pa.string()))])
    tags = table[column]
    if pa.types.is_list(tags.type):
        return tags.cast(pa.list_(pa.string()))
    tags = tags.cast(pa.string())
    cells = (text or "" for text in (unguard(tags) if escaped else tags).to_pylist())
    lists = [[tag for part in cell.split(TAG_SEPARATOR) if (tag := part.strip())] for cell in cells]
    return pa.chunked_array([pa.array(lists, pa.list_(pa.string()))])


def id_column(table: pa.Table, name: str, column: str | None, first: int) -> pa.ChunkedArray:
    """Return a column as int64; null if it is missing.

    name: of the file. first: how many rows precede this batch. Raises LabelAuditError that names
    the first row whose id is empty or not a whole number.
    """
    if column not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), pa.int64())])
    values = table[column]
    if pa.types.is_string(values.type):
        values = pc.utf8_trim_whitespace(values)
    try:
        ids = _to_int64(values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        place, value = name, str(values.type)
        if pa.types.is_string(values.type):
            wrong = pc.invert(pc.match_substring_regex(pc.fill_null(values, "0"), _WHOLE_NUMBER))
            row = _first_row(wrong) if pc.any(wrong).as_py() else 1
            place = f"{name}, row {first + row}"
            value = repr(values[row - 1].as_py())[:MAX_ERROR_TEXT]
        raise BadInputError(
            f"{place}: ids must be whole numbers below 2^63, not {value}; correct it, or remove "
            "the column."
        ) from error
    if ids.null_count:
        row = first + _first_row(pc.is_null(ids))
        raise BadInputError(
            f"{name}, row {row}: the id is empty; fill it in, or remove the column."
        )
    return ids


def check_filepaths(paths: pa.ChunkedArray, name: str, column: str, first: int) -> None:
    """Raise LabelAuditError that names the first row with an empty or impossible path."""
    empty = pc.is_null(paths)
    if pc.any(empty).as_py():
        raise BadInputError(
            f"{name}, row {first + _first_row(empty)}: the {column} is empty; fill it in, or "
            "remove the row."
        )
    nul = pc.match_substring(paths, "\0")
    if pc.any(nul).as_py():
        raise BadInputError(
            f"{name}, row {first + _first_row(nul)}: the {column} contains a NUL byte, which no "
            "path can contain; correct it."
        )


def check_unique(ids: np.ndarray, name: str) -> None:
    """Raise LabelAuditError that names two rows with the same id, if there are any."""
    order = np.argsort(ids, kind="stable")
    repeats = np.flatnonzero(np.diff(ids[order]) == 0)
    if len(repeats):
        first, second = sorted(order[repeats[0] : repeats[0] + 2] + 1)
        raise BadInputError(
            f"{name}: rows {first} and {second} have the same id {ids[first - 1]}; make the ids "
            "unique, or remove the column."
        )


def _to_int64(values: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:  # pandas writes 7 as 7.0 if another row of the column is empty
        return values.cast(pa.float64()).cast(pa.int64())


def _first_row(mask: pa.ChunkedArray) -> int:
    """Return the number, from 1, of the first True row."""
    return int(np.flatnonzero(mask.to_numpy())[0]) + 1
