"""Finds which images of a source are the same as before, moved, replaced, new or gone."""

from __future__ import annotations

import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..core.files import file_hash
from ..core.progress import Task
from ..storage.schema import SHA256_BYTES
from .reading import SourceNow
from .stored_files import NONE, StoredFiles

NO_HASH = np.zeros(1, f"V{SHA256_BYTES}")[0]
HASHED = 256  # files between two looks at the stop button


@dataclass(frozen=True)
class Matches:
    """Pairs of a stored sample and a row of the source. Arrays of places, int64 (m,).

    stored, now: the same image, at the same path or elsewhere. moved, returned: masks, bool (m,),
    of the pairs whose path differs, and of samples that were gone. replaced_stored, replaced_now:
    pairs with the same path but another image. added, gone: places without a partner; they include
    the replaced ones.
    """

    stored: np.ndarray
    now: np.ndarray
    moved: np.ndarray
    returned: np.ndarray
    replaced_stored: np.ndarray
    replaced_now: np.ndarray
    added: np.ndarray
    gone: np.ndarray
    sha256: np.ndarray  # void32 (rows of the source,), of those that had to be read, else zeros


def match_images(stored: StoredFiles, now: SourceNow, every: bool, task: Task) -> Matches:
    """Compare the images of a dataset with those of its source.

    A file with the size and the time of change that it had is taken as unchanged, unless `every`:
    then all files are read. Other files are compared by SHA-256.
    """
    partner = _same_path(stored, now)  # of each row of the source
    has = np.flatnonzero(partner >= 0)
    same = np.zeros(len(now), bool)
    of = partner[has]
    if not every:
        same[has] = (stored.size[of] == now.size[has]) & (stored.changed[of] == now.changed[has])
        same[has] &= stored.present[of] & (now.size[has] != NONE)
    hashes = _hashes(now, np.flatnonzero(~same), task)
    unsure = has[~same[has]]
    equal = (hashes[unsure] == stored.sha256[partner[unsure]]) & (hashes[unsure] != NO_HASH)
    same[unsure] = equal
    rest_now = np.flatnonzero(~same)
    is_left = np.ones(len(stored.ids), bool)
    is_left[partner[same]] = False
    elsewhere = _same_content(stored, now, hashes, np.flatnonzero(is_left), rest_now)
    pairs_now = np.concatenate([np.flatnonzero(same), elsewhere[1]])
    pairs_stored = np.concatenate([partner[same], elsewhere[0]])
    is_left[elsewhere[0]] = False
    added = np.setdiff1d(rest_now, elsewhere[1])
    replaced = added[(partner[added] >= 0)]
    replaced = replaced[is_left[partner[replaced]] & stored.present[partner[replaced]]]
    order = np.argsort(pairs_stored, kind="stable")
    pairs_stored, pairs_now = pairs_stored[order], pairs_now[order]
    moved = pc.not_equal(stored.paths.take(pairs_stored), now.paths.take(pairs_now))
    return Matches(
        stored=pairs_stored,
        now=pairs_now,
        moved=moved.to_numpy(zero_copy_only=False).astype(bool),
        returned=~stored.present[pairs_stored],
        replaced_stored=partner[replaced],
        replaced_now=replaced,
        added=added,
        gone=np.flatnonzero(is_left & stored.present),
        sha256=hashes,
    )


def _same_path(stored: StoredFiles, now: SourceNow) -> np.ndarray:
    """Return the place of the stored sample with the path of each row, int64 (n,); -1 for none.

    Present samples come before gone ones. A path that occurs several times is paired in order.
    """
    order = np.argsort(~stored.present, kind="stable")
    before, after = _numbered(stored.keys.take(order)), _numbered(now.paths)
    found = pc.index_in(after, value_set=before).fill_null(-1).to_numpy()
    return np.where(found >= 0, order[np.maximum(found, 0)], -1)


def _numbered(paths: pa.Array) -> pa.Array:
    """Append a number to every repetition of a path, so that all differ."""
    if pc.count_distinct(paths).as_py() == len(paths):
        return paths
    series = pd.Series(paths.to_pylist())
    number = series.groupby(series).cumcount().astype(str)
    return pa.array((series + "\0" + number).where(number != "0", series).tolist(), pa.string())


def _hashes(now: SourceNow, places: np.ndarray, task: Task) -> np.ndarray:
    """Return the hashes of the source's images, void32 (n,); of files, only these are read."""
    places = places[now.size[places] != NONE]  # others are hashed already
    if not len(places):
        return now.sha256
    found = now.sha256.copy()
    stage = task.stage("comparing files", len(places))
    paths = now.paths.take(places).to_pylist()
    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
        for start in range(0, len(paths), HASHED):
            some = [digest or bytes(SHA256_BYTES) for digest in pool.map(
                file_hash, paths[start : start + HASHED])]  # fmt: skip
            found[places[start : start + HASHED]] = np.frombuffer(b"".join(some), found.dtype)
            stage.advance(len(some))
    return found


def _same_content(
    stored: StoredFiles,
    now: SourceNow,
    hashes: np.ndarray,
    rest_stored: np.ndarray,
    rest_now: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Pair stored samples and rows without a partner by content, int64 (k,) each.

    Of several copies, those with the same file name belong together, then they go in order; present
    samples come before gone ones.
    """
    by_hash: dict[bytes, list[int]] = defaultdict(list)
    rest_stored = rest_stored[np.argsort(~stored.present[rest_stored], kind="stable")]
    for place in rest_stored.tolist():
        by_hash[stored.sha256[place].tobytes()].append(place)
    by_hash.pop(bytes(SHA256_BYTES), None)
    pairs: list[tuple[int, int]] = []
    rows: dict[bytes, list[int]] = defaultdict(list)
    for place in rest_now.tolist():
        key = hashes[place].tobytes()
        if key in by_hash:
            rows[key].append(place)
    for key, places in rows.items():
        pairs += _paired(by_hash[key], places, stored.paths, now.paths)
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _paired(
    stored: list[int], now: list[int], stored_paths: pa.Array, now_paths: pa.Array
) -> list[tuple[int, int]]:
    if len(stored) == len(now) == 1:
        return [(stored[0], now[0])]
    names = defaultdict(list)
    for place in stored:
        names[os.path.basename(stored_paths[place].as_py())].append(place)
    pairs, left = [], []
    for place in now:
        same = names[os.path.basename(now_paths[place].as_py())]
        if same:
            pairs.append((same.pop(0), place))
        else:
            left.append(place)
    taken = {place for place, _ in pairs}
    return pairs + list(zip((p for p in stored if p not in taken), left, strict=False))
