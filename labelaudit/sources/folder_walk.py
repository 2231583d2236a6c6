"""Lists the files of a local folder. Links to folders are followed, but never in a circle."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import DamagedError
from ..storage.allowed_roots import is_inside
from .folder_names import is_system

SYSTEM = "hidden or system files and folders"
SPECIAL = "pipes, devices and broken links"
CIRCLE = "is a link to a folder around it: its images are read there"
OUTSIDE = "is a link to a folder outside of those that may be used here"
TOO_OFTEN = "is a link to a folder that is linked too often"
MAX_VISITS = 20  # of one folder through links; links to links could multiply it without end


@dataclass
class Listing:
    """names: relative, with '/'. passed_over: numbers by reason. left_out: (name, reason)."""

    names: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    left_out: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Open:
    """A folder to read. around: device and inode of the folders around it, through links, too."""

    prefix: str
    around: frozenset[tuple[int, int]]


def list_files(root: Path, allowed_roots: Sequence[str] | None = None) -> Listing:
    """List the files below a folder.

    allowed_roots: resolved folders that links must not leave; None for anywhere. Raises
    DamagedError if a folder cannot be read.
    """
    found, visits = Listing(), Counter[tuple[int, int]]()
    waiting = [_Open("", frozenset({_identity(str(root))}))]
    while waiting:
        folder = waiting.pop()
        for entry in _entries(root / folder.prefix):
            name = f"{folder.prefix}{entry.name}"
            if is_system(entry.name):
                found.passed_over[SYSTEM] += 1
            elif entry.is_dir():
                inside = _inside(name, entry, folder, found, visits, allowed_roots)
                waiting += [inside] if inside else []
            elif entry.is_file() or (entry.is_symlink() and Path(name).suffix):
                found.names.append(name)  # a broken link is reported where it is read
            else:
                found.passed_over[SPECIAL] += 1
    return found


def _inside(
    name: str,
    entry: os.DirEntry,
    folder: _Open,
    found: Listing,
    visits: Counter,
    allowed_roots: Sequence[str] | None,
) -> _Open | None:
    """Return a folder to read; None, with the reason in `found`, for one that is not read."""
    identity = _identity(entry.path)
    if entry.is_symlink():
        visits[identity] += 1
        reason = None
        if identity in folder.around:
            reason = CIRCLE
        elif allowed_roots is not None and not is_inside(entry.path, allowed_roots):
            reason = OUTSIDE
        elif visits[identity] > MAX_VISITS:
            reason = TOO_OFTEN
        if reason:
            found.left_out.append((name, reason))
            return None
    return _Open(f"{name}/", folder.around | {identity})


def _identity(path: str) -> tuple[int, int]:
    try:
        state = os.stat(path)
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}.") from error
    return state.st_dev, state.st_ino


def _entries(path: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}.") from error
