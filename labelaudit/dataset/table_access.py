"""Access to a dataset's tables for code that holds its Frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import wraps

import pyarrow as pa

from ..storage.snapshot import Stamp
from ..storage.tables import Store


def steadily(method: Callable):
    """Decorate a method of an object with `steady()`, to run it as one steady reading."""

    @wraps(method)
    def steady(self, *arguments, **options):
        with self.steady():
            return method(self, *arguments, **options)

    return steady


class TableAccess:
    """Passes calls on to `store`, where they are documented."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.store.name

    @property
    def uri(self) -> str:
        """Where the dataset's tables are."""
        return self.store.uri

    def steady(self) -> AbstractContextManager[None]:
        """Return a block in which all reads of this thread are consistent."""
        return self.store.steady()

    def transaction(self) -> AbstractContextManager[None]:
        """Return a block whose changes happen together or not at all; see Store.transaction."""
        return self.store.transaction()

    def stamp(self, table: str) -> Stamp | None:
        """Return a value that differs whenever the table's content does; None without a table."""
        return self.store.stamp(table)

    def exists(self, table: str) -> bool:
        """Return whether there is such a table."""
        return self.store.exists(table)

    def read(self, table: str, columns: Sequence[str], where: str | None = None) -> pa.Table | None:
        """Read columns of a whole table; None without a table. where: see Store.read."""
        return self.store.read(table, columns, where)

    def read_rows(self, table: str, columns: Sequence[str], where: str | None = None) -> list[dict]:
        """Read columns of a small table as dictionaries; none without a table."""
        rows = self.store.read(table, columns, where)
        return [] if rows is None else rows.to_pylist()

    def batches(self, table: str, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Stream columns in stored order, about `rows` rows at a time."""
        return self.store.batches(table, columns, rows)

    def overwrite(
        self, table: str, data: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> None:
        """Create a table, or replace all its rows."""
        self.store.overwrite(table, data, schema)

    def append(
        self, table: str, data: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> None:
        """Add rows to a table."""
        self.store.append(table, data, schema)

    def upsert(
        self, table: str, data: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> None:
        """Replace the rows with these ids, and insert those with new ids."""
        self.store.upsert(table, data, schema)
