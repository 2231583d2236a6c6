"""Where the files of a source lie: a folder on this machine, or a zip, which is never extracted.

Names are relative, with '/' between their parts. In a folder a listing may name any file of the
machine (`/far/1.png`, `../1.png`): it is the user's own disk. In a zip nothing outside it is read.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from ..errors import LabelAuditError
from .source import Row

MAX_MEMBER_BYTES = 256 << 20  # one image of a zip, expanded
MAX_TOTAL_BYTES = 100 << 30  # all that is in it


class Folder:
    """Files that are referenced where they lie."""

    what = "folder"
    load: Callable[[Row], bytes] | None = None

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def names(self) -> list[str]:
        """Of all files below it, sorted; hidden ones do not count."""
        return sorted(name for name in self._found if _is_text(name))

    @property
    def nameless(self) -> list[str]:
        """Names, as far as they can be shown, of the files whose name is no text."""
        odd = (name for name in self._found if not _is_text(name))
        return [n.encode(errors="surrogateescape").decode(errors="replace") for n in odd]

    @cached_property
    def _found(self) -> list[str]:
        return list(_walk(self.path))

    def called(self, name: str) -> str:
        """What a person calls this file of it."""
        return str(self.path / name)

    def locate(self, name: str) -> str:
        """What a sample's filepath is."""
        return str(self.path / name)

    def holds(self, name: str) -> bool:
        return (self.path / name).is_file()

    def leads_out(self, name: str) -> bool:
        return False

    def read(self, name: str) -> bytes:
        path = self.path / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise LabelAuditError(f"{path} cannot be read: {error.strerror}.") from error


class Archive:
    """Images of a zip are kept inside the dataset, under the names that they have in it."""

    what = "archive"
    nameless: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise LabelAuditError(f"{path} is not a whole zip archive: {error}.") from error
        self.path = path
        self._members = {info.filename: info for info in self._zip.infolist() if _wanted(info)}
        total = sum(info.file_size for info in self._members.values())
        if total > MAX_TOTAL_BYTES:
            raise LabelAuditError(
                f"{path} would expand to {total / 2**30:.0f} GiB, over the limit of "
                f"{MAX_TOTAL_BYTES / 2**30:.0f} GiB: unpack it and load the folder."
            )

    @cached_property
    def names(self) -> list[str]:
        return sorted(self._members)

    def called(self, name: str) -> str:
        return f"{self.path.name}/{name}"

    def locate(self, name: str) -> str:
        """The member that a name means: `a/../b.jpg` is `b.jpg`."""
        parts: list[str] = []
        for part in PurePosixPath(name).parts:
            if part == ".." and parts:
                parts.pop()
            elif part != ".":
                parts.append(part)
        return "/".join(parts)

    def holds(self, name: str) -> bool:
        return self.locate(name) in self._members

    def leads_out(self, name: str) -> bool:
        return ".." in PurePosixPath(name).parts or name.startswith("/")

    def read(self, name: str) -> bytes:
        try:
            return self._zip.read(self._members[name])
        except Exception as error:  # zip readers raise many kinds on broken members
            raise LabelAuditError(f"{self.path}: {name} cannot be read: {error}.") from error

    def load(self, row: Row) -> bytes:
        """The bytes of a row's image."""
        info = self._members.get(row["filepath"])
        if info is None:
            raise LookupError("there is no such file in the archive")
        if info.file_size > MAX_MEMBER_BYTES:
            raise ValueError(
                f"expands to {info.file_size >> 20} MiB, over {MAX_MEMBER_BYTES >> 20}"
            )
        return self._zip.read(info)


Files = Folder | Archive


def _walk(root: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise LabelAuditError(f"{error.filename} cannot be read: {error.strerror}.") from error

    for folder, folders, files in os.walk(root, onerror=fail, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        before = "" if below == "." else f"{below}/"
        yield from (f"{before}{name}" for name in files if not name.startswith("."))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # the bytes of the name are in no encoding that Python knows
        return False
    return True


def _wanted(info: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(info.filename).parts
    hidden = any(p.startswith("__MACOSX") or (p.startswith(".") and p != "..") for p in parts)
    return not info.is_dir() and not hidden
