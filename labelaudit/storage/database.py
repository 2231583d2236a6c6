"""A dataset's LanceDB tables at the versions of its snapshot, and the transactions."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import lancedb

from ..core.errors import BusyError, DamagedError, LabelAuditError
from . import cleanup, lance_errors, local_store, object_store, paths
from .local_store import Listing
from .locks import UseMark
from .row_ids import RowIds
from .snapshot import FRESH_SECONDS, Pointer, Snapshot, Stamp, new_folder
from .writer_lock import WriterLock

log = logging.getLogger(__name__)

MARK_SUFFIX = ".writing"  # of the file that is held while a table is changed
CREATED = b"labelaudit:made"  # metadata of tables of format 1: the text of their stamp

Tables = dict[str, Stamp]


@dataclass
class Work:
    """A transaction under way: what it has written, and what it must do when it ends."""

    base: Snapshot
    folder: str  # with its tables: that of `base`, or a new one for a dataset that is replaced
    tables: Tables  # replaced, never changed, so that a reference is a savepoint
    marks: dict[str, UseMark] = field(default_factory=dict)  # of the tables that it changes
    files: dict[str, Listing] = field(default_factory=dict)  # of these tables, before it began
    compacted: set[str] = field(default_factory=set)
    is_hidden: bool = True  # whether others see nothing of it before the commit

    @property
    def changed(self) -> list[str]:
        """Tables that are new or have another version."""
        old = self.base.tables if self.folder == self.base.folder else {}
        return [table for table, stamp in self.tables.items() if old.get(table) != stamp]


class Database:
    """Where a dataset's tables are, which versions are read, and how they change together."""

    def __init__(
        self, name: str, uri: str | None = None, convert: Callable[[], None] | None = None
    ) -> None:
        """uri: the dataset's folder, if it is not that of this home. convert: called within the
        first transaction on a dataset of format 1, to complete what was interrupted then."""
        self.name = paths.check_name(name)
        self.uri = uri or paths.dataset_uri(name)
        self.is_remote = object_store.is_remote(self.uri)
        self._pointer, self._convert = Pointer(self.uri), convert
        self._local = threading.local()  # `state`: (snapshot of a steady reading, Work)
        # Tables that were opened, by name, each with the snapshot's folder and stamp.
        self._handles: dict[str, tuple[tuple[str, Stamp], lancedb.table.Table]] = {}
        self._writers = dict(self._handles)  # likewise, moved on to what was written with them
        self._row_ids: dict[str, tuple[tuple[str, Stamp], RowIds]] = {}  # likewise
        self._connections: dict[str, lancedb.DBConnection] = {}
        self._lock, self._marks = WriterLock(name), paths.marks(name)
        # Files of the tables that were written here, all on the disk; see `_sync`.
        self._synced: dict[str, tuple[tuple[str, Stamp], Listing]] = {}
        self._latest: tuple[float, Snapshot | None] = 0.0, None  # of format 1, and when it was read

    # --- reading ---

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Within this block, this thread reads one snapshot, even if another process writes."""
        steady, work = self._state
        if steady is not None:  # an outer block
            yield
            return
        self._local.state = self._snapshot(), work
        try:
            yield
        finally:
            self._local.state = None, work

    @property
    def is_steady(self) -> bool:
        """Whether this thread is within a steady reading, so that it must not write."""
        return self._state[0] is not None

    def refresh(self) -> None:
        """See what other processes wrote until now, also within FRESH_SECONDS."""
        self._pointer.forget()
        self._latest = 0.0, None

    def tables(self) -> list[str]:
        """Return the names of all tables."""
        return list(self._snapshot().tables)

    def stamp(self, table: str) -> Stamp | None:
        """Return a value that differs whenever the table's content does; None without a table."""
        return self._snapshot().tables.get(table)

    @property
    def _state(self) -> tuple[Snapshot | None, Work | None]:
        return getattr(self._local, "state", None) or (None, None)

    @property
    def _work(self) -> Work:
        """The transaction of this thread."""
        work = self._state[1]
        assert work is not None, "not in a transaction"
        return work

    def _snapshot(self) -> Snapshot:
        """What this thread reads now: its steady snapshot, its transaction, or the latest."""
        steady, work = self._state
        if steady is not None:
            return steady
        if work is not None:
            return Snapshot(work.folder, work.tables)
        snapshot = self._pointer.read()
        if snapshot.tables is not None:
            return snapshot
        read, latest = self._latest
        if latest is None or time.monotonic() - read > FRESH_SECONDS:
            latest = self._completed(snapshot)
            self._latest = time.monotonic(), latest
        return latest

    def _handle(self, table: str) -> lancedb.table.Table | None:
        """Open a table for reading. Raises DamagedError if its files are incomplete."""
        for last in (False, True):
            snapshot = self._snapshot()
            stamp = snapshot.tables.get(table)
            if stamp is None:
                return None
            kept = self._handles.get(table)
            if kept and kept[0] == (snapshot.folder, stamp):
                return kept[1]
            try:
                handle = self._connect(snapshot.folder).open_table(table)
                if handle.version != stamp[0]:
                    handle.checkout(stamp[0])
            except (ValueError, RuntimeError, OSError) as error:
                if self._state == (None, None) and not last:
                    self.refresh()  # the dataset may have been replaced meanwhile
                    continue
                raise self._gone_error(table, snapshot) from error
            self._handles[table] = (snapshot.folder, stamp), handle
            return handle
        return None

    def _gone_error(self, table: str, snapshot: Snapshot) -> LabelAuditError:
        """Return the error to raise where files of a table, as it is in this snapshot, are gone."""
        if self.is_remote:
            object_store.has_below(self.uri)  # raises StorageError if the storage fails
        now = self._pointer.read(now=True)
        was = snapshot.folder, snapshot.tables.get(table)
        if now.tables is not None and was != (now.folder, now.tables.get(table)):
            return BusyError(
                f"dataset {self.name!r} was changed meanwhile, and table {table!r} as it was then "
                "is gone: repeat it."
            )
        return self._damaged(table)

    def _damaged(self, table: str) -> DamagedError:
        return DamagedError(
            f"table {table!r} of dataset {self.name!r} is damaged: restore {self.uri} from a copy, "
            "or delete that folder."
        )

    def _connect(self, folder: str) -> lancedb.DBConnection:
        if folder not in self._connections:
            self._connections[folder] = lancedb.connect(self._pointer.tables_uri(folder))
        return self._connections[folder]

    def _folder(self, folder: str, table: str) -> str:
        return f"{self._pointer.tables_uri(folder)}/{table}.lance"

    # --- changing ---

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes of this block happen together, or none of them.

        Holds the dataset's writer lock. Other threads and processes see the changes when the
        outermost block ends; this thread sees them at once. If a block fails, what it changed is
        undone. Raises BusyError if another writer holds the lock for too long, or took it over.
        """
        with self._lock.hold() as outermost:
            if not outermost:
                with self._savepoint():
                    yield
                return
            steady, base = self._state[0], self._pointer.read(True, self._lock.is_untouched)
            if base.tables is None:
                base = self._convert_format(base, steady)
            work = self._begin(base)
            self._local.state = steady, work
            try:
                self._remove_abandoned(work)
                yield
                self._commit(work)
            except BaseException:
                self._roll_back(work)
                raise
            finally:
                self._local.state = steady, None

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        work = self._work
        tables = work.tables
        try:
            yield
        except BaseException:
            work.tables = tables
            raise

    def start_over(self) -> None:
        """Let the transaction replace the dataset by an empty one, in a folder of its own."""
        work = self._work
        self._release(work, completed=True)
        work.folder, work.tables, work.files = new_folder(), {}, {}

    def delete_all(self) -> None:
        """Delete the dataset, within a transaction. Readers no longer see it from then on."""
        work = self._work
        self._pointer.delete()
        self._release(work, completed=True)
        work.base, work.folder, work.tables = Snapshot("", {}), "", {}

    def _begin(self, base: Snapshot) -> Work:
        return Work(base, base.folder, dict(base.tables))

    def _commit(self, work: Work) -> None:
        if work.tables == work.base.tables and work.folder == work.base.folder:
            self._release(work, completed=True)
            return
        self._swap(work)
        try:  # the change itself is made
            if work.folder != work.base.folder:
                self._pointer.remove_leftovers()
            else:
                for table in work.base.tables.keys() - work.tables.keys():
                    self._remove_files(work.folder, table)
            for table in work.compacted & work.tables.keys():
                handle = self._connect(work.folder).open_table(table)
                cleanup.remove_old_versions(handle, work.tables[table][0])
            self._release(work, completed=True)
        except (OSError, RuntimeError, ValueError, LabelAuditError) as error:
            log.warning("could not clean up dataset %r: %s", self.name, error)
            self._release(work, completed=False)

    def _swap(self, work: Work) -> Snapshot:
        """The commit: before this call nothing has changed for others, after it everything has."""
        self._lock.check()
        try:
            self._sync(work)
            return self._pointer.swap(work.base, work.folder, work.tables)
        except OSError as error:
            raise lance_errors.write_error(error, None, self.name, self.uri) from error

    def _roll_back(self, work: Work) -> None:
        """Leave the rest to the next transaction, which knows from the marks what to remove."""
        self._release(work, completed=False)
        if work.folder != work.base.folder:
            with suppress(LabelAuditError, OSError):  # else the next load removes it
                if self._pointer.read(now=True).folder != work.folder:
                    paths.remove(self._pointer.tables_uri(work.folder))
                    local_store.delete_empty(self.uri)

    def _sync(self, work: Work) -> None:
        """Wait until the disk has all that the transaction wrote."""
        if self.is_remote or not local_store.is_synced():
            return
        for table in work.changed:
            known = work.files.get(table, {})
            found = local_store.list_below(self._folder(work.folder, table), known)
            local_store.sync_new(found, known, self.uri)
            self._synced[table] = (work.folder, work.tables[table]), found

    # --- tables that are being changed ---

    def _mark(self, table: str) -> UseMark:
        return UseMark(self._marks / f"{table}{MARK_SUFFIX}")

    def _hold(self, work: Work, table: str) -> None:
        """Mark a table as being changed, so that it is cleaned up if this process dies."""
        self._lock.check()
        if table in work.marks or table in work.files:
            return
        if work.folder == work.base.folder:
            self._marks.mkdir(parents=True, exist_ok=True)
            work.marks[table] = self._mark(table)
            work.marks[table].acquire()
        if self.is_remote or not local_store.is_synced():
            work.files[table] = {}
            return
        key, files = self._synced.get(table, (None, {}))
        if key != (work.folder, work.tables.get(table)):
            files = local_store.list_below(self._folder(work.folder, table))
        work.files[table] = files

    def _release(self, work: Work, completed: bool) -> None:
        for mark in work.marks.values():
            if completed:
                mark.release()
            else:
                mark.close()
        work.marks = {}

    def _remove_abandoned(self, work: Work) -> None:
        """Remove what killed or failed transactions wrote."""
        for path in sorted(self._marks.glob(f"*{MARK_SUFFIX}")) if self._marks.is_dir() else ():
            table = path.stem
            with self._mark(table).cleaning_up() as abandoned:
                if not abandoned:
                    continue
                try:
                    self._remove_half_written(work, table)
                except (OSError, RuntimeError, ValueError, LabelAuditError) as error:
                    log.warning("could not clean up %s: %s", table, error)  # it only costs space

    def _remove_half_written(self, work: Work, table: str) -> None:
        stamp = work.tables.get(table)
        if stamp is None:
            self._remove_files(work.folder, table)
            return
        handle = self._connect(work.folder).open_table(table)
        if handle.version != stamp[0]:
            handle.restore(stamp[0])
        cleanup.remove_old_versions(handle, stamp[0], unverified=True)
        paths.remove_temporary(self._folder(work.folder, table))

    def _remove_files(self, folder: str, table: str) -> None:
        paths.remove(self._folder(folder, table))

    # --- format 1: no versions, the latest ones are valid ---

    def _completed(self, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot of format 1 with the latest versions."""
        uri, tables = self._pointer.tables_uri(snapshot.folder), {}
        if paths.is_missing(uri):
            return Snapshot(snapshot.folder, {}, snapshot.tag)
        db, names, token = self._connect(snapshot.folder), [], None
        try:
            while token or not names:
                page = db.list_tables(page_token=token)
                names, token = [*names, *page.tables], page.page_token
                if not token:
                    break
        except (RuntimeError, ValueError, OSError) as error:
            if self.is_remote:
                raise object_store.translated(error, self.uri) from error
            raise
        for name in names:
            try:
                handle = db.open_table(name)
            except (ValueError, RuntimeError) as error:
                if paths.has_files(f"{uri}/{name}.lance/_versions"):
                    raise self._damaged(name) from error
                continue  # the files of a first write that failed or was killed
            text = (handle.schema.metadata or {}).get(CREATED, uuid.uuid4().hex.encode())
            tables[name] = (handle.version, text.decode())
        return Snapshot(snapshot.folder, tables, snapshot.tag)

    def _convert_format(self, base: Snapshot, steady: Snapshot | None) -> Snapshot:
        """Complete what was interrupted in format 1, and commit the dataset's first snapshot."""
        base = self._completed(base)
        if self._convert is None or not base.tables:
            return base
        work = self._begin(base)
        work.is_hidden = False  # until there is a snapshot, the latest versions are valid
        self._local.state = steady, work
        try:
            self._convert()
            return self._swap(work)
        finally:
            self._release(work, completed=True)
            self._local.state = steady, None
