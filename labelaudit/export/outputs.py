"""Where an export is written: a folder, a zip, a file with its companions, or only a count.

Each is atomic: it is written next to its target under a temporary name, and moved at the end.
"""

from __future__ import annotations

import errno
import io
import json
import os
import platform
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Self

from .samples import ImageData, read_image, unreadable
from .tables import open_sink

PARTIAL = ".partial"  # suffix of an unfinished export
# errors that mean a file cannot be hard-linked, and must be copied
CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES, errno.ENOSYS}


class Output:
    """Files by relative path, counted as they are written."""

    dry = False  # whether nothing is stored

    def __init__(self) -> None:
        self.files = self.bytes = self.linked = self.copied = 0

    def add_image(self, path: str, image: ImageData) -> None:
        """Write an image to a relative path. Raises LabelAuditError if it cannot be read."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error) -> None:
        """Complete the output, or delete it after an error."""

    @contextmanager
    def open(self, path: str) -> Iterator[io.IOBase]:
        """Open a new file at a relative path for writing bytes."""
        with self._open(path) as sink:
            counter = _CountingSink(sink)
            yield counter
        self.count(counter.written)

    def _open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        raise NotImplementedError

    def write(self, path: str, data: bytes) -> None:
        """Write a new file at a relative path."""
        with self.open(path) as sink:
            sink.write(data)

    def write_json_list(
        self, path: str, items: Iterable[dict], start: bytes = b"[", end: bytes = b"]"
    ) -> None:
        """Write a JSON list item by item. start, end: what surrounds the items."""
        with self.open(path) as sink:
            sink.write(start)
            for i, item in enumerate(items):
                sink.write((",\n" if i else "\n").encode() + json.dumps(item).encode())
            sink.write(b"\n" + end + b"\n")

    def count(self, size: int) -> None:
        """Count a file of this many bytes."""
        self.files += 1
        self.bytes += size


class _CountingSink(io.RawIOBase):
    """Forwards bytes to another sink and counts them."""

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


class CountingOutput(Output):
    """Counts files and bytes, and writes nothing."""

    dry = True

    def __init__(self, folder: Path, link: bool = False) -> None:
        """folder: the parent of the target. link: count images that can be hard-linked as links."""
        super().__init__()
        self._device = os.stat(folder).st_dev if link else None

    def add_image(self, path: str, image: ImageData) -> None:
        if isinstance(image, bytes):
            return self.count(len(image))
        try:
            found = os.stat(image)
        except OSError as error:
            raise unreadable(image, error) from error
        if self._device is None or found.st_dev != self._device:
            self.copied += self._device is not None
            return self.count(found.st_size)
        self.linked += 1
        return self.count(0)

    @contextmanager
    def _open(self, path: str) -> Iterator[IO[bytes]]:
        with open(os.devnull, "wb") as sink:
            yield sink


class ZipOutput(Output):
    """A zip archive, in a file or in memory. Images, which are compressed, are only stored."""

    def __init__(self, target: str | os.PathLike | io.IOBase) -> None:
        super().__init__()
        self._target = target

    def __enter__(self) -> Self:
        self._sink = open_sink(self._target)
        self._zip = zipfile.ZipFile(self._sink.__enter__(), "w", strict_timestamps=False)
        return self

    def __exit__(self, *error) -> None:
        try:
            if error[0] is None:
                self._zip.close()
        except BaseException as failure:
            self._sink.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._sink.__exit__(*error)

    def add_image(self, path: str, image: ImageData) -> None:
        data = read_image(image)
        self._zip.writestr(path, data)
        self.count(len(data))

    @contextmanager
    def _open(self, path: str) -> Iterator[IO[bytes]]:
        info = zipfile.ZipInfo(path)
        info.compress_type = zipfile.ZIP_DEFLATED
        with self._zip.open(info, "w", force_zip64=True) as sink:
            yield sink


class FolderOutput(Output):
    """A new or empty folder."""

    def __init__(self, target: Path, link: bool = False) -> None:
        super().__init__()
        self.target, self._link = target, link
        self._partial = target.parent / f"{_prefix(target)}{os.getpid()}{PARTIAL}"
        self._created: set[Path] = set()

    def __enter__(self) -> Self:
        _remove_leftovers(self.target)
        os.mkdir(self._partial)
        return self

    def __exit__(self, *error) -> None:
        try:
            if error[0] is None:
                self._move_to_target()
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def _move_to_target(self) -> None:
        if self.target.is_dir():
            os.rmdir(self.target)  # empty; not every system renames onto a folder
        os.rename(self._partial, self.target)

    def add_image(self, path: str, image: ImageData) -> None:
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
                if not os.path.exists(image):
                    raise unreadable(image, error) from error
                if error.errno not in CANNOT_LINK:
                    raise
                self.copied += 1
        if not os.access(image, os.R_OK):
            read_image(image)  # raises an error with the reason
        shutil.copyfile(image, target)
        return self.count(target.stat().st_size)

    @contextmanager
    def _open(self, path: str) -> Iterator[IO[bytes]]:
        with self._path(path).open("wb") as sink:
            yield sink

    def _path(self, path: str) -> Path:
        target = self._partial / path
        if target.parent not in self._created:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._created.add(target.parent)
        return target


class FileOutput(FolderOutput):
    """A file, with companion files and folders next to it.

    The file and companion files replace existing ones; a companion folder must be new.
    """

    def __init__(self, target: Path) -> None:
        super().__init__(target)
        self._names: dict[str, None] = {}

    def _move_to_target(self) -> None:
        # the file itself last
        for name in sorted(self._names, key=lambda name: name == self.target.name):
            os.replace(self._partial / name, self.target.parent / name)

    def _path(self, path: str) -> Path:
        self._names.setdefault(path.split("/")[0])
        return super()._path(path)


def _prefix(target: Path) -> str:
    """Return how the temporary name of an export begins; the id of the process follows.

    It contains the machine's name, because process ids are valid only there.
    """
    return f".{target.name[:100]}.{platform.node()}."


def _remove_leftovers(target: Path) -> None:
    """Delete what killed processes left of exports to this target."""
    prefix = _prefix(target)
    for entry in target.parent.iterdir():
        if entry.name.startswith(prefix) and entry.name.endswith(PARTIAL):
            process = entry.name[len(prefix) : -len(PARTIAL)]
            if process.isdigit() and not _is_running(int(process)):
                shutil.rmtree(entry, ignore_errors=True)


def _is_running(process: int) -> bool:
    """Whether another process of this id is running."""
    if os.name == "nt":  # os.kill would end the process there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return process != os.getpid()  # this process has not begun yet
