"""Reads and writes a dataset's tables as Arrow.

A dataset is one LanceDB database. A reader sees the versions that the dataset's snapshot names, and
every change is a transaction, or part of one (see `database`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

import lancedb
import numpy as np
import pyarrow as pa

from ..core.errors import BusyError, LabelAuditError
from . import cleanup, lance_errors, object_store, paths, vector_search
from .database import Database, Work
from .row_ids import RowIds
from .row_stream import RowStream

BATCH_ROWS = 1_000_000  # reading 10^6 rows takes 2 ms this way, and 151 ms with to_arrow()
FEW_ROWS = 1_000  # replaced by deleting and adding them; more by a merge
NULL_VECTORS = "null"  # LanceDB's setting for rows without a vector; by default it refuses them

Rows: TypeAlias = pa.Table | Iterable[pa.RecordBatch]
Result = TypeVar("Result")


class Store(Database):
    """The tables of one dataset. Reads see the latest commit of any process (in object storage see
    FRESH_SECONDS), or that of the steady reading or transaction of this thread."""

    # --- reading ---

    def exists(self, table: str) -> bool:
        """Return whether there is such a table."""
        return self.stamp(table) is not None

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns; none without a table."""
        handle = self._handle(table)
        return [] if handle is None else handle.schema.names

    def numeric_columns(self, table: str) -> list[str]:
        """Return the names of a table's columns with one number a row; none without a table."""
        handle = self._handle(table)
        fields = [] if handle is None else handle.schema
        return [each.name for each in fields if pa.types.is_primitive(each.type)]

    def count(self, table: str) -> int:
        """Return the number of rows; 0 without a table."""
        handle = self._handle(table)
        with self._read_errors(table):
            return 0 if handle is None else handle.count_rows()

    def vector_width(self, table: str, column: str) -> int | None:
        """Return the length of the vectors in a column; None without such a column."""
        handle = self._handle(table)
        if handle is None or column not in handle.schema.names:
            return None
        return handle.schema.field(column).type.list_size

    def read(self, table: str, columns: Sequence[str], where: str | None = None) -> pa.Table | None:
        """Read columns of the whole table, in stored order; None without a table.

        where: an SQL condition. It must never contain text from a user.
        """
        handle = self._handle(table)
        if handle is None:
            return None
        query = handle.search().select(list(columns))
        query = query.where(where) if where else query
        with self._read_errors(table):
            return query.to_batches(BATCH_ROWS).read_all()

    def batches(self, table: str, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Stream columns in stored order, about `rows` rows at a time."""
        handle = self._handle(table)
        if handle is not None:
            with self._read_errors(table):
                yield from handle.search().select(list(columns)).to_batches(rows)

    def take(self, table: str, offsets: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Read rows by their places in stored order. The result may be in another order."""
        handle = self._handle(table)
        with self._read_errors(table):
            return handle.take_offsets(list(offsets)).select(list(columns)).to_arrow()

    def nearest(
        self, table: str, column: str, vectors: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the k rows nearest by cosine to each of a few vectors (n, width), nearest first.

        Returns flat arrays over all results: index of the vector (0 … n - 1), id, and similarity
        (float32, -1 to 1). Rows without a vector, or with a vector of zeros, are never found.
        """
        handle = self._handle(table)
        results = []
        for vector in np.asarray(vectors, np.float32):  # a batch query would take as long
            with self._read_errors(table):
                found = vector_search.nearest(handle, column, vector, k, self.is_remote)
                results.append(found)
        of = np.repeat(np.arange(len(results)), [len(result) for result in results])
        found = pa.concat_tables(results)
        distance = found["_distance"].to_numpy()
        return of, found["id"].to_numpy(), np.clip(1 - distance, -1, 1).astype(np.float32)

    def location(self, table: str) -> tuple[str, int]:
        """Return a table's URI and current version, for reading it without LanceDB."""
        snapshot = self._snapshot()
        return self._folder(snapshot.folder, table), snapshot.tables[table][0]

    @contextmanager
    def _read_errors(self, table: str) -> Iterator[None]:
        """Translate errors of object storage, and of files that are gone."""
        try:
            yield
        except (RuntimeError, ValueError, OSError) as error:
            if lance_errors.is_missing_file(error):
                raise self._gone_error(table, self._snapshot()) from error
            if not self.is_remote:
                raise
            raise object_store.translated(error, self.uri) from error

    # --- writing ---

    def overwrite(self, table: str, data: Rows, schema: pa.Schema) -> None:
        """Create the table, or replace all its rows."""
        with self._change(table, data, schema) as (work, rows):
            self._written(work, table, self._create(work, table, schema, rows))

    def append(self, table: str, data: Rows, schema: pa.Schema) -> None:
        """Add rows, and create the table if necessary."""
        with self._change(table, data, schema) as (work, rows):
            handle = self._opened(work, table, schema)
            self._once(handle, table, lambda: handle.add(rows))
            self._written(work, table, handle)

    def upsert(self, table: str, data: Rows, schema: pa.Schema) -> None:
        """Replace the rows with these ids, and insert those with new ids."""
        with self._change(table, data, schema) as (work, rows):
            handle = self._opened(work, table, schema)
            few = isinstance(rows, pa.Table) and len(rows) <= FEW_ROWS
            if few and work.is_hidden and not self.is_remote:
                self._replace(work, table, handle, rows)
            else:
                self._once(handle, table, lambda: merge(handle, rows))
                self._written(work, table, handle)

    def _replace(self, work: Work, table: str, handle, rows: pa.Table) -> None:
        """Delete the rows with the same ids, and add these: two commits with much less processor
        time than a merge, but more requests."""
        stamp, ids = work.tables.get(table), rows["id"].to_numpy()
        key, known = self._row_ids.pop(table, (None, None))
        if known is None or key != (work.folder, stamp):
            known = RowIds(handle)
        if places := known.of(handle, ids):
            listed = ", ".join(map(str, places))
            gone = self._once(handle, table, lambda: handle.delete(f"_rowid IN ({listed})"))
            if gone.num_deleted_rows != len(places):
                raise self._clash(table)
        self._once(handle, table, lambda: handle.add(rows))
        known.append(ids)
        self._written(work, table, handle)
        if table not in work.compacted:
            self._row_ids[table] = (work.folder, work.tables[table]), known

    def delete(self, table: str, where: str) -> None:
        """Delete the rows that meet an SQL condition. It must never contain text from a user."""
        with self._change(table) as (work, _):
            handle = self._writable(work, table)
            if handle is not None:
                self._once(handle, table, lambda: handle.delete(where))
                self._written(work, table, handle)

    def drop(self, table: str) -> None:
        """Delete a table."""
        with self._change(table) as (work, _):
            work.tables = {name: at for name, at in work.tables.items() if name != table}

    @contextmanager
    def _change(
        self, table: str, data: Rows | None = None, schema: pa.Schema | None = None
    ) -> Iterator[tuple[Work, object]]:
        """A change of one table, as part of this thread's transaction or as one of its own.

        Yields the transaction and `data` in the form that LanceDB reads. Translates errors.
        """
        if self._state[0] is not None:
            raise RuntimeError("a steady reading would not see what is written within it")
        with self.transaction():
            work = self._work
            stream = None if data is None else self._stream(data, schema)
            with self._write_errors(table, stream):
                self._hold(work, table)
                yield work, stream and stream.source

    def _stream(self, data: Rows, schema: pa.Schema) -> RowStream:
        state = self._state
        return RowStream(data, schema, lambda: setattr(self._local, "state", state))

    @contextmanager
    def _write_errors(self, table: str, stream: RowStream | None = None) -> Iterator[None]:
        try:
            yield
        except LabelAuditError:
            raise
        except Exception as error:
            if stream and stream.error:  # raised while producing the rows; LanceDB would wrap it
                raise stream.error from None
            raise lance_errors.write_error(error, table, self.name, self.uri) from error

    def _create(self, work: Work, table: str, schema: pa.Schema, rows=None):
        """Create a table, in place of what a killed transaction left under its name."""
        return self._connect(work.folder).create_table(
            table, rows, schema=schema, mode="overwrite", on_bad_vectors=NULL_VECTORS
        )

    def _opened(self, work: Work, table: str, schema: pa.Schema):
        """Open a table for a change, and create it if necessary."""
        handle = self._writable(work, table)
        return self._create(work, table, schema) if handle is None else handle

    def _writable(self, work: Work, table: str):
        """Open a table for a change: its latest version is the transaction's. None without one."""
        stamp = work.tables.get(table)
        if stamp is None:
            return None
        key, handle = self._writers.pop(table, (None, None))
        if key == (work.folder, stamp) and self._lock.is_untouched:
            return handle
        if key == (work.folder, stamp):
            handle.checkout_latest()
        else:
            handle = self._connect(work.folder).open_table(table)
        if handle.version != stamp[0]:  # a transaction that was undone wrote more
            handle.restore(stamp[0])
        return handle

    def _once(self, handle, table: str, change: Callable[[], Result]) -> Result:
        """Make a change that adds one version. Raises BusyError if another process, which lost the
        lock without noticing, wrote to the table at the same time."""
        before = handle.version
        result = change()
        if handle.version > before + 1:
            raise self._clash(table)
        return result

    def _clash(self, table: str) -> BusyError:
        return BusyError(
            f"another process wrote to table {table!r} of dataset {self.name!r} at the same "
            "time, so this change was not made: repeat it."
        )

    def _written(self, work: Work, table: str, handle) -> None:
        """Make what was written part of the transaction."""
        version = handle.version
        if cleanup.is_due(version):
            cleanup.compact(handle)
            work.compacted.add(table)
            version = handle.version
        stamp = (version, new_stamp_text())
        work.tables = {**work.tables, table: stamp}
        self._writers[table] = (work.folder, stamp), handle


class Staging:
    """Writes of one table that take long, without the dataset's lock: nobody sees them before
    `publish`, which is called within a transaction. Used as a context manager.

    A table that exists is changed from its latest version, so two processes that write to it at
    the same time lose nothing; such tables are never changed in another way.
    """

    def __init__(self, store: Store, table: str) -> None:
        self._store, self.table = store, table
        with store.transaction():
            pass  # removes what a killed process left of the table
        self._base = store._snapshot()
        self._stamp = self._base.tables.get(table)
        self._handle: lancedb.table.Table | None = None
        self._work = Work(self._base, self._base.folder, {})  # holds the mark
        self._compacted = False

    def __enter__(self) -> Staging:
        with self._store._write_errors(self.table):
            self._store._hold(self._work, self.table)
        return self

    def __exit__(self, kind, *_) -> None:
        self._store._release(self._work, completed=kind is None)

    @property
    def uri(self) -> str:
        """Where other processes may write the files of a new table."""
        return self._store._folder(self._work.folder, self.table)

    def upsert(self, data: Rows, schema: pa.Schema, new_column: pa.Field | None = None) -> None:
        """Create the table, or replace and insert rows. new_column: added first if it is missing,
        null in all existing rows."""
        stream = self._store._stream(data, schema)
        with self._store._write_errors(self.table, stream):
            if self._stamp is None:
                self._handle = self._store._create(self._work, self.table, schema, stream.source)
                return
            handle = self._open()
            if new_column is not None and new_column.name not in handle.schema.names:
                handle.add_columns(new_column)
            merge(handle, stream.source)
            self._compacted = cleanup.is_due(handle.version)
            if self._compacted:
                cleanup.compact(handle)

    def index_vectors(self, column: str) -> bool:
        """Build the index for `nearest`, if many rows are outside of it. Returns whether it did."""
        with self._store._write_errors(self.table):
            if not vector_search.needs_index(self._open(), column):
                return False
            vector_search.build_index(self._open(), column)
        return True

    def count(self) -> int:
        """Return the number of rows, with those that were written here or by other processes."""
        return self._open().count_rows() if paths.has_files(f"{self.uri}/_versions") else 0

    def publish(self) -> None:
        """Make the rows part of the transaction of this thread.

        Raises BusyError if another process created the table in the meantime.
        """
        work = self._store._work
        stamp, version = work.tables.get(self.table), self._open().version
        if work.folder != self._base.folder or (self._stamp is None and stamp is not None):
            raise BusyError(
                f"another process wrote table {self.table!r} of dataset {self._store.name!r} at "
                "the same time, so this was not stored: repeat it."
            )
        # all files must be on the disk, also those of a process that died before it published
        work.files[self.table] = {}
        work.compacted |= {self.table} if self._compacted else set()
        if stamp is None or stamp[0] < version:  # else another process published these rows, too
            work.tables = {**work.tables, self.table: (version, new_stamp_text())}

    def _open(self) -> lancedb.table.Table:
        if self._handle is None:
            self._handle = self._store._connect(self._work.folder).open_table(self.table)
        return self._handle


def merge(handle, rows) -> None:
    """Replace the rows of a LanceDB table with these ids, and insert those with new ids."""
    into = handle.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    into.execute(rows, on_bad_vectors=NULL_VECTORS)


def new_stamp_text() -> str:
    """Return a text that no other change has."""
    return uuid.uuid4().hex[:12]
