"""Where the files of a source are: a folder here, a zip in `archive.py`, a bucket in `bucket.py`.

Names are relative, with '/' between their parts. In a local folder, an image list may name any file
of the machine (`/far/1.png`, `../1.png`), because it is the user's own disk. In a zip, nothing
outside it is read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import IO, Protocol

from ..core.errors import BadInputError, DamagedError
from ..storage.allowed_roots import check_inside
from .folder_names import system_part
from .folder_walk import SYSTEM, Listing, list_files
from .source import Row


class Files(Protocol):
    """The files of a source.

    kind: "folder", "archive" or "bucket". path: as the user wrote it. undecodable_names: printable
    forms of file names that are not valid text. passed_over: numbers of files and folders that are
    not in `names`, by reason. left_out: (name, reason) of folders that are not read. load: returns
    the bytes of an image that is copied into the dataset; None if images are referenced. prefetch:
    the same, called by threads ahead of time; it returns None for a large image. It is None itself
    if prefetching has no benefit.
    """

    kind: str
    path: Path | str
    load: Callable[[Row], bytes] | None
    prefetch: Callable[[Row], bytes | None] | None

    @property
    def names(self) -> list[str]:
        """Names of all files, sorted; hidden files and those of the system are left out."""
        ...

    @property
    def undecodable_names(self) -> Sequence[str]: ...

    @property
    def passed_over(self) -> Counter[str]: ...

    @property
    def left_out(self) -> Sequence[tuple[str, str]]: ...

    def display_name(self, name: str) -> str:
        """Return what error messages call a file."""
        ...

    def filepath(self, name: str) -> str:
        """Return the `filepath` of the sample whose image has this name."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        ...

    def is_unsafe(self, name: str) -> bool:
        """Whether a careless program would unpack this file outside its folder."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open a file. Raises LabelAuditError if it cannot be read."""
        ...


class Folder:
    """A folder on this machine. Images stay where they are and are referenced."""

    kind = "folder"
    load: Callable[[Row], bytes] | None = None
    prefetch: Callable[[Row], bytes | None] | None = None

    def __init__(self, path: Path, allowed_roots: Sequence[str] | None = None) -> None:
        """allowed_roots: folders that an image list must be in, links resolved; None for any."""
        self.path, self.allowed_roots = path, allowed_roots

    @cached_property
    def names(self) -> list[str]:
        return sorted(name for name in self._listing.names if _is_text(name))

    @property
    def undecodable_names(self) -> list[str]:
        names = (name for name in self._listing.names if not _is_text(name))
        return [n.encode(errors="surrogateescape").decode(errors="replace") for n in names]

    @property
    def passed_over(self) -> Counter[str]:
        return self._listing.passed_over

    @property
    def left_out(self) -> Sequence[tuple[str, str]]:
        return self._listing.left_out

    @cached_property
    def _listing(self) -> Listing:
        return list_files(self.path, self.allowed_roots)

    def display_name(self, name: str) -> str:
        return str(self.path / name)

    def filepath(self, name: str) -> str:
        if name.startswith("/") or "//" in name or "/." in name or name.startswith("."):
            return str(self.path / name)  # in a list: another folder, or to be shortened
        return self._prefix + name

    @cached_property
    def _prefix(self) -> str:
        return os.path.join(self.path, "")

    def exists(self, name: str) -> bool:
        return os.path.isfile(self.path / name)  # False also for a name that is too long

    def is_unsafe(self, name: str) -> bool:
        return False

    def open(self, name: str) -> IO[bytes]:
        path = self.path / name
        if self.allowed_roots is not None:
            check_inside(path, self.allowed_roots)
        try:
            return path.open("rb")
        except OSError as error:
            raise DamagedError(f"{path} cannot be read: {error.strerror}.") from error


class Narrowed:
    """The files of a source without those that the user wants to ignore."""

    def __init__(self, files: Files, ignore: Sequence[str]) -> None:
        """ignore: names of folders and files at any level, or patterns such as `*/thumbs/*`.

        Raises BadInputError if one of them matches no file.
        """
        self._files = files
        kept, self.passed_over = files.names, Counter(files.passed_over)
        for pattern in ignore:
            remaining = [name for name in kept if not _matches(name, pattern)]
            if len(remaining) == len(kept):
                raise BadInputError(
                    f"ignore={pattern!r} matches no file in {files.path}: give the name of a "
                    "folder or file in it, or a pattern such as '*/thumbs/*'."
                )
            self.passed_over[f"ignored ({pattern})"] += len(kept) - len(remaining)
            kept = remaining
        self.names = kept

    def __getattr__(self, name: str):
        return getattr(self._files, name)


def _matches(name: str, pattern: str) -> bool:
    return pattern.strip("/") in name.split("/") or (
        fnmatchcase(name, pattern) or name.startswith(f"{pattern.strip('/')}/")
    )


def without_system_files(names: Iterable[str]) -> tuple[list[str], Counter[str]]:
    """Return the names without hidden and system files, and how many of these there are; a folder
    counts once."""
    kept, system = [], set()
    for name in names:
        found = system_part(name)
        if found is None:
            kept.append(name)
        else:
            system.add(found)
    return kept, Counter({SYSTEM: len(system)}) if system else Counter()


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # the name's bytes are in no encoding that Python knows
        return False
    return True
