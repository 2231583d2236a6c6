"""Fingerprints of images, a few bytes each, so that every image is opened only once.

A fingerprint has a hash of all pixels, which finds exact copies, and a grey thumbnail, which finds
images that show the same picture (see `similarity.py`).
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pyarrow as pa
from PIL import Image

from ..core.errors import StoppedError
from ..core.images import UnreadableImageError, pixel_hash, shrink, to_rgb
from ..core.prefetch import prefetch
from ..core.progress import Task
from ..dataset.arrays import find
from ..dataset.columns import Frame
from ..storage.schema import FINGERPRINTS, THUMBNAIL_SIDE
from .decoding import chunks, decoded_images

TABLE = "fingerprints"
ROWS = 64  # images that a thread reads at once; their files are in memory meanwhile
WRITE_SECONDS = 5.0  # time between writes: the work that a kill may lose


def make_fingerprints(frame: Frame, task: Task, ids: np.ndarray | None = None) -> None:
    """Store the missing fingerprints of these samples, or of all. Images that cannot be read get
    none.

    Raises StoppedError after a stop. Finished fingerprints are stored in any case.
    """
    missing = np.setdiff1d(frame.ids if ids is None else ids, _stored_ids(frame))
    if not len(missing):
        return
    stage = task.stage("reading images", len(missing), stoppable=False)
    unwritten: list[pa.Table] = []
    written = time.monotonic()
    try:
        make = partial(_fingerprints, frame, task=task)
        for table, count in prefetch(make, chunks(missing, ROWS)):
            unwritten.append(table)
            stage.advance(count)
            if time.monotonic() - written > WRITE_SECONDS:
                _write(frame, unwritten)
                written = time.monotonic()
    finally:
        _write(frame, unwritten)


def read_fingerprints(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the samples with a fingerprint: sorted ids (n,) and pixel hashes (n,), both int64, and
    thumbnails, uint8 (n, THUMBNAIL_SIDE, THUMBNAIL_SIDE)."""
    rows = _read(frame, FINGERPRINTS.names).combine_chunks()
    flat = pa.concat_arrays(rows["thumbnail"].chunks or [pa.array([], FINGERPRINTS.types[2])])
    size, shape = THUMBNAIL_SIDE**2, (len(flat), THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    buffer = flat.buffers()[1] or b""
    grey = np.frombuffer(buffer, np.uint8, len(flat) * size, flat.offset * size).reshape(shape)
    return rows["id"].to_numpy(), rows["pixels"].to_numpy(), grey


def pixel_hashes(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples with a fingerprint: sorted ids (n,) and pixel hashes (n,), int64."""
    rows = _read(frame, ["id", "pixels"])
    return rows["id"].to_numpy(), rows["pixels"].to_numpy()


def thumbnail(image: Image.Image) -> np.ndarray:
    """Return the whole picture as grey square, uint8 (THUMBNAIL_SIDE, THUMBNAIL_SIDE)."""
    size = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    grey = (
        to_rgb(shrink(image, THUMBNAIL_SIDE))
        .convert("L")
        .resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    )
    return np.asarray(grey)


def _read(frame: Frame, columns: list[str]) -> pa.Table:
    """Return the fingerprints of existing samples, sorted by id."""
    with frame.steady():
        rows = frame.read(TABLE, columns)
        rows = FINGERPRINTS.empty_table().select(columns) if rows is None else rows.sort_by("id")
        return rows.filter(pa.array(find(frame.ids, rows["id"].to_numpy())[1]))


def _stored_ids(frame: Frame) -> np.ndarray:
    rows = frame.read(TABLE, ["id"])
    return np.empty(0, np.int64) if rows is None else rows["id"].to_numpy()


def _write(frame: Frame, unwritten: list[pa.Table]) -> None:
    rows = pa.concat_tables(unwritten) if unwritten else FINGERPRINTS.empty_table()
    unwritten.clear()
    if len(rows):
        with frame.transaction():
            # not append: another process may have read the same images
            frame.upsert(TABLE, rows, FINGERPRINTS)


def _fingerprints(frame: Frame, ids: np.ndarray, task: Task) -> tuple[pa.Table, int]:
    """Return the fingerprints of readable images, and the number of images."""
    rows = []
    for sample_id, _, image in decoded_images(frame, ids):
        if task.stop():  # checked for every image, because large ones take a while
            raise StoppedError(
                "stopped while reading images: finished images are stored, and the next search "
                "continues from there."
            )
        if not isinstance(image, UnreadableImageError):
            rows.append((sample_id, pixel_hash(image), thumbnail(image).tobytes()))
    columns = map(list, zip(*rows, strict=True)) if rows else ([], [], [])
    return pa.table(list(columns), schema=FINGERPRINTS), len(ids)
