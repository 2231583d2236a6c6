"""Which sample each row of somebody else's table is about."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import LabelAuditError
from ..frame import Frame, find

BY = ID, FILEPATH, ORDER = ("id", "filepath", "order")
DEEPEST = 32  # folders of a relative path


def match_rows(
    frame: Frame, rows: int, ids: np.ndarray | None, paths: pa.Array | None, by: str, what: str
) -> np.ndarray:
    """Ids, int64 (rows,), of the samples that rows are about: by `ids`, by `paths`, or in order.

    A path is that of a sample as it is stored, or its last parts ("cat/1.jpg", "1.jpg") where only
    one sample's path ends so. Raises LabelAuditError for a row of no sample, and for two of one.
    """
    with frame.store.steady():
        if by == ORDER:
            if rows != len(frame.ids):
                raise LabelAuditError(
                    f"{what} has {rows:,} rows and dataset {frame.store.name!r} {len(frame.ids):,} "
                    "samples: give each row an id or a filepath."
                )
            return frame.ids
        found = ids if by == ID else _of_paths(frame, paths, what)
        _, known = find(frame.ids, found)
        if not known.all():
            row = int(np.flatnonzero(~known)[0])
            raise LabelAuditError(
                f"{what}, row {row + 1:,}: dataset {frame.store.name!r} has no sample with id "
                f"{found[row]}{_others(~known)}: leave such rows out, or match by filepath."
            )
    _check_once(found, what, paths if by == FILEPATH else None)
    return found


def _check_once(ids: np.ndarray, what: str, paths: pa.Array | None) -> None:
    order = np.argsort(ids, kind="stable")
    again = np.flatnonzero(np.diff(ids[order]) == 0)
    if len(again):
        first, second = sorted(order[again[0] : again[0] + 2].tolist())
        name = f"id {ids[first]}" if paths is None else f"filepath {paths[second].as_py()}"
        raise LabelAuditError(
            f"{what}: rows {first + 1:,} and {second + 1:,} are both of {name}: leave one of them."
        )


def _of_paths(frame: Frame, wanted: pa.Array, what: str) -> np.ndarray:
    """Ids of these paths, int64 (n,)."""
    table = frame.store.read("samples", ["id", "filepath"])
    stored_ids = table["id"].to_numpy()
    _, exists = find(frame.ids, stored_ids)
    stored = table["filepath"].combine_chunks().filter(pa.array(exists))
    stored_ids = stored_ids[exists]
    if wanted.null_count:
        row = int(np.flatnonzero(pc.is_null(wanted).to_numpy(zero_copy_only=False))[0])
        raise LabelAuditError(f"{what}, row {row + 1:,}: the filepath is empty.")
    at = _places(wanted, stored, what)
    left = np.flatnonzero(at < 0)
    if len(left):
        ends, tails = _plain(stored), _plain(wanted.take(pa.array(left)))
        depth = pc.count_substring(tails, "/").to_numpy(zero_copy_only=False)
        for parts in np.unique(depth[depth < DEEPEST]).tolist():
            some = np.flatnonzero(depth == parts)
            last = pc.replace_substring_regex(ends, rf"^.*/((?:[^/]*/){{{parts}}}[^/]*)$", r"\1")
            at[left[some]] = _places(tails.take(pa.array(some)), last, what)
    if (at < 0).any():
        row = int(np.flatnonzero(at < 0)[0])
        raise LabelAuditError(
            f"{what}, row {row + 1:,}: no sample of dataset {frame.store.name!r} has the filepath "
            f"{wanted[row].as_py()}{_others(at < 0)}; its first is {stored[0].as_py()}."
        )
    return stored_ids[at]


def _places(wanted: pa.Array, known: pa.Array, what: str) -> np.ndarray:
    """Place in `known` of each, int (n,), -1 for none; an error for one that is there twice."""
    coded = known.dictionary_encode()
    codes = coded.indices.to_numpy()
    count = np.bincount(codes, minlength=len(coded.dictionary))
    at = np.full(len(coded.dictionary) + 1, -1)
    at[codes] = np.arange(len(known))
    code = pc.fill_null(pc.index_in(wanted, coded.dictionary), -1).to_numpy()
    unclear = np.flatnonzero((code >= 0) & (count[code] > 1))
    if len(unclear):
        name = wanted[int(unclear[0])].as_py()
        raise LabelAuditError(
            f"{what}: the paths of {count[code[unclear[0]]]:,} samples end in {name}: give more of "
            "the path, or ids."
        )
    return at[code]


def _plain(paths: pa.Array) -> pa.Array:
    """With the same slashes everywhere, and no ./ in front."""
    paths = pc.replace_substring(paths, "\\", "/")
    return pc.replace_substring_regex(paths, r"^(\./)+", "")


def _others(bad: np.ndarray) -> str:
    return f" ({bad.sum():,} rows are of none)" if bad.sum() > 1 else ""
