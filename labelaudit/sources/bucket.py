"""Sources in object storage: a prefix as a folder of files, and a zip that is fetched first."""

from __future__ import annotations

import io
import posixpath
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import IO

from ..core.errors import LabelAuditError
from ..storage import object_store
from ..storage.allowed_roots import check_inside, is_inside
from ..storage.paths import local_home
from .files import MAX_MEMBER_BYTES
from .source import Row

READ_AT_ONCE = 4 << 20  # bytes asked for at once of a list of images
FETCH_AT_ONCE = 16 << 20  # … of a zip
AHEAD_BYTES = 4 << 20  # larger images are not fetched ahead of their turn
SINGLE_QUESTIONS = 20  # whether a file is there, before all names are listed


class Bucket:
    """Images are kept inside the dataset, under the names that they have below the prefix.

    A list may name others by `..` or by their whole URI.
    """

    what = "bucket"
    nameless: tuple[str, ...] = ()

    def __init__(self, uri: str, within: Sequence[str] | None = None) -> None:
        """within: URIs that all must lie below; by default anywhere."""
        self.path, self.within, self._asked = object_store.clean(uri), within, 0

    @cached_property
    def names(self) -> list[str]:
        """Of all objects below it, sorted; hidden ones do not count."""
        return sorted(name for name in object_store.names_below(self.path) if _is_wanted(name))

    @cached_property
    def _known(self) -> set[str]:
        return set(self.names)

    def called(self, name: str) -> str:
        return f"{self.path}/{name}"

    def locate(self, name: str) -> str:
        """Its name below the prefix, or its URI if it lies elsewhere."""
        uri = self._uri(name)
        return uri.removeprefix(f"{self.path}/")

    def holds(self, name: str) -> bool:
        self._asked += 1
        if self._asked > SINGLE_QUESTIONS or "names" in self.__dict__:
            return self.locate(name) in self._known
        return self._is_open(name) and object_store.size(self._uri(name)) is not None

    def leads_out(self, name: str) -> bool:
        return False

    def open(self, name: str) -> IO[bytes]:
        uri = self._uri(name)
        if self.within is not None:
            check_inside(uri, self.within)
        return io.BufferedReader(object_store.RangeFile(uri, _size(uri)), READ_AT_ONCE)

    def load(self, row: Row) -> bytes:
        """The bytes of a row's image."""
        return self._read(row["filepath"], MAX_MEMBER_BYTES)

    def fetch(self, row: Row) -> bytes | None:
        """As `load`, ahead of its turn; None for one that would take much memory meanwhile."""
        try:
            return self._read(row["filepath"], AHEAD_BYTES)
        except ValueError:
            return None

    def _read(self, name: str, limit: int) -> bytes:
        if not self._is_open(name):
            raise PermissionError("lies outside of the folders that may be used here")
        return object_store.read_up_to(self._uri(name), limit)

    def _is_open(self, name: str) -> bool:
        return self.within is None or is_inside(self._uri(name), self.within)

    def _uri(self, name: str) -> str:
        uri = name if object_store.is_remote(name) else posixpath.join(self.path, name.lstrip("/"))
        return object_store.clean(uri)


def fetched(uri: str) -> IO[bytes]:
    """An object as a file on this machine that has no name, and is gone once it is closed.

    Raises LabelAuditError where it cannot be read, or does not fit on the disk.
    """
    size = _size(uri)
    file = tempfile.TemporaryFile(dir=local_home())  # noqa: SIM115 (it outlives this function)
    try:
        for start in range(0, size, FETCH_AT_ONCE):
            file.write(object_store.read_range(uri, start, min(FETCH_AT_ONCE, size - start)))
        file.flush()
    except OSError as error:
        file.close()
        raise LabelAuditError(
            f"{uri} ({size >> 20:,} MiB) could not be fetched to {local_home()} "
            f"({error.strerror}): free some space there, or unpack it in the bucket."
        ) from error
    file.seek(0)
    return file


def _size(uri: str) -> int:
    size = object_store.size(uri)
    if size is None:
        raise LabelAuditError(f"{uri} is not there: check its name.")
    return size


def _is_wanted(name: str) -> bool:
    return bool(name) and not any(
        part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts
    )
