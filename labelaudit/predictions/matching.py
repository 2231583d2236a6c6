"""Matches the rows of a table to samples: by id, by file path, or by order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import BadInputError
from ..dataset.arrays import MISSING, find
from ..dataset.columns import Frame

BY = ID, FILEPATH, ORDER = ("id", "filepath", "order")
# Names of such columns, here and in other tools.
IDS = ("id", "ids")
PATHS = (
    "filepath",
    "filepaths",
    "file_name",
    "filename",
    "filenames",
    "image_path",
    "path",
    "paths",
)
INDEX = ("", "Unnamed: 0", "index", "__index_level_0__")  # pandas' index, in a file
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
                    f"{what} has {rows:,} rows and dataset {frame.name!r} {len(frame.ids):,} "
                    "samples: give each row an id or a filepath."
                )
            return frame.ids
        found = ids if by == ID else _ids_of_paths(frame, paths, what, folder)
        assert found is not None  # `by` is one of the keys that the rows have
        _, known = find(frame.ids, found)
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
    sample's path ends so; or relative to `folder`, where the table is.
    """
    table = frame.read("samples", ["id", "filepath"])
    ids = table["id"].to_numpy()
    exists = find(frame.ids, ids)[1]  # a load that was killed leaves further rows
    ids, stored = ids[exists], table["filepath"].combine_chunks().filter(pa.array(exists))
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
    return np.where(fits == 1, ids[at] if len(ids) else MISSING, MISSING), fits


def folder_of(source) -> Path | None:
    """Return the folder of a table's file; None for a table in memory."""
    if not isinstance(source, str | os.PathLike):
        return None
    return Path(source).expanduser().absolute().parent


def with_keys(table: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with its index as columns, unless the index only numbers the rows: under its
    own name if that is a key, otherwise as "index"."""
    keys = [name for name in table.index.names if name in (*IDS, *PATHS) and name not in table]
    if keys:
        return table.reset_index(level=keys)
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
