"""Fingerprints of a dataset's state: hashes over its images and labels."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..storage.schema import REMOVED, SHA256_BYTES
from .arrays import MISSING, in_order
from .columns import Frame
from .content_hash import content_hashes

TABLE = "source-files"


def image_hashes(frame: Frame, ids: np.ndarray) -> np.ndarray | None:
    """Return the SHA-256 of each image, uint8 (n, 32); None if some are not known.

    ids: sorted, int64 (n,). Hashes that were stored when images were loaded are taken as they are.
    Images without one are read if they are stored in the dataset.
    """
    found = np.zeros((len(ids), SHA256_BYTES), np.uint8)
    known = np.zeros(len(ids), bool)
    rows = frame.read(TABLE, ["id", "sha256"])
    if rows is not None:
        rows = rows.filter(pc.is_valid(rows["sha256"]))
        rows = in_order(rows.filter(pc.is_in(rows["id"], pa.array(ids))), ids)
    if rows is not None and len(rows):
        digests = rows["sha256"].combine_chunks()
        data = np.frombuffer(digests.buffers()[1], np.uint8).reshape(-1, SHA256_BYTES)
        at = np.searchsorted(ids, rows["id"].to_numpy())
        found[at] = data[digests.offset : digests.offset + len(digests)]
        known[at] = True
    missing = np.flatnonzero(~known)
    if len(missing):
        paths = frame.take("samples", frame.positions(ids[missing]), ["filepath"])["filepath"]
        if pc.any(pc.starts_with(paths, "/")).as_py():  # files: reading all may take hours
            return None
    for place, digest in zip(missing.tolist(), content_hashes(frame, ids[missing]), strict=True):
        if digest is None:
            return None
        found[place] = np.frombuffer(digest, np.uint8)
    return found


def content_fingerprint(hashes: np.ndarray, labels: Sequence[str | None]) -> str:
    """Return a hash over images and labels, 64 hexadecimal digits.

    It depends neither on the order nor on ids and paths: a copy of the data elsewhere has the same.
    hashes: SHA-256 of each image, uint8 (n, 32). labels: n class names, None for no label.
    """
    of_name = {name: sha256((name or "").encode()).digest() for name in set(labels)}
    of_name[None] = bytes(SHA256_BYTES)
    names = np.frombuffer(b"".join(of_name[name] for name in labels), np.uint8)
    rows = np.hstack([hashes, names.reshape(-1, SHA256_BYTES)])
    ordered = np.sort(np.ascontiguousarray(rows).view(f"S{2 * SHA256_BYTES}").ravel())
    return sha256(ordered.tobytes()).hexdigest()


def dataset_fingerprint(frame: Frame) -> str | None:
    """Return `content_fingerprint` of all samples that are not removed, with their labels now.

    None if the hashes of its images are not known: it was loaded by an earlier version, or an
    image cannot be read.
    """

    def compute() -> str | None:
        at = np.flatnonzero(~frame.tagged(REMOVED))
        # stored images without a hash are not read again when a label changes
        stamps = (frame.stamp("samples"), frame.stamp(TABLE))
        every = frame.cached("image hashes", stamps, lambda: image_hashes(frame, frame.ids))
        hashes = image_hashes(frame, frame.ids[at]) if every is None else every[at]
        if hashes is None:
            return None
        names = np.array([*frame.classes, None], object)
        codes = np.where(frame.label[at] == MISSING, len(names) - 1, frame.label[at])
        return content_fingerprint(hashes, names[codes].tolist())

    with frame.steady():
        tables = ("annotations", TABLE, "meta")
        stamps = tuple(frame.stamp(table) for table in tables)
        return frame.cached("fingerprint of the state", stamps, compute)
