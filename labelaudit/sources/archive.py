"""A zip archive as the files of a source. It is never extracted."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from ..core.errors import BadInputError, DamagedError
from .files import without_system_files
from .source import Row

MAX_MEMBER_BYTES = 256 << 20  # one image, expanded
MAX_TOTAL_BYTES = 100 << 30  # all members, expanded
# Deflate shrinks zeros to a thousandth. Of real images, scanned bitmaps compress best, to a
# twentieth. Small archives are exempt, because what they expand to does no harm.
MAX_RATIO, RATIO_FROM = 200, 1 << 30
# zipfile holds the directory in memory at twelve times its size: 2 million names take 2 GB and a
# minute.
MAX_DIRECTORY_BYTES = 160 << 20
_END_BYTES = 22 + 65_535  # bytes at the end in which a zip says where its directory is
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags of a member


class Archive:
    """A zip. Its images are copied into the dataset, under their names in the zip."""

    kind = "archive"
    undecodable_names: Sequence[str] = ()
    left_out: Sequence[tuple[str, str]] = ()
    prefetch: Callable[[Row], bytes | None] | None = None

    def __init__(self, path: Path | str, file: IO[bytes] | None = None) -> None:
        """file: the content, if `path` is a URI.

        Raises LabelAuditError if it is not a complete zip, or expands beyond the limits.
        """
        try:
            with nullcontext(file) if file else open(path, "rb") as opened:
                self._size = _check_directory(opened, path)
            self._zip = zipfile.ZipFile(file or path)
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            raise DamagedError(f"{path} is not a complete zip archive: {error}.") from error
        self.path, self.name = path, PurePosixPath(str(path)).name
        infos = [info for info in self._zip.infolist() if info.filename and not info.is_dir()]
        names = [name.replace("\\", "/") for name in member_names(infos)]
        wanted, self.passed_over = without_system_files(names)
        self._members = dict(zip(names, infos, strict=True))
        if self.passed_over:
            kept = set(wanted)
            self._members = {name: info for name, info in self._members.items() if name in kept}
        self._repeated = {name for name, count in Counter(wanted).items() if count > 1}
        self._check_expanded(sum(info.file_size for info in infos))

    def _check_expanded(self, total: int) -> None:
        """Check the sizes that the archive declares; no member is read beyond its declared size."""
        packed = max(self._size, 1)
        if total > MAX_TOTAL_BYTES:
            raise BadInputError(
                f"{self.path} would expand to {total / 2**30:,.0f} GiB, over the limit of "
                f"{MAX_TOTAL_BYTES / 2**30:.0f} GiB: unpack it and load the folder."
            )
        if total > RATIO_FROM and total > MAX_RATIO * packed:
            raise BadInputError(
                f"{self.path} would expand to {total // packed:,} times its size, over the limit "
                f"of {MAX_RATIO}, which images never reach: unpack it and load the folder."
            )

    @cached_property
    def names(self) -> list[str]:
        return sorted(self._members)

    def display_name(self, name: str) -> str:
        return f"{self.name}/{name}"

    def filepath(self, name: str) -> str:
        """Return the member that a name refers to: `a/../b.jpg` is `b.jpg`."""
        parts: list[str] = []
        for part in PurePosixPath(name).parts:
            if part == ".." and parts:
                parts.pop()
            elif part != ".":
                parts.append(part)
        return "/".join(parts)

    def exists(self, name: str) -> bool:
        return self.filepath(name) in self._members

    def is_unsafe(self, name: str) -> bool:
        """Whether the name is like `../1.png`, `/1.png` or `C:\\1.png`."""
        return ".." in re.split(r"[/\\]", name) or bool(re.match(r"[/\\]|[A-Za-z]:", name))

    def open(self, name: str) -> IO[bytes]:
        try:
            info = self._members[name]
            _check_not_encrypted(info)
            return self._zip.open(info)
        except Exception as error:  # zip readers raise many types on broken members
            raise DamagedError(f"{self.path}: {name} cannot be read: {_problem(error)}.") from error

    def load(self, row: Row) -> bytes:
        """Return the bytes of a row's image. Raises LookupError or ValueError with the reason."""
        name = row["filepath"]
        info = self._members.get(name)
        if info is None:
            raise LookupError("there is no such file in the archive")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ValueError("is a link: put the image itself into the archive")
        if name in self._repeated:
            raise ValueError("occurs several times in the archive: keep one of them")
        if info.file_size > MAX_MEMBER_BYTES:
            raise ValueError(
                f"expands to {info.file_size >> 20:,} MiB, over the limit of "
                f"{MAX_MEMBER_BYTES >> 20} MiB"
            )
        _check_not_encrypted(info)
        try:
            return self._zip.read(info)
        except Exception as error:
            raise ValueError(_problem(error)) from error


def member_names(infos: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Return the names of members, with the encoding corrected where the archive does not say it.

    zipfile reads names without the flag of UTF-8 as cp437, the encoding of DOS. Other programs
    write UTF-8 or the encoding of Windows, cp1252. In cp437, the letters of cp1252 are lines and
    Greek letters.
    """
    unclear = [i for i, info in enumerate(infos) if not info.flag_bits & _UTF8
               and not info.filename.isascii()]  # fmt: skip
    names = [info.filename for info in infos]
    if not unclear:
        return names
    raw = {i: names[i].encode("cp437") for i in unclear}
    encoding = next(name for name in ("utf-8", "cp1252", "cp437") if _fits(raw.values(), name))
    for i, name in raw.items():
        names[i] = name.decode(encoding)
    return names


def _fits(names: Iterable[bytes], encoding: str) -> bool:
    if encoding == "cp1252":  # its letters
        return all(byte < 0x80 or byte >= 0xC0 for name in names for byte in name)
    try:
        return all(name.decode(encoding) for name in names)
    except UnicodeDecodeError:
        return False


def _check_not_encrypted(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise ValueError("is encrypted: unpack the archive, or create one without a password")


def _problem(error: Exception) -> str:
    return str(error) or f"it is broken ({type(error).__name__})"


def _check_directory(file: IO[bytes], path: Path | str) -> int:
    """Check that the directory fits into memory before it is read.

    Returns the size of the file in bytes. Raises LabelAuditError if the directory does not fit.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - _END_BYTES, 0))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")  # end of central directory
    if at < 0 or len(tail) < at + 16:
        return end  # not a zip: zipfile will say so
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    zip64 = tail.rfind(b"PK\6\6", 0, at)
    if size == 0xFFFFFFFF and zip64 >= 0:
        size = int.from_bytes(tail[zip64 + 40 : zip64 + 48], "little")
    if size > MAX_DIRECTORY_BYTES:
        raise BadInputError(
            f"{path} contains more files than can be listed in memory (their names take "
            f"{size >> 20:,} MiB, over the limit of {MAX_DIRECTORY_BYTES >> 20} MiB): unpack it "
            "and load the folder."
        )
    return end
