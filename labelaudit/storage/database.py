"""Opens a dataset's LanceDB tables, at the latest version or at that of a steady reading."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import lancedb

from ..core.errors import DamagedError
from . import lance_errors, object_store, paths
from .writer_lock import WriterLock

# In object storage it takes a request to find out whether a table has changed, and a page of the
# app asks two hundred times. So other processes' writes are seen up to this many seconds late,
# except while the lock is held. This process's own writes are seen at once.
FRESH_SECONDS = 2.0
_last_write: dict[str, object] = {}  # by dataset: replaced at each write of this process

Stamp = tuple[int, str]
Opened = tuple[lancedb.table.Table | None, Stamp | None]
CREATED = b"labelaudit:made"  # metadata of a table: a unique id, new at each overwrite
_LOCATION = "/"  # key in `_recent` for the time when the location was checked; no table's name
_NEVER_SEEN = (float("-inf"), None, (None, None))  # default entry of `_recent`


class Database:
    """Where a dataset's tables are, and which versions of them are read."""

    def __init__(self, name: str, uri: str | None = None) -> None:
        """uri: where the tables are, of a dataset that is being built; None for its usual place."""
        self.name = name
        self._built_at = uri
        self._is_remote = uri is None and paths.is_remote()
        self._lock = WriterLock(name, with_lease=uri is None)
        # Tables in object storage: when they were looked up, `_last_write` then, and the result.
        self._recent: dict[str, tuple] = {}
        self._local = threading.local()  # `tables`: opened by a steady reading so far

    @cached_property
    def uri(self) -> str:
        """Where the tables are."""
        return self._built_at or paths.tables_uri(self.name)

    @cached_property
    def _db(self) -> lancedb.DBConnection:
        # A table is opened again for each reading, and then stays at its version. (Letting LanceDB
        # check for a later version takes 10 requests instead of 4 to append a row.)
        return lancedb.connect(self.uri)

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Within this block, this thread reads each table at the version that it opened first.

        So columns that are read one after the other are consistent, even if another process writes.
        It also saves time: reading a view needs dozens of stamps, at 1 to 3 ms each.
        """
        if self._steady_tables is not None:  # an outer block
            yield
            return
        self._local.tables = {}
        try:
            yield
        finally:
            self._local.tables = None

    def refresh(self) -> None:
        """See what other processes wrote until now, also within FRESH_SECONDS."""
        self._recent.clear()

    def tables(self) -> list[str]:
        """Return the names of all tables."""
        names, token = [], None
        if paths.is_missing(self.uri):
            return names
        while True:
            page = self._db.list_tables(page_token=token)
            names += page.tables
            token = page.page_token
            if not token:
                return names

    @property
    def _steady_tables(self) -> dict[str, Opened] | None:
        return getattr(self._local, "tables", None)

    def _lookup(self, table: str) -> Opened:
        """Return a table and its stamp for reading, in a steady reading always the same ones."""
        steady = self._steady_tables
        if steady is not None and table in steady:
            return steady[table]
        handle, stamp = self._recent_lookup(table) or self._fresh_lookup(table)
        if steady is not None:
            steady[table] = handle, stamp
        return handle, stamp

    def _fresh_lookup(self, table: str) -> Opened:
        began, last_write = time.monotonic(), _last_write.get(self.name)
        handle, stamp = self._open(table), None
        if handle is not None:
            stamp = (handle.version, handle.schema.metadata[CREATED].decode())
        if self._is_remote:
            self._recent[table] = began, last_write, (handle, stamp)
        return handle, stamp

    def _recent_lookup(self, table: str) -> Opened | None:
        """Return the last lookup of a table in object storage, if it is still fresh."""
        began, last_write, found = self._recent.get(table, _NEVER_SEEN)
        is_fresh = time.monotonic() - began < FRESH_SECONDS
        is_fresh = is_fresh and last_write is _last_write.get(self.name)
        return found if is_fresh and self._is_remote and not self._lock.is_held else None

    def _open(self, table: str) -> lancedb.table.Table | None:
        """Open the latest version of a table. Raises DamagedError if its files are incomplete."""
        if paths.is_missing(self.uri):  # connecting would create the folder
            return None
        try:
            return self._db.open_table(table)
        except (ValueError, RuntimeError) as error:
            existed = table == "meta" or self._recent.get(table, _NEVER_SEEN)[2][0] is not None
            if self._check_location(always=existed):
                return self._open(table)
            if object_store.is_remote(self.uri):
                if lance_errors.is_not_found(error):
                    return None
                object_store.has_below(self.uri)  # raises StorageError if the storage fails
            if table not in self.tables() or not self._was_committed(table):
                return None
            raise DamagedError(
                f"table {table!r} of dataset {self.name!r} is damaged: restore {self.uri} from a "
                "copy, or delete that folder."
            ) from error

    def _check_location(self, always: bool) -> bool:
        """Return whether the tables have moved, as in object storage when a dataset is replaced.

        Checked at most every FRESH_SECONDS, unless `always`.
        """
        if not self._is_remote or (not always and self._recent_lookup(_LOCATION)):
            return False
        before = self.__dict__.get("uri")
        self._recent[_LOCATION] = time.monotonic(), _last_write.get(self.name), (None, None)
        self.uri = paths.tables_uri(self.name)
        if before == self.uri:
            return False
        self.__dict__.pop("_db", None)
        return True

    def _was_committed(self, table: str) -> bool:
        """False for the files of a first write that failed or was killed."""
        return paths.has_files(f"{self._folder(table)}/_versions")

    def _folder(self, table: str) -> str:
        return f"{self.uri}/{table}.lance"

    def _note_write(self) -> None:
        """Let all readers in this process see a write at once."""
        _last_write[self.name] = object()
