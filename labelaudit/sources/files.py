"""Where the files of a source lie: a folder on this machine, or a zip, which is never extracted.
(In object storage: `bucket.py`.)

Names are relative, with '/' between their parts. In a folder a listing may name any file of the
machine (`/far/1.png`, `../1.png`): it is the user's own disk. In a zip nothing outside it is read.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from ..core.errors import LabelAuditError
from ..storage.allowed_roots import check_inside
from .source import Row

MAX_MEMBER_BYTES = 256 << 20  # one image of a zip, expanded
MAX_TOTAL_BYTES = 100 << 30  # all that is in it
# Deflate makes a thousandth of zeros; of the bitmaps of a scanner, which compress best of all that
# is an image, a twentieth. Small archives may: what they expand to does no harm.
MAX_RATIO, RATIO_FROM = 200, 1 << 30
# The list of what is in it is held in memory, at twelve times its size: 2 million names take 2 GB
# and a minute.
MAX_DIRECTORY_BYTES = 160 << 20
_TAIL = 22 + 65_535  # bytes at the end in which a zip says where that list is


class Folder:
    """Files that are referenced where they lie."""

    what = "folder"
    load: Callable[[Row], bytes] | None = None
    fetch: Callable[[Row], bytes | None] | None = None

    def __init__(self, path: Path, within: Sequence[str] | None = None) -> None:
        """within: folders that a list of images must lie in, links followed; by default any."""
        self.path, self.within = path, within

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

    def open(self, name: str) -> IO[bytes]:
        path = self.path / name
        if self.within is not None:
            check_inside(path, self.within)
        try:
            return path.open("rb")
        except OSError as error:
            raise LabelAuditError(f"{path} cannot be read: {error.strerror}.") from error


class Archive:
    """Images of a zip are kept inside the dataset, under the names that they have in it."""

    what = "archive"
    nameless: tuple[str, ...] = ()
    fetch: Callable[[Row], bytes | None] | None = None

    def __init__(self, path: Path | str, file: IO[bytes] | None = None) -> None:
        """file: what was fetched of a path that is a URI."""
        try:
            with nullcontext(file) if file else open(path, "rb") as opened:
                self._size = _check_directory(opened, path)
            self._zip = zipfile.ZipFile(file or path)
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            raise LabelAuditError(f"{path} is not a whole zip archive: {error}.") from error
        self.path, self.name = path, PurePosixPath(str(path)).name
        wanted = [info for info in self._zip.infolist() if _wanted(info)]
        self._members = {info.filename: info for info in wanted}
        self._twice = {n for n, k in Counter(i.filename for i in wanted).items() if k > 1}
        self._check_expanded(sum(info.file_size for info in wanted))

    def _check_expanded(self, total: int) -> None:
        """By what the archive says of itself; a member that holds more is not read beyond that."""
        packed = max(self._size, 1)
        if total > MAX_TOTAL_BYTES:
            raise LabelAuditError(
                f"{self.path} would expand to {total / 2**30:,.0f} GiB, over the limit of "
                f"{MAX_TOTAL_BYTES / 2**30:.0f} GiB: unpack it and load the folder."
            )
        if total > RATIO_FROM and total > MAX_RATIO * packed:
            raise LabelAuditError(
                f"{self.path} would expand to {total // packed:,} times its size, over the limit "
                f"of {MAX_RATIO}, as images never do: unpack it and load the folder."
            )

    @cached_property
    def names(self) -> list[str]:
        return sorted(self._members)

    def called(self, name: str) -> str:
        return f"{self.name}/{name}"

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
        """Where it is unpacked by a careless program: `../1.png`, `/1.png`, `C:\\1.png`."""
        return ".." in re.split(r"[/\\]", name) or bool(re.match(r"[/\\]|[A-Za-z]:", name))

    def open(self, name: str) -> IO[bytes]:
        try:
            return self._zip.open(self._members[name])
        except Exception as error:  # zip readers raise many kinds on broken members
            raise LabelAuditError(f"{self.path}: {name} cannot be read: {_why(error)}.") from error

    def load(self, row: Row) -> bytes:
        """The bytes of a row's image."""
        name = row["filepath"]
        info = self._members.get(name)
        if info is None:
            raise LookupError("there is no such file in the archive")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ValueError("is a link: put the image itself into the archive")
        if name in self._twice:
            raise ValueError("is there several times: leave one of them")
        if info.file_size > MAX_MEMBER_BYTES:
            raise ValueError(
                f"expands to {info.file_size >> 20:,} MiB, over {MAX_MEMBER_BYTES >> 20}"
            )
        try:
            return self._zip.read(info)
        except Exception as error:
            raise ValueError(_why(error)) from error


class Files(Protocol):
    """What all of them have. `path` is as a person writes it, and `what` says of which kind it is.

    load: gives the bytes of an image that is to be kept inside the dataset; None where images are
    referenced. fetch: the same by several threads ahead of its turn, None for a large one; None
    where that is of no use.
    """

    what: str
    path: Path | str
    nameless: Sequence[str]
    load: Callable[[Row], bytes] | None
    fetch: Callable[[Row], bytes | None] | None

    @property
    def names(self) -> list[str]: ...
    def called(self, name: str) -> str: ...
    def locate(self, name: str) -> str: ...
    def holds(self, name: str) -> bool: ...
    def leads_out(self, name: str) -> bool: ...
    def open(self, name: str) -> IO[bytes]: ...


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
    return bool(info.filename) and not info.is_dir() and not hidden


def _why(error: Exception) -> str:
    """What zipfile says of a member, in words."""
    text = str(error)
    if "encrypted" in text:
        return "is encrypted: unpack the archive, or make one without a password"
    return text or f"it is broken ({type(error).__name__})"


def _check_directory(file: IO[bytes], path: Path | str) -> int:
    """Refuse an archive of more names than fit into memory, before they are read. Returns its size
    in bytes."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - _TAIL, 0))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 16:
        return end  # no zip: zipfile will say so
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    large = tail.rfind(b"PK\6\6", 0, at)
    if size == 0xFFFFFFFF and large >= 0:
        size = int.from_bytes(tail[large + 40 : large + 48], "little")
    if size > MAX_DIRECTORY_BYTES:
        raise LabelAuditError(
            f"{path} holds more files than can be listed in memory (their names take "
            f"{size >> 20:,} MiB, over {MAX_DIRECTORY_BYTES >> 20}): unpack it and load the folder."
        )
    return end
