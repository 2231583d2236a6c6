"""Whether data somewhere else is the same as a dataset: images and labels."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice

import numpy as np

from ..core.errors import BadInputError, DamagedError
from ..core.files import file_hash
from ..core.images import UnreadableImageError, decode
from ..core.progress import QUIET, Task
from ..dataset.dataset import Dataset
from ..dataset.state_fingerprint import content_fingerprint, dataset_fingerprint, image_hashes
from ..sources.load import open_source, source_options
from ..sources.source import Row
from ..storage.schema import REMOVED, SHA256_BYTES

ROWS = 256  # images that are hashed together
LEAST_DIGITS = 12  # of a fingerprint that is given


@dataclass(frozen=True)
class Verified:
    """The comparison of a dataset with a target, by fingerprint and in numbers."""

    equal: bool
    fingerprint: str  # of the dataset
    other: str  # of the target
    missing: int = 0  # images of the dataset that the target lacks
    extra: int = 0  # images that only the target has
    relabelled: int = 0  # images with another label there

    def to_dict(self) -> dict:
        """Return all fields as plain JSON values."""
        return asdict(self)


def verify(dataset: Dataset, target: str | os.PathLike | None, task: Task = QUIET) -> Verified:
    """Compare a dataset with a folder, a list or an export, by the content of all images and by
    their labels; or with a fingerprint, of which the first 12 digits are enough.

    Samples that are removed do not count. Paths, ids and splits do not matter. target: what
    `load_dataset` reads, or a fingerprint; None compares nothing. Raises the errors of
    `load_dataset` if it cannot be read, and BadInputError if the dataset does not know the hashes
    of its images.
    """
    frame = dataset.view().frame
    with frame.steady():
        own = dataset_fingerprint(frame)
        if own is None:
            raise BadInputError(
                f"dataset {dataset.name!r} does not know the hashes of its images, because it was "
                "loaded by an earlier version or an image cannot be read: load it once more."
            )
        text = "" if target is None else str(target)
        if target is None or _is_fingerprint(text):
            return Verified(own.startswith(text.lower()), own, text or own)
        at = np.flatnonzero(~frame.tagged(REMOVED))
        hashes = image_hashes(frame, frame.ids[at])
        names = np.array([*frame.classes, None], object)[frame.label[at]].tolist()
    here = Counter(zip(map(bytes, hashes), names, strict=True))
    there, labels = _read(target, {digest for digest, _ in here}, task)
    other = content_fingerprint(there, labels)
    far = Counter(zip(map(bytes, there), labels, strict=True))
    less, more = here - far, far - here
    images = [Counter(), Counter()]
    for counts, found in zip(images, (less, more), strict=True):
        for (digest, _), number in found.items():
            counts[digest] += number
    relabelled = (images[0] & images[1]).total()
    return Verified(
        own == other,
        own,
        other,
        missing=less.total() - relabelled,
        extra=more.total() - relabelled,
        relabelled=relabelled,
    )


def _is_fingerprint(text: str) -> bool:
    digits = set(text.lower()) <= set("0123456789abcdef")
    return digits and LEAST_DIGITS <= len(text) <= 64 and not os.path.exists(text)


def _read(
    target: str | os.PathLike, known: set[bytes], task: Task
) -> tuple[np.ndarray, list[str | None]]:
    """Return the hash of each image, uint8 (n, 32), and its label. Files that are no images are
    left out, as by `load_dataset`. known: hashes of images, which need not be opened."""
    options = source_options(None, None, None, None, (), None)
    source = open_source(target, None, None, options, task)
    stage = task.stage(f"reading {source.description}", source.total)
    rows, hashes, labels = source.usable_rows(), bytearray(), []
    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
        while group := list(islice(rows, ROWS)):
            for row, digest in zip(group, pool.map(_hash, group), strict=True):
                if digest is None:
                    raise DamagedError(f"image {row['filepath']} cannot be read: restore it.")
                if digest not in known and not _is_image(row):
                    continue
                hashes += digest
                labels.append(row.get("label"))
            stage.advance(len(group))
    return np.frombuffer(bytes(hashes), np.uint8).reshape(-1, SHA256_BYTES), labels


def _is_image(row: Row) -> bool:
    try:
        decode(row["filepath"], row.get("image"))
    except UnreadableImageError:
        return False
    return True


def _hash(row: Row) -> bytes | None:
    data = row.get("image")
    return file_hash(row["filepath"]) if data is None else sha256(data).digest()
