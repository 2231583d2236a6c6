"""Counts what is in a source and is not loaded: other files, files of the system, odd classes."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from .files import Files
from .source import Skipped, is_image_name

# Files that hold images, or are images, but cannot be read.
_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z", ".zst"}
_ARRAYS = {".npy", ".npz", ".h5", ".hdf5", ".mat", ".pkl", ".pickle", ".tfrecord", ".tfrecords"}
_DRAWINGS = {".svg", ".svgz", ".eps", ".ai", ".pdf", ".wmf", ".emf"}
_IMAGES = {
    ".jxl", ".jxr", ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2",
    ".raw", ".dcm", ".dicom", ".nii", ".fits", ".xcf", ".icns", ".djvu", ".bpg", ".flif",
}  # fmt: skip
MAX_SHOWN = 5  # classes that are named in a note


def report_unread(files: Files, skipped: Skipped, read: Collection[str] = ()) -> None:
    """Report the files that are no images, or cannot be read as images. read: lists that are read.

    Image files are reported by those who read or skip them.
    """
    for name, reason in files.left_out:
        skipped.add(name, reason)
    for kind, count in files.passed_over.items():
        skipped.add_others(kind, count)
    kinds: Counter[str] = Counter()
    for name in files.names:
        if is_image_name(name) or name in read:
            continue
        suffix = PurePosixPath(name).suffix.lower()
        if reason := _why_unreadable(suffix):
            skipped.add(name, reason)
        else:
            kinds[f"{suffix} files" if suffix else "files without a suffix"] += 1
    for kind, count in kinds.most_common():
        skipped.add_others(kind, count)


def _why_unreadable(suffix: str) -> str | None:
    """Return why a file of images is not read; None for any other file."""
    if suffix in _ARCHIVES:
        return "is an archive inside the source: unpack it, or load it by its own path"
    if suffix in _DRAWINGS:
        return f"is a drawing ({suffix}), not a photograph: convert it to PNG"
    if suffix in _ARRAYS:
        return f"holds arrays ({suffix}): load them with load_arrays"
    if suffix in _IMAGES:
        return f"has the format {suffix}, which is not read: convert it to PNG or JPEG"
    return None


def similar_classes(classes: Iterable[str]) -> list[list[str]]:
    """Return groups of classes whose names differ only by case, Unicode form or blanks."""
    groups = defaultdict(list)
    for name in classes:
        key = re.sub(r"\s+", "", unicodedata.normalize("NFKC", name).casefold())
        groups[unicodedata.normalize("NFKC", key)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def note_odd_classes(classes: Collection[str], skipped: Skipped) -> None:
    """Mention that there is only one class, or classes that are probably one and how to merge
    them."""
    if len(classes) == 1:
        skipped.note(
            f"There is only one class, {next(iter(classes))!r}, so no label can be compared with "
            "another."
        )
    groups = similar_classes(classes)
    if not groups:
        return
    shown = "; ".join(" and ".join(map(repr, group)) for group in groups[:MAX_SHOWN])
    more = f"; and {len(groups) - MAX_SHOWN:,} more" if len(groups) > MAX_SHOWN else ""
    first = groups[0]
    skipped.note(
        f"Classes that differ only by case, blanks or Unicode form: {shown}{more}. They are kept "
        "apart. To merge two, correct the list or move the images into one folder before loading, "
        f"or run view = dataset.view().match(label={first[1]!r}); "
        f"dataset.set_labels(view.ids, {first[0]!r})."
    )
