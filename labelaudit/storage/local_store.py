"""Small files and folders on a local disk: the functions of `object_store` that a dataset needs.

Files are named by path. A file's tag stands for its content, as an ETag does in object storage.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

TEMPORARY = ".new"  # suffix of a file that is being written
REPLACED = ".json"  # suffix of the files that LanceDB replaces in place

Listing: TypeAlias = dict[str, tuple[set[str], set[str]]]  # names of files and folders by folder


def read(path: str) -> tuple[bytes, str] | None:
    """Return a file and its tag, or None if it does not exist."""
    try:
        data = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return data, _tag(data)


def write_if(path: str, data: bytes, tag: str | None) -> str | None:
    """Write a file durably if the existing one has this tag (None: if none exists).

    Returns the new tag, or None if another writer was faster. Comparing and writing are two steps,
    so writers must hold a lock. Raises OSError if it cannot be written.
    """
    found = read(path)
    if (None if found is None else found[1]) != tag:
        return None
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + TEMPORARY, "wb") as file:
        file.write(data)
        file.flush()
        if is_synced():
            os.fsync(file.fileno())
    os.replace(path + TEMPORARY, path)
    folder = os.path.dirname(path)
    sync([folder] if tag else [folder, os.path.dirname(folder)])
    return _tag(data)


def delete(path: str) -> None:
    """Delete a file, if it exists."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def delete_below(path: str) -> None:
    """Delete a folder with its content, if it exists."""
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


def delete_empty(path: str) -> None:
    """Delete a folder if it is empty."""
    with suppress(OSError):
        os.rmdir(path)


def level_below(path: str) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files directly in a folder."""
    try:
        entries = list(os.scandir(path))
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    folders = [entry.name for entry in entries if entry.is_dir()]
    return folders, [entry.name for entry in entries if not entry.is_dir()]


def has_below(path: str) -> bool:
    """Return whether this folder exists and has content."""
    return any(level_below(path))


def list_below(path: str, known: Listing | None = None) -> Listing:
    """Return the files and the folders in a folder and in each of its subfolders.

    known: an earlier listing. Only names that are not in it are looked at, which makes the listing
    ten times as fast where hundreds of files were there before.
    """
    found: Listing = {}
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        try:
            names = set(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        files, folders = (known or {}).get(folder, (set(), set()))
        new = names - files - folders
        folders = (folders & names) | {n for n in new if os.path.isdir(os.path.join(folder, n))}
        found[folder] = names - folders, folders
        waiting += [os.path.join(folder, name) for name in folders]
    return found


def is_synced() -> bool:
    """Whether a commit waits until the disk has it. LABELAUDIT_FSYNC=0 turns that off, for tests
    and for data that may be lost in a power cut."""
    return os.environ.get("LABELAUDIT_FSYNC") != "0"


def sync(paths: Iterable[str]) -> None:
    """Wait until these files and folders are on the disk, so that a power cut cannot lose them."""
    if not is_synced():
        return
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except (FileNotFoundError, PermissionError):  # a clean-up removed it; Windows: a folder
            continue
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_new(found: Listing, known: Listing, root: str) -> None:
    """Sync the files in `found` that are not in `known`, and those that are replaced in place.

    The folders that list new files are synced too, and those that list new folders, up to `root`.
    """
    files: set[str] = set()
    folders: set[str] = set()
    for folder, (names, _) in found.items():
        changed = names - known.get(folder, (set(), set()))[0]
        changed |= {name for name in names if name.endswith(REPLACED)}
        files.update(os.path.join(folder, name) for name in changed)
        if changed:
            folders.add(folder)
            while folder not in known and folder != root:
                folder = os.path.dirname(folder)
                folders.add(folder)
    sync([*sorted(files), *sorted(folders, reverse=True)])


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
