"""Fingerprints: what an image looks like in a few bytes, so that it is opened once only.

Each is a hash of all pixels, which tells exact copies, and a grey thumbnail, which tells images
that show the same (`likeness.py`).
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pyarrow as pa
from PIL import Image

from ..core.errors import StoppedError
from ..core.images import UnreadableImageError, decode, pixel_hash, to_rgb
from ..core.prefetch import prefetch
from ..core.progress import Task
from ..dataset.arrays import find
from ..dataset.columns import Frame
from ..storage.schema import FINGERPRINTS, THUMBNAIL_SIDE

TABLE = "fingerprints"
ROWS = 64  # images that a thread opens at a time; their files are held meanwhile
WRITE_SECONDS = 5.0  # work that a kill may lose


def make_fingerprints(frame: Frame, task: Task, ids: np.ndarray | None = None) -> None:
    """Store the fingerprints of the samples (of these, or of all) that have none. Images that
    cannot be read get none.

    What is done is kept, whatever ends it. Raises StoppedError.
    """
    missing = np.setdiff1d(frame.ids if ids is None else ids, _stored_ids(frame))
    if not len(missing):
        return
    meter = task.stage("reading images", len(missing), stoppable=False)
    waiting: list[pa.Table] = []
    written = time.monotonic()
    try:
        groups = [missing[start : start + ROWS] for start in range(0, len(missing), ROWS)]
        for made, count in prefetch(partial(_fingerprints, frame, task=task), groups):
            waiting.append(made)
            meter.advance(count)
            if time.monotonic() - written > WRITE_SECONDS:
                _write(frame, waiting)
                written = time.monotonic()
    finally:
        _write(frame, waiting)


def read_fingerprints(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the samples that have one: sorted ids (n,) and pixel hashes (n,), both int64, and
    thumbnails, uint8 (n, THUMBNAIL_SIDE, THUMBNAIL_SIDE)."""
    with frame.steady():
        rows = frame.read(TABLE, FINGERPRINTS.names)
        rows = FINGERPRINTS.empty_table() if rows is None else rows.sort_by("id").combine_chunks()
        rows = rows.filter(pa.array(find(frame.ids, rows["id"].to_numpy())[1]))
    flat = pa.concat_arrays(rows["thumbnail"].chunks or [pa.array([], FINGERPRINTS.types[2])])
    size, shape = THUMBNAIL_SIDE**2, (len(flat), THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    buffer = flat.buffers()[1] or b""
    grey = np.frombuffer(buffer, np.uint8, len(flat) * size, flat.offset * size).reshape(shape)
    return rows["id"].to_numpy(), rows["pixels"].to_numpy(), grey


def pixel_hashes(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Of the samples that have a fingerprint: sorted ids (n,) and pixel hashes (n,), int64."""
    with frame.steady():
        rows = frame.read(TABLE, ["id", "pixels"])
        rows = FINGERPRINTS.empty_table().select(["id", "pixels"]) if rows is None else rows
        rows = rows.sort_by("id")
        rows = rows.filter(pa.array(find(frame.ids, rows["id"].to_numpy())[1]))
    return rows["id"].to_numpy(), rows["pixels"].to_numpy()


def thumbnail(image: Image.Image) -> np.ndarray:
    """Grey, uint8 (THUMBNAIL_SIDE, THUMBNAIL_SIDE); the whole picture, squeezed to a square."""
    size = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    grey = to_rgb(image).convert("L").resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(grey)


def _stored_ids(frame: Frame) -> np.ndarray:
    rows = frame.read(TABLE, ["id"])
    return np.empty(0, np.int64) if rows is None else rows["id"].to_numpy()


def _write(frame: Frame, waiting: list[pa.Table]) -> None:
    rows = pa.concat_tables(waiting) if waiting else FINGERPRINTS.empty_table()
    waiting.clear()
    if len(rows):
        with frame.writing():
            # not append: another process may have looked at the same images
            frame.upsert(TABLE, rows, FINGERPRINTS)


def _fingerprints(frame: Frame, ids: np.ndarray, task: Task) -> tuple[pa.Table, int]:
    rows = frame.take("samples", frame.positions(ids), ["filepath", "image"])
    made = []
    columns = (rows[name].to_pylist() for name in ("id", "filepath", "image"))
    for sample, path, data in zip(*columns, strict=True):
        if task.stop():  # large ones take a while
            raise StoppedError(
                "stopped while the images were read: what was read is kept, and the next search "
                "goes on from there."
            )
        try:
            image = decode(path, data)
            made.append((sample, pixel_hash(image), thumbnail(image).tobytes()))
        except UnreadableImageError:  # the search is of use without it
            continue
    columns = map(list, zip(*made, strict=True)) if made else ([], [], [])
    return pa.table(list(columns), schema=FINGERPRINTS), len(ids)
