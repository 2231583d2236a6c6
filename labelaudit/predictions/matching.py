"""Matches the rows of a table to samples: by id, by file path, or by order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import BadInputError
from ..core.plural import counted
from ..dataset.arrays import MISSING, find
from ..dataset.columns import Frame
from . import keys

BY = ID, FILEPATH, ORDER = ("id", "filepath", "order")
DEEPEST = 32  # folders in a relative path, at most


def match_rows(
    frame: Frame,
    rows: int,
    ids: np.ndarray | None,
    paths: pa.Array | None,
    by: str,
    what: str,
    folder: Path | None = None,
) -> np.ndarray:
    """Return the id of each row's sample, int64 (rows,): by `ids`, by `paths`, or in order.

    Paths: see `find_paths`. Raises LabelAuditError for a row without a sample, and for two rows of
    the same sample.
    """
    with frame.steady():
        if by == ORDER:
            if rows != len(frame.ids):
                raise BadInputError(
                    f"{what} has {counted(rows, 'row')} and dataset {frame.name!r} "
                    f"{counted(len(frame.ids), 'sample')}: give each row an id or a filepath."
                )
            return frame.ids
        found = ids if by == ID else _ids_of_paths(frame, paths, what, folder)
        assert found is not None  # `by` is one of the keys that the rows have
        _, known = find(frame.ids, found)
        if by == ID:
            check_positions(frame, found, what)
        if not known.all():
            row = int(np.flatnonzero(~known)[0])
            raise BadInputError(
                f"{what}, row {row + 1:,}: dataset {frame.name!r} has no sample with id "
                f"{found[row]}{_more_rows(~known)}: remove such rows, or match by filepath."
            )
    _check_unique(found, what, paths if by == FILEPATH else None)
    return found


def find_paths(
    frame: Frame, wanted: pa.Array, folder: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of the samples with these paths, int64 (n,), MISSING unless exactly one
    matches; and how many match, int (n,).

    A path is the stored path of a sample; or the end of it ("cat/1.jpg", "1.jpg") if only one
    sample's path ends so; or relative to `folder`, where the table is; or one of these without its
    suffix ("cat/1").
    """
    table = frame.read("samples", ["id", "filepath"])
    ids = table["id"].to_numpy()
    exists = find(frame.ids, ids)[1]  # a load that was killed leaves further rows
    ids, stored = ids[exists], table["filepath"].combine_chunks().filter(pa.array(exists))
    at, fits = _find_paths(stored, wanted, folder)
    left = np.flatnonzero(fits == 0)
    if len(left):
        without = pc.replace_substring_regex(stored, r"\.[^./]*$", "")
        at[left], fits[left] = _find_paths(without, wanted.take(pa.array(left)), folder)
    return np.where(fits == 1, ids[at] if len(ids) else MISSING, MISSING), fits


def check_positions(frame: Frame, ids: np.ndarray, what: str) -> None:
    """Raise BadInputError if ids, int64 (n,), are positions: all are samples once they are counted
    from another number, and some are not as they are."""
    if find(frame.ids, ids)[1].all() or not len(frame.ids):
        return
    for step in (1, -1):
        if len(ids) and find(frame.ids, ids + step)[1].all():
            change = "add 1 to them" if step == 1 else "subtract 1 from them"
            raise BadInputError(
                f"{what}: the ids are {ids.min():,} to {ids.max():,}, and those of dataset "
                f"{frame.name!r} are {frame.ids[0]:,} to {frame.ids[-1]:,}: they look like "
                f"positions counted from {ids.min():,}; {change}, or match by filepath or order."
            )


def check_both(frame: Frame, ids: np.ndarray, paths: pa.Array, what: str, folder) -> None:
    """Raise BadInputError if a row's id, int64 (n,), is of another sample than its path. Paths that
    match no sample are ignored."""
    found, _ = find_paths(frame, paths, folder)
    other = np.flatnonzero((found != MISSING) & (found != ids))
    if len(other):
        row = int(other[0])
        raise BadInputError(
            f"{what}, row {row + 1:,}: the id is {ids[row]}, but {paths[row].as_py()} is sample "
            f"{found[row]}{_more_rows(found != ids)}: state which of them counts (by='id' or "
            "by='filepath')."
        )


def _find_paths(
    stored: pa.Array, wanted: pa.Array, folder: Path | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of each path in `stored`, int (n,), and how many match, int (n,)."""
    at, fits = _looked_up(wanted, stored)
    left = np.flatnonzero(fits == 0)
    if len(left):
        ends, tails = _plain(stored), _plain(wanted.take(pa.array(left)))
        depth = pc.fill_null(pc.count_substring(tails, "/"), DEEPEST)
        depth = depth.to_numpy(zero_copy_only=False)
        for parts in np.unique(depth[depth < DEEPEST]).tolist():
            some = np.flatnonzero(depth == parts)
            last = pc.replace_substring_regex(ends, rf"^.*/((?:[^/]*/){{{parts}}}[^/]*)$", r"\1")
            at[left[some]], fits[left[some]] = _looked_up(tails.take(pa.array(some)), last)
    left = np.flatnonzero(fits != 1)
    if folder is not None and len(left):
        named = wanted.take(pa.array(left)).to_pylist()
        whole = [name and os.path.normpath(folder / name) for name in named]
        places, several = _looked_up(pa.array(whole, pa.string()), stored)
        better = several == 1
        at[left[better]], fits[left[better]] = places[better], 1
    return at, fits


def folder_of(source) -> Path | None:
    """Return the folder of a table's file; None for a table in memory."""
    if not isinstance(source, str | os.PathLike):
        return None
    return Path(source).expanduser().absolute().parent


def with_keys(table: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with its index as columns, unless the index only numbers the rows: under its
    own name if that is a key, otherwise as "index"."""
    if isinstance(table.columns, pd.CategoricalIndex):  # takes no further columns
        table = table.set_axis(table.columns.astype(object), axis=1)
    found = [
        name
        for name in table.index.names
        if name is not None and name not in table and name not in keys.INDEX and keys.is_key(name)
    ]
    if found:
        return table.reset_index(level=found)
    if table.index.equals(pd.RangeIndex(len(table))) or "index" in table:
        return table
    return table.rename_axis("index").reset_index()


def _check_unique(ids: np.ndarray, what: str, paths: pa.Array | None) -> None:
    order = np.argsort(ids, kind="stable")
    again = np.flatnonzero(np.diff(ids[order]) == 0)
    if len(again):
        first, second = sorted(order[again[0] : again[0] + 2].tolist())
        name = f"id {ids[first]}" if paths is None else f"filepath {paths[second].as_py()}"
        raise BadInputError(
            f"{what}: rows {first + 1:,} and {second + 1:,} are both of {name}: keep one of them."
        )


def _ids_of_paths(frame: Frame, wanted: pa.Array, what: str, folder: Path | None) -> np.ndarray:
    """Return the ids of these paths, int64 (n,). Raises LabelAuditError unless each has one."""
    if wanted.null_count:
        row = int(np.flatnonzero(pc.is_null(wanted).to_numpy(zero_copy_only=False))[0])
        raise BadInputError(f"{what}, row {row + 1:,}: the filepath is empty.")
    found, fits = find_paths(frame, wanted, folder)
    unclear, unmatched = np.flatnonzero(fits > 1), np.flatnonzero(fits == 0)
    if len(unclear):
        raise BadInputError(
            f"{what}: the paths of {fits[unclear[0]]:,} samples end in "
            f"{wanted[int(unclear[0])].as_py()}: give more of the path, or ids."
        )
    if len(unmatched):
        row = int(unmatched[0])
        first = frame.take("samples", np.array([0]), ["filepath"])["filepath"][0].as_py()
        raise BadInputError(
            f"{what}, row {row + 1:,}: no sample of dataset {frame.name!r} has the filepath "
            f"{wanted[row].as_py()}{_more_rows(fits == 0)}; its first is {first}."
        )
    return found


def _looked_up(wanted: pa.Array, known: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return a position of each value in `known`, int (n,), 0 for none; and how often it occurs
    there, int (n,)."""
    coded = known.dictionary_encode()
    codes = coded.indices.to_numpy()
    count = np.append(np.bincount(codes, minlength=len(coded.dictionary)), 0)
    at = np.zeros(len(count), np.int64)
    at[codes] = np.arange(len(known))
    code = pc.index_in(wanted, coded.dictionary)
    code = pc.fill_null(code, len(coded.dictionary)).to_numpy(zero_copy_only=False)
    return at[code], count[code]


def _plain(paths: pa.Array) -> pa.Array:
    """Return the paths with forward slashes, and without a leading ./."""
    paths = pc.replace_substring(paths, "\\", "/")
    return pc.replace_substring_regex(paths, r"^(\./)+", "")


def _more_rows(bad: np.ndarray) -> str:
    return f" ({bad.sum():,} rows match no sample)" if bad.sum() > 1 else ""
