"""Reads and writes a dataset's tables as Arrow.

A dataset is one LanceDB database. Every write is one commit: after a kill the earlier version of
the table is still valid.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ..core.errors import LabelAuditError
from . import lance_errors, object_store, paths, vector_search
from .database import CREATED, Database, Stamp
from .locks import UseMark
from .row_stream import RowStream

if TYPE_CHECKING:
    from lancedb.table import Table as LanceTable

log = logging.getLogger(__name__)

BATCH_ROWS = 1_000_000  # reading 10^6 rows takes 2 ms this way, and 151 ms with to_arrow()
COMMITS_BEFORE_OPTIMIZE = 50  # each small commit leaves three files
# Older versions are deleted when a table is compacted. No reader needs that long, and a log with
# one row per second would otherwise have a file per row in a folder that is listed at each read.
KEPT_VERSIONS = timedelta(hours=1)
MARK_SUFFIX = ".writing"  # of the file that is held while a table is written
# The version of this table tells whether a change happened (see dataset.history_log). Cleaning it
# up makes a new version, so it is only cleaned up after that has been checked.
VERSIONED = "annotations"

OFFSET = "_rowoffset"  # a column that `take` can return: a row's place in stored order
NULL_VECTORS = "null"  # LanceDB's setting for rows without a vector; by default it refuses them


class Store(Database):
    """The tables of one dataset. Reads always see the latest commit, of any process (in object
    storage see FRESH_SECONDS)."""

    def __init__(self, name: str, uri: str | None = None) -> None:
        super().__init__(name, uri)
        # Tables that are being built are removed as a whole after a kill, so they are not marked.
        self._marks = None if uri else paths.marks(name)

    # --- locking and cleaning up ---

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the dataset's only writer lock. Re-entrant within a thread.

        The outermost block first cleans up tables that killed writers left half-written. Raises
        BusyError if another writer holds the lock for too long.
        """
        with self._lock.hold() as outermost:
            try:
                if outermost:
                    self._check_location(always=True)
                    for table in self._marked_tables():
                        if table != VERSIONED:
                            self.clean_up(table)
                yield
            finally:
                if outermost and self._is_remote:
                    self._note_write()

    def check_lock(self) -> None:
        """Raise BusyError if another machine may have taken over the lock that is held here."""
        self._lock.check()

    def clean_up(self, table: str) -> None:
        """Remove the files of an interrupted or failed write. Needs the dataset's lock."""
        if self._marks is None:
            return
        with self._mark(table).cleaning_up() as abandoned:
            if not abandoned:
                return
            try:
                handle = self._open(table)
                if handle is None:
                    paths.remove(self._folder(table))
                else:
                    handle.optimize(cleanup_older_than=KEPT_VERSIONS, delete_unverified=True)
                    paths.remove_temporary(self._folder(table))
            except (OSError, RuntimeError, LabelAuditError) as error:  # it only costs space
                log.warning("could not clean up %s: %s", table, error)

    def is_being_written(self, table: str) -> bool:
        """Return whether a process on this machine is writing to this table."""
        return self._marks is not None and self._mark(table).is_held()

    def _marked_tables(self) -> list[str]:
        if self._marks is None or not self._marks.is_dir():
            return []
        return sorted(path.stem for path in self._marks.glob(f"*{MARK_SUFFIX}"))

    def _mark(self, table: str) -> UseMark:
        return UseMark(self._marks / f"{table}{MARK_SUFFIX}")

    # --- reading ---

    def stamp(self, table: str) -> Stamp | None:
        """Return a value that differs whenever the table's content does; None without a table.

        A version alone is not enough: a table that is dropped and created again begins at 1 again.
        """
        return self._lookup(table)[1]

    def exists(self, table: str) -> bool:
        """Return whether there is such a table."""
        return self._lookup(table)[0] is not None

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns; none without a table."""
        handle = self._lookup(table)[0]
        return [] if handle is None else handle.schema.names

    def count(self, table: str) -> int:
        """Return the number of rows; 0 without a table."""
        handle = self._lookup(table)[0]
        with self._read_errors():
            return 0 if handle is None else handle.count_rows()

    def vector_width(self, table: str, column: str) -> int | None:
        """Return the length of the vectors in a column; None without such a column."""
        handle = self._lookup(table)[0]
        if handle is None or column not in handle.schema.names:
            return None
        return handle.schema.field(column).type.list_size

    def read(self, table: str, columns: Sequence[str], where: str | None = None) -> pa.Table | None:
        """Read columns of the whole table, in stored order; None without a table.

        where: an SQL condition. It must never contain text from a user.
        """
        handle = self._lookup(table)[0]
        if handle is None:
            return None
        query = handle.search().select(list(columns))
        query = query.where(where) if where else query
        with self._read_errors():
            return query.to_batches(BATCH_ROWS).read_all()

    def batches(self, table: str, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Stream columns in stored order, about `rows` rows at a time."""
        handle = self._lookup(table)[0]
        if handle is not None:
            with self._read_errors():
                yield from handle.search().select(list(columns)).to_batches(rows)

    def take(self, table: str, offsets: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Read rows by their places in stored order. The result may be in another order."""
        handle = self._lookup(table)[0]
        with self._read_errors():
            return handle.take_offsets(list(offsets)).select(list(columns)).to_arrow()

    def nearest(
        self, table: str, column: str, vectors: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the k rows nearest by cosine to each of a few vectors (n, width), nearest first.

        Returns flat arrays over all results: index of the vector (0 … n - 1), id, and similarity
        (float32, -1 to 1). Rows without a vector, or with a vector of zeros, are never found.
        """
        handle = self._lookup(table)[0]
        results = []
        for vector in np.asarray(vectors, np.float32):  # a batch query would take as long
            with self._read_errors():
                results.append(vector_search.nearest(handle, column, vector, k))
        of = np.repeat(np.arange(len(results)), [len(result) for result in results])
        found = pa.concat_tables(results)
        distance = found["_distance"].to_numpy()
        return of, found["id"].to_numpy(), np.clip(1 - distance, -1, 1).astype(np.float32)

    def location(self, table: str) -> tuple[str, int]:
        """Return a table's URI and current version, for reading it without LanceDB."""
        return self._folder(table), self._lookup(table)[0].version

    @contextmanager
    def _read_errors(self) -> Iterator[None]:
        """Translate errors of object storage."""
        try:
            yield
        except (RuntimeError, ValueError, OSError) as error:
            if not self._is_remote:
                raise
            raise object_store.translated(error, self.uri) from error

    # --- writing ---

    def overwrite(
        self, table: str, data: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> None:
        """Create the table, or replace all its rows."""
        schema = _with_id(schema)
        with self._stream(table, data, schema) as rows:
            handle = self._db.create_table(
                table, rows, schema=schema, mode="overwrite", on_bad_vectors=NULL_VECTORS
            )
            self._compact(handle)

    def append(
        self, table: str, data: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> None:
        """Add rows, and create the table if necessary."""
        with self._stream(table, data, schema) as rows:
            handle = self._open_or_create(table, schema)
            handle.add(rows)
            self._compact(handle)

    def upsert(
        self, table: str, data: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> None:
        """Replace the rows with these ids, and insert those with new ids."""
        with self._stream(table, data, schema) as rows:
            handle = self._open_or_create(table, schema)
            merge = handle.merge_insert("id").when_matched_update_all()
            merge.when_not_matched_insert_all().execute(rows, on_bad_vectors=NULL_VECTORS)
            self._compact(handle)

    def delete(self, table: str, where: str) -> None:
        """Delete the rows that meet an SQL condition. It must never contain text from a user."""
        handle = self._open(table)
        if handle is not None:
            with self._marked_write(table):
                handle.delete(where)

    def add_column(self, table: str, field: pa.Field) -> None:
        """Add a column that is null in all existing rows."""
        with self._marked_write(table):
            self._open(table).add_columns(field)

    def index_vectors(self, table: str, column: str) -> bool:
        """Build the index for `nearest`, if many rows are outside of it. Returns whether it did."""
        handle = self._open(table)
        if not vector_search.needs_index(handle, column):
            return False
        with self._marked_write(table):
            vector_search.build_index(handle, column)
        return True

    @contextmanager
    def external_write(self, table: str, schema: pa.Schema) -> Iterator[tuple[str, pa.Schema]]:
        """Let other processes create a table that does not exist yet.

        Yields the URI to write its files to and the schema to commit them with, once, within the
        block.
        """
        with self._marked_write(table):
            yield self._folder(table), _with_id(schema)

    def drop(self, table: str) -> None:
        """Delete a table that nobody reads any more. A kill may leave a part of it."""
        try:
            exists = self._open(table) is not None
        except LabelAuditError:  # a part of a table
            exists = False
        if exists:
            self._db.drop_table(table)
        elif table in self.tables():
            paths.remove(self._folder(table))

    def _open_or_create(self, table: str, schema: pa.Schema) -> LanceTable:
        handle = self._open(table)
        if handle is None:  # not `or`: an empty table is false
            return self._db.create_table(table, schema=_with_id(schema))
        return handle

    @contextmanager
    def _stream(self, table: str, data, schema: pa.Schema) -> Iterator[object]:
        """Yield `data` in the form that LanceDB reads, and translate errors in the block."""
        if self._steady_tables is not None:
            raise RuntimeError("a steady reading would not see what is written within it")
        stream = RowStream(data, schema)
        with self._marked_write(table, stream):
            yield stream.source

    @contextmanager
    def _marked_write(self, table: str, stream: RowStream | None = None) -> Iterator[None]:
        """Mark a table as being written during the block, and translate errors."""
        self.check_lock()
        try:
            if self._marks is None:
                yield
            else:
                self._marks.mkdir(parents=True, exist_ok=True)
                with self._mark(table):
                    yield
        except LabelAuditError:
            raise
        except Exception as error:
            if stream and stream.error:  # raised while producing the rows; LanceDB would wrap it
                raise stream.error from None
            raise lance_errors.write_error(error, table, self.name, self.uri) from error
        finally:
            self._note_write()
        self.check_lock()

    def _compact(self, handle) -> None:
        if handle.version % COMMITS_BEFORE_OPTIMIZE == 0:
            try:
                handle.optimize(cleanup_older_than=KEPT_VERSIONS)
            except (OSError, RuntimeError) as error:  # the commit itself succeeded
                log.warning("could not compact %s: %s", handle.name, error)


def _with_id(schema: pa.Schema) -> pa.Schema:
    return schema.with_metadata({CREATED: uuid.uuid4().hex})
