"""Where the files of a source are: a folder here, a zip in `archive.py`, a bucket in `bucket.py`.

Names are relative, with '/' between their parts. In a local folder, an image list may name any file
of the machine (`/far/1.png`, `../1.png`), because it is the user's own disk. In a zip, nothing
outside it is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Protocol

from ..core.errors import DamagedError
from ..storage.allowed_roots import check_inside
from .source import Row


class Files(Protocol):
    """The files of a source.

    kind: "folder", "archive" or "bucket". path: as the user wrote it. undecodable_names: printable
    forms of file names that are not valid text. load: returns the bytes of an image that is copied
    into the dataset; None if images are referenced. prefetch: the same, called by threads ahead of
    time; it returns None for a large image. It is None itself if prefetching has no benefit.
    """

    kind: str
    path: Path | str
    undecodable_names: Sequence[str]
    load: Callable[[Row], bytes] | None
    prefetch: Callable[[Row], bytes | None] | None

    @property
    def names(self) -> list[str]:
        """Names of all files, sorted; hidden files are left out."""
        ...

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
        return sorted(name for name in self._all_names if _is_text(name))

    @property
    def undecodable_names(self) -> list[str]:
        names = (name for name in self._all_names if not _is_text(name))
        return [n.encode(errors="surrogateescape").decode(errors="replace") for n in names]

    @cached_property
    def _all_names(self) -> list[str]:
        return list(_files_below(self.path))

    def display_name(self, name: str) -> str:
        return str(self.path / name)

    def filepath(self, name: str) -> str:
        return str(self.path / name)

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


def _files_below(root: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise DamagedError(f"{error.filename} cannot be read: {error.strerror}.") from error

    for folder, folders, files in os.walk(root, onerror=fail, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        yield from (f"{prefix}{name}" for name in files if not name.startswith("."))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # the name's bytes are in no encoding that Python knows
        return False
    return True
