"""The only room that knows LanceDB: one database a dataset, read and written as Arrow."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property

os.environ.setdefault("LANCEDB_LOG", "error")  # else it warns of every table that it creates

import lancedb
import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from lancedb.index import IvfFlat

from ..core.errors import LabelAuditError
from . import object_store, paths
from .lease import HeldError
from .locks import holding, left_behind
from .row_stream import Feed

log = logging.getLogger(__name__)

BATCH_ROWS = 1_000_000  # 2 ms to read 10^6 rows, where to_arrow() takes 151 ms
COMMITS_BEFORE_OPTIMIZE = 50  # each small commit leaves three files
# Versions older than this go when a table is compacted: no reading takes so long, and a log that
# grows by a row a second would else leave a file for each in a folder that is listed at each read.
KEPT_VERSIONS = timedelta(hours=1)
LOCK_SECONDS = 120
# In object storage to see whether a table has changed is a request, and a page of the app asks two
# hundred times. So what another process wrote may be seen so many seconds later there, but for who
# holds the lock; what this process wrote is seen at once.
FRESH_SECONDS = 2.0
_writes: dict[str, object] = {}  # by dataset: another object after each write of this process
WRITING = ".writing"  # suffix of the file that is held while a table is written
# The one table whose version says whether a change happened (`changelog`): to clear it up makes
# another version, so that waits until that was read.
VERSIONED = "annotations"

OFFSET = "_rowoffset"  # a column that `take` can give: a row's place in stored order

NO_VECTOR = "null"  # what LanceDB makes of a row without an embedding; else it refuses such rows

# Nearest rows of 50,000 are found by looking at all of them in 20 ms, of 1,000,000 in 300 ms. With
# the index it is 20 to 30 ms, at recall 0.997 of the nearest ten; more partitions take longer to
# make (1,000,000 x 96: 128 partitions 8 s, 256 partitions 24 s) and find fewer.
EXACT_ROWS = 50_000
ROWS_A_PARTITION = 8_000
PROBES = 20  # partitions looked at in a search; with 10 the recall was 0.98

Stamp = tuple[int, str]
_PLACE = "/"  # no table's name: that it was asked where the tables lie
_NOTHING = (float("-inf"), None, (None, None))  # what was seen of a table that was not looked at
_MADE = b"labelaudit:made"  # metadata of a table: a mark of its own, new at each overwrite


class Store:
    """The tables of one dataset. Reads always see the latest commit, also another process's (in
    object storage within FRESH_SECONDS)."""

    def __init__(self, name: str, uri: str | None = None) -> None:
        """uri: where the tables lie, if not where a dataset of this name does."""
        self.name = name
        self._built_at = uri
        self._lease = None if uri else paths.lease(name)
        self._marks = None if uri else paths.marks(name)  # what is built elsewhere is removed whole
        self._lock = FileLock(paths.lock_path(name), timeout=LOCK_SECONDS)
        # Tables of object storage: when they were looked at, `_writes` then, what was seen.
        self._recent: dict[str, tuple] = {}
        self._seen = threading.local()  # `tables`: what a steady reading has opened so far

    @cached_property
    def uri(self) -> str:
        """Where the tables lie."""
        return self._built_at or paths.tables_uri(self.name)

    @cached_property
    def _db(self) -> lancedb.DBConnection:
        # A table is opened afresh for each reading, and then stays at the version it had. (To have
        # it look for a later one at each step takes 10 requests instead of 4 to append a row.)
        return lancedb.connect(self.uri)

    def _has_moved(self, for_sure: bool) -> bool:
        """Whether the tables lie elsewhere by now: in object storage a dataset that takes another's
        place does. Not asked again within FRESH_SECONDS, unless for_sure."""
        if self._lease is None or (not for_sure and self._recently(_PLACE)):
            return False
        before = self.__dict__.get("uri")
        self._recent[_PLACE] = time.monotonic(), _writes.get(self.name), (None, None)
        self.uri = paths.tables_uri(self.name)
        if before == self.uri:
            return False
        self.__dict__.pop("_db", None)
        return True

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the dataset's one writer lock. Re-entrant within a thread.

        Whoever gets it clears away what killed writers left half-written.
        """
        try:
            self._lock.acquire()
        except Timeout as error:
            raise LabelAuditError(_busy(self.name, "another process")) from error
        except OSError as error:
            raise LabelAuditError(
                f"dataset {self.name!r} cannot be changed, as {self._lock.lock_file} cannot be "
                f"written ({error.strerror}): free some space, or get the right to write there."
            ) from error
        try:
            if self._lock.lock_counter == 1:
                self._take_lease()
                for table in self._marked_tables():
                    if table != VERSIONED:
                        self.clear(table)
            yield
        finally:
            if self._lease and self._lock.lock_counter == 1:
                _writes[self.name] = object()
                self._lease.release()
            self._lock.release()

    def _take_lease(self) -> None:
        if self._lease is None:
            return
        try:
            self._lease.acquire(LOCK_SECONDS)
        except HeldError as error:
            raise LabelAuditError(_busy(self.name, str(error))) from error
        self._has_moved(for_sure=True)

    def check_lease(self) -> None:
        """Raises LabelAuditError where this process was cut off for so long that another one may
        have begun to write."""
        if self._lease and self._lock.is_locked and not self._lease.is_sure:
            raise LabelAuditError(
                f"the storage of dataset {self.name!r} could not be reached for too long, and "
                "others may write to it by now: see whether the change is there, else make it "
                "again."
            )

    def clear(self, table: str) -> None:
        """Under the dataset's lock: remove what a write of this table that was killed, or failed,
        left."""
        if self._marks is None:
            return
        with left_behind(self._marks / f"{table}{WRITING}") as dead:
            if not dead:
                return
            try:
                handle = self._open(table)
                if handle is None:
                    paths.remove(self._folder(table))
                else:
                    handle.optimize(cleanup_older_than=KEPT_VERSIONS, delete_unverified=True)
                    paths.remove_temporary(self._folder(table))
            except (OSError, RuntimeError, LabelAuditError) as error:  # it costs space, no more
                log.warning("could not clear up %s: %s", table, error)

    def is_being_written(self, table: str) -> bool:
        """Whether a process on this machine writes to it now."""
        return self._marks is not None and paths.is_held(self._marks / f"{table}{WRITING}", True)

    def _marked_tables(self) -> list[str]:
        if self._marks is None or not self._marks.is_dir():
            return []
        return sorted(path.stem for path in self._marks.glob(f"*{WRITING}"))

    # --- reading ---

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Within it this thread sees each table as it was when it first came to it.

        So columns that are read one after the other belong together, whoever writes meanwhile. And
        one reading of a view asks for stamps dozens of times, at 1 to 3 ms each.
        """
        if self._steady_tables is not None:  # within another
            yield
            return
        self._seen.tables = {}
        try:
            yield
        finally:
            self._seen.tables = None

    @property
    def _steady_tables(self) -> dict[str, tuple[lancedb.table.Table | None, Stamp | None]] | None:
        return getattr(self._seen, "tables", None)

    def tables(self) -> list[str]:
        names, token = [], None
        if paths.is_missing(self.uri):
            return names
        while True:
            page = self._db.list_tables(page_token=token)
            names += page.tables
            token = page.page_token
            if not token:
                return names

    def stamp(self, table: str) -> Stamp | None:
        """Equal stamps, equal contents; None where there is no table.

        A version alone would not do: a table that is dropped and made again begins at 1 again.
        """
        return self._look(table)[1]

    def exists(self, table: str) -> bool:
        return self._look(table)[0] is not None

    def columns(self, table: str) -> list[str]:
        handle = self._look(table)[0]
        return [] if handle is None else handle.schema.names

    def count(self, table: str) -> int:
        handle = self._look(table)[0]
        with self._reading():
            return 0 if handle is None else handle.count_rows()

    def vector_width(self, table: str, column: str) -> int | None:
        """How many numbers each vector of this column has; None where there is no such column."""
        handle = self._look(table)[0]
        if handle is None or column not in handle.schema.names:
            return None
        return handle.schema.field(column).type.list_size

    def read(self, table: str, columns: Sequence[str], where: str | None = None) -> pa.Table | None:
        """These columns of the whole table, in stored order; None where there is no table.

        where: a condition of the library's own, never of a user's words.
        """
        handle = self._look(table)[0]
        if handle is None:
            return None
        query = handle.search().select(list(columns))
        query = query.where(where) if where else query
        with self._reading():
            return query.to_batches(BATCH_ROWS).read_all()

    def batches(self, table: str, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """These columns, streamed some `rows` at a time, in stored order."""
        handle = self._look(table)[0]
        if handle is not None:
            with self._reading():
                yield from handle.search().select(list(columns)).to_batches(rows)

    def take(self, table: str, offsets: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Rows by their place in stored order. The order of the answer is not promised."""
        handle = self._look(table)[0]
        with self._reading():
            return handle.take_offsets(list(offsets)).select(list(columns)).to_arrow()

    def nearest(
        self, table: str, column: str, vectors: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The k rows nearest by cosine to each of these vectors (n, width), the nearest first.

        Returns which vector (0 … n - 1), id and similarity (-1 to 1, float32) of all found, flat.
        Rows without a vector, or with one of zeros, are never found.
        """
        handle = self._look(table)[0]
        answers = []
        for vector in np.asarray(vectors, np.float32):  # a few; all at once would take as long
            query = handle.search(vector, vector_column_name=column).distance_type("cosine")
            query = query.nprobes(PROBES).select(["id", "_distance"]).limit(k)
            with self._reading():
                answers.append(query.to_arrow())
        of = np.repeat(np.arange(len(answers)), [len(answer) for answer in answers])
        found = pa.concat_tables(answers)
        distance = found["_distance"].to_numpy()
        return of, found["id"].to_numpy(), np.clip(1 - distance, -1, 1).astype(np.float32)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Where object storage fails meanwhile, it is said in a sentence."""
        try:
            yield
        except (RuntimeError, ValueError, OSError) as error:
            if self._lease is None:
                raise
            raise LabelAuditError(object_store.explain(error, self.uri)) from error

    def location(self, table: str) -> tuple[str, int]:
        """Where a table lies, a URI, and its version now: for those who read it without LanceDB."""
        return self._folder(table), self._look(table)[0].version

    # --- writing: every call is one commit; a kill leaves the one before ---

    @contextmanager
    def made_elsewhere(self, table: str, schema: pa.Schema) -> Iterator[tuple[str, pa.Schema]]:
        """For a table that is not there yet: within it others write its files at this URI, and
        commit them once, with this schema."""
        with self._clearly(table):
            yield self._folder(table), _marked(schema)

    def overwrite(
        self, table: str, data: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> None:
        schema = _marked(schema)
        with self._writing(table, data, schema) as rows:
            handle = self._db.create_table(
                table, rows, schema=schema, mode="overwrite", on_bad_vectors=NO_VECTOR
            )
            self._tidy(handle)

    def append(
        self, table: str, data: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> None:
        with self._writing(table, data, schema) as rows:
            handle = self._open_or_create(table, schema)
            handle.add(rows)
            self._tidy(handle)

    def upsert(
        self, table: str, data: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> None:
        """Replace the rows with these ids, insert the others."""
        with self._writing(table, data, schema) as rows:
            handle = self._open_or_create(table, schema)
            merge = handle.merge_insert("id").when_matched_update_all()
            merge.when_not_matched_insert_all().execute(rows, on_bad_vectors=NO_VECTOR)
            self._tidy(handle)

    def delete(self, table: str, where: str) -> None:
        """Delete the rows that meet a condition of the library's own; no table, nothing to do."""
        handle = self._open(table)
        if handle is not None:
            with self._clearly(table):
                handle.delete(where)

    def add_column(self, table: str, field: pa.Field) -> None:
        """Give a table another column, null in every row that there is."""
        with self._clearly(table):
            self._open(table).add_columns(field)

    def index_vectors(self, table: str, column: str) -> bool:
        """Make `nearest` fast, where there are many rows that no index covers yet.

        Returns whether one was made.
        """
        handle = self._open(table)
        rows = handle.count_rows()
        covered = sum(
            index.num_indexed_rows for index in handle.list_indices() if index.columns == [column]
        )
        if rows - covered <= EXACT_ROWS:
            return False
        config = IvfFlat(
            distance_type="cosine", num_partitions=rows // ROWS_A_PARTITION, max_iterations=10,
            sample_rate=64,
        )  # fmt: skip
        with self._clearly(table):
            handle.create_index(column, config=config, replace=True)
        return True

    def drop(self, table: str) -> None:
        """Delete a table that nobody reads any more; a kill may leave a part of it."""
        try:
            there = self._open(table) is not None
        except LabelAuditError:  # such a part
            there = False
        if there:
            self._db.drop_table(table)
        elif table in self.tables():
            paths.remove(self._folder(table))

    def _was_committed(self, table: str) -> bool:
        """False for the files of a first write that failed, or was killed."""
        return paths.has_files(f"{self._folder(table)}/_versions")

    def _folder(self, table: str) -> str:
        return f"{self.uri}/{table}.lance"

    def look_again(self) -> None:
        """See what other processes wrote from now on, however recently it was looked at."""
        self._recent.clear()

    def _look(self, table: str) -> tuple[lancedb.table.Table | None, Stamp | None]:
        """A table and its stamp, for reading; within a steady reading held at that version."""
        seen = self._steady_tables
        if seen is not None and table in seen:
            return seen[table]
        handle, stamp = self._recently(table) or self._look_now(table)
        if seen is not None:
            seen[table] = handle, stamp
        return handle, stamp

    def _look_now(self, table: str) -> tuple[lancedb.table.Table | None, Stamp | None]:
        began, writes = time.monotonic(), _writes.get(self.name)
        handle, stamp = self._open(table), None
        if handle is not None:
            stamp = (handle.version, handle.schema.metadata[_MADE].decode())
        if self._lease:
            self._recent[table] = began, writes, (handle, stamp)
        return handle, stamp

    def _recently(self, table: str) -> tuple[lancedb.table.Table | None, Stamp | None] | None:
        """What was seen of a table in object storage, if that was a moment ago."""
        began, writes, found = self._recent.get(table, _NOTHING)
        fresh = time.monotonic() - began < FRESH_SECONDS and writes is _writes.get(self.name)
        return found if fresh and self._lease and not self._lock.is_locked else None

    def _open(self, table: str) -> lancedb.table.Table | None:
        if paths.is_missing(self.uri):  # connecting would make the folder
            return None
        try:
            return self._db.open_table(table)
        except (ValueError, RuntimeError) as error:
            was_there = table == "meta" or self._recent.get(table, _NOTHING)[2][0] is not None
            if self._has_moved(for_sure=was_there):
                return self._open(table)
            if object_store.is_remote(self.uri):
                if "was not found" in str(error):
                    return None
                object_store.has_below(self.uri)  # says so where it is the storage that fails
            if table not in self.tables() or not self._was_committed(table):
                return None
            raise LabelAuditError(
                f"table {table!r} of dataset {self.name!r} is damaged: restore {self.uri} from a "
                "copy, or delete that folder."
            ) from error

    def _open_or_create(self, table: str, schema: pa.Schema) -> lancedb.table.Table:
        handle = self._open(table)
        # not `or`: an empty table is false
        if handle is None:
            return self._db.create_table(table, schema=_marked(schema))
        return handle

    def _tidy(self, handle: lancedb.table.Table) -> None:
        if handle.version % COMMITS_BEFORE_OPTIMIZE == 0:
            try:
                handle.optimize(cleanup_older_than=KEPT_VERSIONS)
            except (OSError, RuntimeError) as error:  # the commit stands; only the tidying failed
                log.warning("could not compact %s: %s", handle.name, error)

    @contextmanager
    def _writing(self, table: str, data, schema: pa.Schema) -> Iterator[object]:
        """`data` as LanceDB takes it; what goes wrong in making or writing it, in clear words."""
        if self._steady_tables is not None:
            raise RuntimeError("a steady reading would not see what is written within it")
        feed = Feed(data, schema)
        with self._clearly(table, feed):
            yield feed.source

    @contextmanager
    def _clearly(self, table: str, feed: Feed | None = None) -> Iterator[None]:
        """Mark a table as being written meanwhile; what goes wrong then, in clear words."""
        self.check_lease()
        try:
            with self._marking(table):
                yield
        except LabelAuditError:
            raise
        except Exception as error:
            if feed and feed.error:  # while the rows were made: LanceDB would wrap it in its own
                raise feed.error from None
            reason = str(error)
            if any(words in reason for words in _FULL):
                reason = "no space left on the disk; free some and try again"
            elif any(words in reason for words in _NOT_OURS):
                reason = "the folder may not be written to; get the right to, or copy it elsewhere"
            elif object_store.is_remote(self.uri):
                reason = object_store.explain(error, self.uri).rstrip(".")
            raise LabelAuditError(
                f"could not write table {table!r} of dataset {self.name!r} under {self.uri}: "
                f"{reason}. What was there before is unchanged."
            ) from error
        finally:
            _writes[self.name] = object()
        self.check_lease()

    @contextmanager
    def _marking(self, table: str) -> Iterator[None]:
        if self._marks is None:
            yield
            return
        self._marks.mkdir(parents=True, exist_ok=True)
        with holding(self._marks / f"{table}{WRITING}"):
            yield


# What operating systems say, as LanceDB passes it on.
_FULL = ("No space left", "os error 28", "Disk quota exceeded", "os error 122", "File too large",
         "os error 27")  # fmt: skip
_NOT_OURS = ("Read-only file system", "os error 30", "Permission denied", "os error 13")


def _busy(name: str, who: str) -> str:
    return (
        f"dataset {name!r} has been written to by {who} for over {LOCK_SECONDS} s: wait for it to "
        "finish, or end it, and try again."
    )


def _marked(schema: pa.Schema) -> pa.Schema:
    return schema.with_metadata({_MADE: uuid.uuid4().hex})
