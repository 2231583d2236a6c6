"""File and folder names that are valid on every system, and unique."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

FOLDER_BYTES, FILE_BYTES = 100, 200  # of UTF-8; file systems allow 255
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')  # on Windows; and control characters
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # on Windows
_IGNORED = ("__MACOSX",)  # prefixes of folders that are ignored when a folder is loaded


def safe_name(name: str, limit: int = FOLDER_BYTES) -> str:
    """Return `name` if it is a valid file or folder name, else a similar one that is."""
    safe = _FORBIDDEN.sub("_", name).rstrip(". ")  # Windows removes dots and blanks at the end
    if safe.startswith((".", " ", *_IGNORED)) or _DEVICES.fullmatch(safe) or not safe:
        safe = "_" + safe.lstrip(". ")
    if len(safe.encode()) > limit:
        stem, suffix = os.path.splitext(safe)
        suffix = suffix if len(suffix.encode()) <= 10 else ""
        stem_bytes = limit - len(suffix.encode()) - 7
        cut = stem.encode()[:stem_bytes].decode(errors="ignore").rstrip(". ")
        safe = f"{cut}-{digest(name)}{suffix}"
    return safe


def distinct_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return a valid name for each of these names, unique also if case is ignored.

    taken: names that are already used. The result does not depend on the order of the names: valid
    names stay unchanged, and the others are changed so that they do not clash.
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


class UniquePaths:
    """Gives each file a unique relative path: `cat/1.jpg`, and `cat/1-17.jpg` for another one."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._files, self._folders = {key(name) for name in taken}, set()

    def add(self, folder: str, relative: Sequence[str], sample_id: int) -> str:
        """Return an unused path, and mark it as used.

        folder: used unchanged. relative: the parts of the wanted path below it. sample_id: added to
        the file name if the path is used already.
        """
        parts = [*(safe_name(part) for part in relative[:-1]), safe_name(relative[-1], FILE_BYTES)]
        path = "/".join([folder, *parts] if folder else parts)
        for i in range(10):
            if self._is_free(path):
                break
            stem, suffix = os.path.splitext(parts[-1])
            # a file may have the name of one of these folders, so they are left out at last
            folders = parts[:-1] if i == 0 else []
            name = f"{stem}-{sample_id}{f'-{i}' if i else ''}{suffix}"
            path = "/".join([folder, *folders, name] if folder else [*folders, name])
        self._files.add(key(path))
        self._folders.update(key(str(above)) for above in PurePosixPath(path).parents)
        return path

    def _is_free(self, path: str) -> bool:
        if key(path) in self._files or key(path) in self._folders:
            return False
        return not any(key(str(above)) in self._files for above in PurePosixPath(path).parents)


def key(name: str) -> str:
    """Return a key that is equal for names that some file system treats as the same."""
    return unicodedata.normalize("NFC", name).casefold()


def digest(name: str) -> str:
    """Return six hexadecimal digits of a hash of the name."""
    return hashlib.sha256(name.encode()).hexdigest()[:6]
