"""How a sample is named so that it is found on another copy: by path, or by its pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..dataset.arrays import find
from ..dataset.columns import Frame
from .lines import is_clean_path

ROWS = 100_000  # file paths held at once


def root(frame: Frame) -> str:
    """The folder, with a slash at its end, that all image files lie in; "" where there are none.

    What is kept inside the dataset has a name and no file, and does not count.
    """

    def load() -> str:
        low, high = None, None
        for batch in frame.batches("samples", ["filepath"], ROWS):
            paths = batch["filepath"]
            paths = paths.filter(pc.starts_with(paths, "/"))
            if len(paths):
                ends = pc.min_max(paths)
                low = min(filter(None, (low, ends["min"].as_py())))
                high = max(filter(None, (high, ends["max"].as_py())))
        # what the first and the last in order share, all between them share
        if low is None:
            return ""
        return os.path.commonpath([os.path.dirname(low), os.path.dirname(high)]).rstrip("/") + "/"

    with frame.steady():
        return frame.cached("root of the files", frame.stamp("samples"), load)


def files_of(frame: Frame, positions: np.ndarray) -> list[str | None]:
    """Each sample's path below the root; None for one that no patch can hold."""
    below = root(frame)
    paths = frame.take("samples", positions, ["filepath"])["filepath"].to_pylist()
    names = (path.removeprefix(below) for path in paths)
    return [name if is_clean_path(name) else None for name in names]


def find_files(frame: Frame, files: Sequence[str]) -> dict[str, list[int]]:
    """The ids of the samples at each of these paths, which lie below the root."""
    below = root(frame)
    wanted = pa.array([*(below + file for file in files), *files], pa.string())
    found: dict[str, list[int]] = {}
    for batch in frame.batches("samples", ["id", "filepath"], ROWS):
        places = pc.index_in(batch["filepath"], value_set=wanted)
        hits = batch["id"].filter(places.is_valid())
        known = find(frame.ids, hits.to_numpy())[1]  # a load that was killed leaves rows
        places = places.drop_null().to_numpy()
        for sample, place in zip(hits.to_numpy()[known], places[known], strict=True):
            found.setdefault(files[place % len(files)], []).append(int(sample))
    return found


def as_text(pixels: int) -> str:
    """A hash of pixels, signed 64 bits, as 16 hexadecimal digits."""
    return f"{int(pixels) & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def as_numbers(pixels: Sequence[str | None]) -> np.ndarray:
    """The hashes again, int64 (n,); 0 for None (`known` tells)."""
    numbers = [int(text or "0", 16) for text in pixels]
    return np.array(numbers, np.uint64).view(np.int64)
