"""Where an export goes: a folder, a zip, a file with company, or nowhere but into a count.

Each appears whole or not at all: it is made beside its place, and moved there at the end.
"""

from __future__ import annotations

import errno
import io
import os
import platform
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import LabelAuditError
from .content import ImageData, read_image
from .tables import open_sink

PARTIAL = ".partial"
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES, errno.ENOSYS}


class Tree:
    """Files by relative path, counted as they are written."""

    dry = False  # nothing is kept of what is written

    def __init__(self) -> None:
        self.files = self.bytes = self.linked = self.copied = 0

    def place(self, path: str, image: ImageData) -> None:
        """Put an image at a relative path."""
        raise NotImplementedError

    @contextmanager
    def open(self, path: str) -> Iterator[io.IOBase]:
        """A new file at a relative path, to write bytes to."""
        with self._open(path) as sink:
            counter = _Counting(sink)
            yield counter
        self.count(counter.written)

    def write(self, path: str, data: bytes) -> None:
        with self.open(path) as sink:
            sink.write(data)

    def count(self, size: int) -> None:
        self.files += 1
        self.bytes += size


class _Counting(io.RawIOBase):
    """Passes bytes on, and counts them."""

    def __init__(self, sink) -> None:
        self._sink, self.written = sink, 0

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self._sink.write(data)
        self.written += memoryview(data).nbytes
        return memoryview(data).nbytes

    def tell(self) -> int:
        return self.written


class CountTree(Tree):
    """Counts, and writes nothing."""

    dry = True

    def __init__(self, beside: Path, link: bool = False) -> None:
        """beside: the folder that the target would lie in. link: count hard links as such."""
        super().__init__()
        self._device = os.stat(beside).st_dev if link else None

    def place(self, path: str, image: ImageData) -> None:
        if isinstance(image, bytes):
            return self.count(len(image))
        found = os.stat(image)
        if self._device is None or found.st_dev != self._device:
            self.copied += self._device is not None
            return self.count(found.st_size)
        self.linked += 1
        return self.count(0)

    @contextmanager
    def _open(self, path: str) -> Iterator[io.IOBase]:
        with open(os.devnull, "wb") as sink:
            yield sink


class ZipTree(Tree):
    """A zip archive, in a file or in memory. Images are stored as they are: they are compressed."""

    def __init__(self, target: str | os.PathLike | io.IOBase) -> None:
        super().__init__()
        self._target = target

    def __enter__(self) -> ZipTree:
        self._sink = open_sink(self._target)
        self._zip = zipfile.ZipFile(self._sink.__enter__(), "w", strict_timestamps=False)
        return self

    def __exit__(self, *error) -> None:
        try:
            if error[0] is None:
                self._zip.close()
        except BaseException as failed:
            self._sink.__exit__(type(failed), failed, failed.__traceback__)
            raise
        self._sink.__exit__(*error)

    def place(self, path: str, image: ImageData) -> None:
        data = read_image(image)
        self._zip.writestr(path, data)
        self.count(len(data))

    @contextmanager
    def _open(self, path: str) -> Iterator[io.IOBase]:
        info = zipfile.ZipInfo(path)
        info.compress_type = zipfile.ZIP_DEFLATED
        with self._zip.open(info, "w", force_zip64=True) as sink:
            yield sink


class FolderTree(Tree):
    """A new folder, or an empty one."""

    def __init__(self, target: Path, link: bool = False) -> None:
        super().__init__()
        self.target, self._link = target, link
        self._partial = target.parent / f"{_mark(target)}{os.getpid()}{PARTIAL}"
        self._made: set[Path] = set()

    def __enter__(self) -> FolderTree:
        _remove_left(self.target)
        os.mkdir(self._partial)
        return self

    def __exit__(self, *error) -> None:
        try:
            if error[0] is None:
                self._put_in_place()
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def _put_in_place(self) -> None:
        if self.target.is_dir():
            os.rmdir(self.target)  # an empty one: not every system renames onto it
        os.rename(self._partial, self.target)

    def place(self, path: str, image: ImageData) -> None:
        target = self._path(path)
        if isinstance(image, bytes):
            target.write_bytes(image)
            return self.count(len(image))
        if self._link:
            try:
                os.link(os.path.realpath(image), target)
                self.linked += 1
                return self.count(0)
            except OSError as error:
                if error.errno not in NO_LINK:
                    raise
                self.copied += 1
        if not os.access(image, os.R_OK):
            read_image(image)  # says why
        shutil.copyfile(image, target)
        return self.count(target.stat().st_size)

    @contextmanager
    def _open(self, path: str) -> Iterator[io.IOBase]:
        with self._path(path).open("wb") as sink:
            yield sink

    def _path(self, path: str) -> Path:
        target = self._partial / path
        if target.parent not in self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(target.parent)
        return target


class Beside(FolderTree):
    """A file, and what goes with it, side by side. The file takes the place of one that is there;
    its company of folders does not."""

    def __init__(self, target: Path) -> None:
        super().__init__(target)
        self._names: dict[str, None] = {}

    def _put_in_place(self) -> None:
        *company, main = self._names
        for name in [*company, main]:
            os.replace(self._partial / name, self.target.parent / name)

    def _path(self, path: str) -> Path:
        self._names.setdefault(path.split("/")[0])
        return super()._path(path)


def _mark(target: Path) -> str:
    """What the name of an unfinished export begins with. It says which process of which machine
    makes it, and by that whether it is still being made."""
    return f".{target.name[:100]}.{platform.node()}."


def _remove_left(target: Path) -> None:
    """Clear away what exports to this place left that were killed."""
    mark = _mark(target)
    for entry in target.parent.iterdir():
        if entry.name.startswith(mark) and entry.name.endswith(PARTIAL):
            process = entry.name[len(mark) : -len(PARTIAL)]
            if process.isdigit() and not _lives(int(process)):
                shutil.rmtree(entry, ignore_errors=True)


def _lives(process: int) -> bool:
    if os.name == "nt":  # there, asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return process != os.getpid()  # this one has not begun yet


def check_target(target: Path) -> None:
    """Raises LabelAuditError where a new folder cannot be made at this path."""
    above = next((p for p in target.parents if p.exists()), None)
    if above is not None and not above.is_dir():
        raise LabelAuditError(f"{above} is a file: {target} cannot lie in it. Name another place.")
    if not target.parent.is_dir():
        raise LabelAuditError(f"{target.parent} does not exist: make that folder first.")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise LabelAuditError(f"{target} is there already: name a new folder.")
    if target.is_dir() and any(target.iterdir()):
        raise LabelAuditError(
            f"{target} is there already, and is not empty: name a new folder, or empty it."
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise LabelAuditError(f"{target.parent} may not be written to: name another place.")


def check_space(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise LabelAuditError(
            f"{target} needs {size(needed)}, and {size(free)} are free there: make room, or name "
            "another place."
        )


def size(count: int) -> str:
    """Bytes, for a person."""
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    plain = units[0] == "bytes" or value >= 100
    return f"{value:,.0f} {units[0]}" if plain else f"{value:.1f} {units[0]}"
