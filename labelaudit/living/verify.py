"""Whether data somewhere else is the same as a dataset: images and labels."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np

from ..core.errors import BadInputError, DamagedError
from ..core.files import file_hash
from ..core.images import UnreadableImageError, decode
from ..core.plural import counted
from ..core.progress import QUIET, Task
from ..dataset.dataset import Dataset
from ..dataset.state_fingerprint import content_fingerprint, dataset_fingerprint, image_hashes
from ..export.provenance import DIGITS, SUSPECTS
from ..sources.load import open_source, place, source_options
from ..sources.source import Row
from ..storage.object_store import is_remote
from ..storage.schema import REMOVED, SHA256_BYTES
from .recorded_state import TABLES, Recorded, recorded_state

ROWS = 256  # images that are hashed together
# What was compared: a fingerprint alone, all images with their labels, or the labels of ids.
FINGERPRINT, IMAGES, LABELS = "fingerprint", "images and labels", "labels by id"


@dataclass(frozen=True)
class Verified:
    """The comparison of a dataset with a target, by fingerprint and in numbers. As text, it says
    what was compared and what was found."""

    equal: bool  # in all that was compared
    fingerprint: str  # of the dataset
    other: str  # of the target: of its content, or the one that it names
    missing: int = 0  # images of the dataset that the target lacks, or a part has lost
    extra: int = 0  # images that only the target has
    relabelled: int = 0  # images with another label there
    compared: str = FINGERPRINT  # or IMAGES or LABELS
    recorded: str | None = None  # the state that the target says it was written from
    edited: bool = False  # whether the target is known to have been changed since
    part: tuple[int, int] | None = None  # (images there, of how many), if it has only some
    dataset: str = "the dataset"  # its name
    target: str | None = None
    skipped: int = 0  # images of the target that were not read
    first_skipped: str = ""  # one of them, and why

    def to_dict(self) -> dict:
        """Return all fields as plain JSON values."""
        return asdict(self)

    @property
    def is_from_now(self) -> bool:
        """Whether the target says that it was written from the state of the dataset now."""
        return self.recorded is not None and self.fingerprint.startswith(self.recorded)

    def __str__(self) -> str:
        return " ".join(filter(None, [self._found(), self._origin(), self._limits()]))

    def _found(self) -> str:
        if self.compared == FINGERPRINT:
            return self._found_by_name()
        if self.missing or self.extra or self.relabelled:
            return (
                f"{self.target} differs from {self.dataset}: {counted(self.missing, 'image')} "
                f"missing, {self.extra:,} additional, {self.relabelled:,} labelled differently."
            )
        if self.part:
            here, total = self.part
            images = f"{here:,} of the {counted(total, 'image')}"
            return f"{self.target} has {images} of {self.dataset}, with the same labels."
        what = self.compared.removesuffix(" by id")
        return f"{self.target} has the {what} of {self.dataset}, {self.fingerprint}."

    def _found_by_name(self) -> str:
        now = f"{self.dataset} has the fingerprint {self.fingerprint}"
        if self.recorded is None:
            return f"{now}." if self.equal else f"{now}, not {self.other}."
        if self.is_from_now:
            state = f"the state that {self.dataset} has now, {self.fingerprint}"
            return f"{self.target} was written from {state}."
        return f"{self.target} was written from another state, {self.recorded}: now {now}."

    def _origin(self) -> str:
        """Say what else is known about the target."""
        if self.recorded is None or self.compared == FINGERPRINT:
            return "It was changed after it was written." if self.edited else ""
        differs = self.missing or self.extra or self.relabelled
        changed = self.edited or (self.is_from_now and differs)
        state = "this state" if self.is_from_now else f"another state, {self.recorded}"
        return f"It was written from {state}{', and changed afterwards' if changed else ''}."

    def _limits(self) -> str:
        """Say what was not compared."""
        if self.skipped:
            count = counted(self.skipped, "image", "was", "were")
            return f"{count} not read, such as {self.first_skipped}."
        if self.compared == LABELS:
            return "The labels were compared by id, because none of its images is here."
        if self.compared == FINGERPRINT and self.recorded:
            return "Only the fingerprint was compared."
        return ""


def verify(dataset: Dataset, target: str | os.PathLike | None, task: Task = QUIET) -> Verified:
    """Compare a dataset with a folder, a list or an export, by the content of all images and by
    their labels; with any file that LabelAudit wrote, by the fingerprint in it and by what else can
    be compared; or with a fingerprint, of which the first 12 digits are enough.

    Samples that are removed do not count. Paths, ids and splits do not matter. A table whose images
    are all elsewhere is compared by ids. A report, a check or a patch has only its fingerprint.
    target: a file of LabelAudit, what `load_dataset` reads, or a fingerprint; None compares
    nothing. Raises the errors of `load_dataset` if it cannot be read, and BadInputError if it is
    not clear which state it names, or the dataset does not know the hashes of its images.
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
            equal = own.startswith(text.lower())
            return Verified(equal, own, text or own, dataset=dataset.name, target=text or None)
        place(text)  # refuses an empty one
        known = None if is_remote(text) else recorded_state(target)
        counts = np.ones(len(frame.ids), bool)
        if known is None or known.kind != SUSPECTS:  # they may list removed samples
            counts = ~frame.tagged(REMOVED)
        at = np.flatnonzero(counts)
        ids = frame.ids[at]
        labels = np.array([*frame.classes, None], object)[frame.label[at]]
        here = _Content(list(map(bytes, image_hashes(frame, ids))), labels.tolist(), ids.tolist())
    if known is not None and (not known.has_content or known.samples == 0):
        from_now = own.startswith(known.fingerprint)
        return Verified(
            from_now and not known.edited,
            own,
            known.fingerprint,
            recorded=known.fingerprint,
            edited=known.edited,
            dataset=dataset.name,
            target=text,
        )
    there = _read(target, known, set(here.hashes), task)
    found = _compare(own, here, there, known)
    return replace(found, dataset=dataset.name, target=text)


@dataclass
class _Content:
    """Images with their labels. Without hashes, no image could be read."""

    hashes: list[bytes] = field(default_factory=list)  # SHA-256
    labels: list[str | None] = field(default_factory=list)
    ids: list[int | None] = field(default_factory=list)
    skipped: int = 0  # images that were not read
    first_skipped: str = ""  # one of them, and why


def _compare(own: str, here: _Content, there: _Content, known: Recorded | None) -> Verified:
    by_id = len(there.hashes) < len(there.ids)
    keys, other_keys = (here.ids, there.ids) if by_id else (here.hashes, there.hashes)
    missing, extra, relabelled = _differences(
        Counter(zip(keys, here.labels, strict=True)),
        Counter(zip(other_keys, there.labels, strict=True)),
    )
    part = None
    if known is not None and known.is_part:
        part = (len(there.labels), len(here.labels))
        missing = max(0, (known.samples or 0) - len(there.labels))
    other = known.fingerprint if known else ""
    if not by_id:
        digests = np.frombuffer(b"".join(there.hashes), np.uint8).reshape(-1, SHA256_BYTES)
        other = content_fingerprint(digests, there.labels)
    from_now = known is not None and own.startswith(known.fingerprint)
    same = not (missing or extra or relabelled)
    return Verified(
        same and (from_now or (part is None and own == other)),
        own,
        other,
        missing,
        extra,
        relabelled,
        compared=LABELS if by_id else IMAGES,
        recorded=known and known.fingerprint,
        edited=known is not None and known.edited,
        part=part,
        skipped=there.skipped,
        first_skipped=there.first_skipped,
    )


def _differences(here: Counter, there: Counter) -> tuple[int, int, int]:
    """Return how many images are missing, additional, and labelled differently.

    here, there: numbers of pairs of image and label.
    """
    less, more = here - there, there - here
    images = [Counter(), Counter()]
    for counts, found in zip(images, (less, more), strict=True):
        for (image, _), number in found.items():
            counts[image] += number
    relabelled = (images[0] & images[1]).total()
    return less.total() - relabelled, more.total() - relabelled, relabelled


def _is_fingerprint(text: str) -> bool:
    digits = set(text.lower()) <= set("0123456789abcdef")
    return digits and DIGITS <= len(text) <= 64 and not os.path.exists(text)


def _read(
    target: str | os.PathLike, known: Recorded | None, hashes: set[bytes], task: Task
) -> _Content:
    """Read the images and labels of a target. Files that are no images are left out, as by
    `load_dataset`; if no image of a table of LabelAudit is here, there are no hashes.

    hashes: of images that need not be opened.
    """
    label = "ground_truth" if known is not None and known.kind == SUSPECTS else None
    options = source_options(label, None, None, None, (), None)
    try:
        source = open_source(target, None, None, options, task)
    except (BadInputError, DamagedError) as error:
        if known is not None or not os.path.isfile(target):
            raise
        raise type(error)(
            f"{target} has no fingerprint of LabelAudit, and is no list of images: {error}"
        ) from error
    stage = task.stage(f"reading {source.description}", source.total)
    rows, found, unread = source.usable_rows(), _Content(), []
    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
        while group := list(islice(rows, ROWS)):
            for row, digest in zip(group, pool.map(_hash, group), strict=True):
                if digest is None:
                    unread.append(row["filepath"])
                elif digest in hashes or _is_image(row):
                    found.hashes.append(digest)
                else:
                    continue
                found.labels.append(row.get("label"))
                found.ids.append(row.get("id"))
            stage.advance(len(group))
    report = source.skipped.report
    found.skipped = report["count"]
    found.first_skipped = next((f"{file['file']}: {file['why']}" for file in report["files"]), "")
    is_table = known is not None and Path(target).suffix.lower() in TABLES
    if unread and (found.hashes or not is_table or None in found.ids):
        raise DamagedError(f"image {unread[0]} cannot be read: restore it.")
    return found


def _is_image(row: Row) -> bool:
    try:
        decode(row["filepath"], row.get("image"))
    except UnreadableImageError:
        return False
    return True


def _hash(row: Row) -> bytes | None:
    data = row.get("image")
    return file_hash(row["filepath"]) if data is None else sha256(data).digest()
