"""Conversions between table columns and numpy arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import BadInputError

MISSING = -1  # stands for null in arrays of class indices, split codes and row places


def as_ids(ids) -> np.ndarray:
    """Convert one id or several to int64 (n,). Raises BadInputError for other values."""
    given = np.asarray(ids).reshape(-1)
    if len(given) and given.dtype.kind not in "iu":
        raise BadInputError(f"{given.tolist()[0]!r} is not an id: ids are whole numbers.")
    return given.astype(np.int64)


def find(ids: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of `wanted` (n,) in sorted `ids`, and a mask of those that exist."""
    places = np.minimum(np.searchsorted(ids, wanted), max(len(ids) - 1, 0))
    return places, (ids[places] == wanted if len(ids) else np.zeros(len(wanted), bool))


def differing(key: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Mask, bool (n,), of the rows whose key occurs with at least two codes; MISSING is not one."""
    keys, index = np.unique(key, return_inverse=True)
    known = code != MISSING
    low, high = np.full(len(keys), np.iinfo(np.int32).max), np.full(len(keys), MISSING)
    np.minimum.at(low, index[known], code[known])
    np.maximum.at(high, index[known], code[known])
    return (low < high)[index]


def in_order(rows: pa.Table, ids: np.ndarray) -> pa.Table:
    """Sort rows with an `id` column in the order of `ids`. Ids without a row are left out."""
    found = rows["id"].to_numpy()
    order = np.argsort(found)
    wanted = ids[np.isin(ids, found)] if len(found) < len(ids) else ids
    return rows.take(order[np.searchsorted(found[order], wanted)])


def nullable(codes: np.ndarray) -> pa.Array:
    """Convert class indices to int32 for a table, with null for MISSING."""
    return pa.array(codes, pa.int32(), mask=codes == MISSING)


def tag_masks(tags: pa.ListArray) -> dict[str, np.ndarray]:
    """Convert lists of tags (n,) to a boolean mask (n,) for each tag."""
    coded = pc.list_flatten(tags).dictionary_encode()
    rows = pc.list_parent_indices(tags).to_numpy()
    codes = coded.indices.to_numpy()
    masks = {}
    for code, name in enumerate(coded.dictionary.to_pylist()):
        mask = np.zeros(len(tags), bool)
        mask[rows[codes == code]] = True
        masks[name] = mask
    return masks


def tag_lists(masks: dict[str, np.ndarray], count: int) -> pa.ListArray:
    """Convert tag masks (count,) to a sorted list of tags for each row."""
    names = sorted(masks)
    rows, codes = (
        np.nonzero(np.stack([masks[name] for name in names], axis=1))
        if names
        else (np.empty(0, np.int64), np.empty(0, np.int64))
    )
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
    values = pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.int32()), pa.array(names, pa.string())
    )
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), values.cast(pa.string()), type=pa.list_(pa.string())
    )
