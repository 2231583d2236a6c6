"""Sources in object storage: a prefix is a folder of files; a zip is downloaded first."""

from __future__ import annotations

import io
import posixpath
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import IO

from ..core.errors import NotFoundError, StorageError
from ..storage import object_store
from ..storage.allowed_roots import check_inside, is_inside
from ..storage.paths import local_home
from .archive import MAX_MEMBER_BYTES
from .files import without_system_files
from .source import OUTSIDE_ROOTS, Row

READ_BYTES = 4 << 20  # bytes per request while an image list is read
DOWNLOAD_BYTES = 16 << 20  # bytes per request while a zip is downloaded
PREFETCH_BYTES = 4 << 20  # larger images are not prefetched
SINGLE_LOOKUPS = 20  # files that are looked up one by one before all names are listed


class Bucket:
    """A prefix in object storage.

    Its images are copied into the dataset, under their names below the prefix. An image list may
    name other objects with `..` or by their whole URI.
    """

    kind = "bucket"
    undecodable_names: Sequence[str] = ()
    left_out: Sequence[tuple[str, str]] = ()

    def __init__(self, uri: str, allowed_roots: Sequence[str] | None = None) -> None:
        """allowed_roots: URIs that all objects must be below; None for any."""
        self.path, self.allowed_roots = object_store.clean(uri), allowed_roots
        self._lookups = 0

    @cached_property
    def names(self) -> list[str]:
        return sorted(self._listing[0])

    @property
    def passed_over(self) -> Counter[str]:
        return self._listing[1]

    @cached_property
    def _listing(self) -> tuple[list[str], Counter[str]]:
        return without_system_files(filter(None, object_store.names_below(self.path)))

    @cached_property
    def _name_set(self) -> set[str]:
        return set(self.names)

    def display_name(self, name: str) -> str:
        return f"{self.path}/{name}"

    def filepath(self, name: str) -> str:
        """Return the name below the prefix, or the URI if it is elsewhere."""
        return self._uri(name).removeprefix(f"{self.path}/")

    def exists(self, name: str) -> bool:
        self._lookups += 1
        if self._lookups > SINGLE_LOOKUPS or "names" in self.__dict__:
            return self.filepath(name) in self._name_set
        return self._is_allowed(name) and object_store.size(self._uri(name)) is not None

    def is_unsafe(self, name: str) -> bool:
        return False

    def open(self, name: str) -> IO[bytes]:
        uri = self._uri(name)
        if self.allowed_roots is not None:
            check_inside(uri, self.allowed_roots)
        return io.BufferedReader(object_store.RangeFile(uri, _size(uri)), READ_BYTES)

    def load(self, row: Row) -> bytes:
        """Return the bytes of a row's image. Raises an error with the reason if it cannot."""
        return self._read(row["filepath"], MAX_MEMBER_BYTES)

    def prefetch(self, row: Row) -> bytes | None:
        """Return the bytes of a row's image; None if it would take too much memory meanwhile."""
        try:
            return self._read(row["filepath"], PREFETCH_BYTES)
        except ValueError:
            return None

    def _read(self, name: str, limit: int) -> bytes:
        if not self._is_allowed(name):
            raise PermissionError(OUTSIDE_ROOTS)
        return object_store.read_up_to(self._uri(name), limit)

    def _is_allowed(self, name: str) -> bool:
        return self.allowed_roots is None or is_inside(self._uri(name), self.allowed_roots)

    def _uri(self, name: str) -> str:
        uri = name if object_store.is_remote(name) else posixpath.join(self.path, name.lstrip("/"))
        return object_store.clean(uri)


def download(uri: str) -> IO[bytes]:
    """Download an object into an unnamed temporary file, which disappears when it is closed.

    Raises LabelAuditError if the object cannot be read or does not fit on the disk.
    """
    size = _size(uri)
    file = tempfile.TemporaryFile(dir=local_home())  # noqa: SIM115 (the caller closes it)
    try:
        for start in range(0, size, DOWNLOAD_BYTES):
            file.write(object_store.read_range(uri, start, min(DOWNLOAD_BYTES, size - start)))
        file.flush()
    except OSError as error:
        file.close()
        raise StorageError(
            f"{uri} ({size >> 20:,} MiB) could not be downloaded to {local_home()} "
            f"({error.strerror}): free some space there, or unpack the zip in the bucket."
        ) from error
    file.seek(0)
    return file


def _size(uri: str) -> int:
    size = object_store.size(uri)
    if size is None:
        raise NotFoundError(f"{uri} does not exist: check its name.")
    return size
