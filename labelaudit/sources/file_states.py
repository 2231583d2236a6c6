"""What is remembered of the image files of a source, so that changes are noticed later."""

from __future__ import annotations

from array import array

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..storage.schema import SHA256_BYTES, SOURCE_FILES
from .check_cache import FileState

NONE = -1  # stands for no size


class FileStates:
    """Size, time of change and SHA-256 of images, in the order in which they were read.

    Arrays of numbers, because a list of objects would take 200 bytes per image.
    """

    def __init__(self) -> None:
        self._sizes, self._changed = array("q"), array("q")
        self._hashes, self._hashed = bytearray(), array("b")

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, state: FileState | None, sha256: bytes | None) -> None:
        """Add an image. state: None for an image without a file of its own."""
        size, changed = state or (NONE, NONE)
        self._sizes.append(size)
        self._changed.append(changed)
        self._hashes += sha256 or bytes(SHA256_BYTES)
        self._hashed.append(sha256 is not None)

    def hashes(self) -> np.ndarray:
        """Return the hashes, void32 (n,); zeros for none."""
        return np.frombuffer(bytes(self._hashes), f"V{SHA256_BYTES}")

    def table(self, annotations: pa.Table, sync: int = 0) -> pa.Table | None:
        """Return rows of `source-files` for samples with these annotations, in the same order.

        sync: the change of the history that added them, 0 for the first load. None if the images
        were not opened.
        """
        if len(annotations) != len(self):
            return None
        count, sizes = len(self), np.array(self._sizes, np.int64)
        missing, unhashed = sizes == NONE, ~np.array(self._hashed, bool)
        hashes = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(SHA256_BYTES), count, [None, pa.py_buffer(bytes(self._hashes))]
        )
        hashes = pc.if_else(pa.array(unhashed), pa.scalar(None, hashes.type), hashes)
        return pa.table(
            [
                annotations["id"],
                pa.array(sizes, mask=missing),
                pa.array(np.array(self._changed, np.int64), mask=missing),
                hashes,
                annotations["label"],
                pa.array(np.zeros(count, np.int8)),
                pa.array(np.full(count, sync, np.int64)),
            ],
            schema=SOURCE_FILES,
        )
