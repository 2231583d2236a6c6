"""Names that are safe as files and folders on every system, and never the same twice."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

FOLDER_BYTES, FILE_BYTES = 100, 200  # of UTF-8; file systems take 255
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')  # on Windows; and what no terminal shows
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # on Windows
_UNSEEN = ("__MACOSX",)  # folders that are passed over when a folder is read


def safe_name(name: str, limit: int = FOLDER_BYTES) -> str:
    """`name` where it is a safe name for a file or folder, else one that resembles it."""
    safe = _FORBIDDEN.sub("_", name).rstrip(". ")  # Windows drops dots and blanks at the end
    if safe.startswith((".", " ", *_UNSEEN)) or _DEVICES.fullmatch(safe) or not safe:
        safe = "_" + safe.lstrip(". ")
    if len(safe.encode()) > limit:
        stem, suffix = os.path.splitext(safe)
        suffix = suffix if len(suffix.encode()) <= 10 else ""
        room = limit - len(suffix.encode()) - 7
        cut = stem.encode()[:room].decode(errors="ignore").rstrip(". ")
        safe = f"{cut}-{digest(name)}{suffix}"
    return safe


def distinct_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A safe name for each of these, no two alike, also where case does not count.

    The same names give the same answer in whatever order: those that are safe as they are keep
    their name, the others step aside.
    """
    used, chosen = {key(name) for name in taken}, {}
    ordered = sorted(set(names), key=lambda name: (safe_name(name) != name, name))
    for name in ordered:
        safe = safe_name(name)
        if key(safe) in used:
            safe = f"{safe_name(name, FOLDER_BYTES - 7)}-{digest(name)}"
        used.add(key(safe))
        chosen[name] = safe
    return chosen


class Places:
    """Gives each file a relative path of its own: `cat/1.jpg`, and `cat/1-17.jpg` for another."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._files, self._folders = {key(name) for name in taken}, set()

    def take(self, folder: str, below: Sequence[str], sample_id: int) -> str:
        """folder: is used as it is. below: the parts of the path that is wanted below it. The id
        tells files apart that would have the same."""
        parts = [*(safe_name(part) for part in below[:-1]), safe_name(below[-1], FILE_BYTES)]
        path = "/".join([folder, *parts] if folder else parts)
        for i in range(10):
            if self._free(path):
                break
            stem, suffix = os.path.splitext(parts[-1])
            kept = parts[:-1] if i == 0 else []  # a file may bear the name of one of these folders
            name = f"{stem}-{sample_id}{f'-{i}' if i else ''}{suffix}"
            path = "/".join([folder, *kept, name] if folder else [*kept, name])
        self._files.add(key(path))
        self._folders.update(key(str(above)) for above in PurePosixPath(path).parents)
        return path

    def _free(self, path: str) -> bool:
        if key(path) in self._files or key(path) in self._folders:
            return False
        return not any(key(str(above)) in self._files for above in PurePosixPath(path).parents)


def key(name: str) -> str:
    """Equal where some file system takes two names for one."""
    return unicodedata.normalize("NFC", name).casefold()


def digest(name: str) -> str:
    """Six hexadecimal digits that stay the same for a name."""
    return hashlib.sha256(name.encode()).hexdigest()[:6]
