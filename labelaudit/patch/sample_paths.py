"""Identify samples in a way that works for another copy: by relative path, or by pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..dataset.arrays import find
from ..dataset.columns import Frame
from .patch_file import is_clean_path

BATCH_ROWS = 100_000  # paths in memory at a time


def common_folder(frame: Frame) -> str:
    """Return the common folder of all image files, ending in a slash; "" if there are none.

    Images stored in the dataset have no file and are ignored.
    """

    def load() -> str:
        first, last = None, None  # in sorted order; the others share what these two share
        for batch in frame.batches("samples", ["filepath"], BATCH_ROWS):
            paths = batch["filepath"]
            paths = paths.filter(pc.starts_with(paths, "/"))
            if len(paths):
                ends = pc.min_max(paths)
                first = min(filter(None, (first, ends["min"].as_py())))
                last = max(filter(None, (last, ends["max"].as_py())))
        if first is None:
            return ""
        folder = os.path.commonpath([os.path.dirname(first), os.path.dirname(last)])
        return folder.rstrip("/") + "/"

    return frame.derived("common folder of the files", ["samples"], load)


def relative_paths(frame: Frame, positions: np.ndarray) -> list[str | None]:
    """Return the path of each sample below the common folder; None if a patch cannot contain it."""
    folder = common_folder(frame)
    paths = frame.take("samples", positions, ["filepath"])["filepath"].to_pylist()
    names = (path.removeprefix(folder) for path in paths)
    return [name if is_clean_path(name) else None for name in names]


def find_files(frame: Frame, files: Sequence[str]) -> dict[str, list[int]]:
    """Return the ids of the samples at each of these paths below the common folder."""
    folder = common_folder(frame)
    wanted = pa.array([*(folder + file for file in files), *files], pa.string())
    found: dict[str, list[int]] = {}
    for batch in frame.batches("samples", ["id", "filepath"], BATCH_ROWS):
        indices = pc.index_in(batch["filepath"], value_set=wanted)
        ids = batch["id"].filter(indices.is_valid()).to_numpy()
        known = find(frame.ids, ids)[1]  # a load that was killed leaves rows without a sample
        indices = indices.drop_null().to_numpy()
        for sample, index in zip(ids[known], indices[known], strict=True):
            found.setdefault(files[index % len(files)], []).append(int(sample))
    return found


def pixel_hash_text(pixels: int) -> str:
    """Return a hash of pixels, a signed 64-bit number, as 16 hexadecimal digits."""
    return f"{int(pixels) & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def pixel_hash_numbers(pixels: Sequence[str | None]) -> np.ndarray:
    """Return the hashes as int64 (n,); 0 for None."""
    numbers = [int(text or "0", 16) for text in pixels]
    return np.array(numbers, np.uint64).view(np.int64)
