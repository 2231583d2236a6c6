"""Rows on their way into a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa


class RowStream:
    """Rows for LanceDB to read from `source`. Remembers an error raised while they are produced.

    enter: called in LanceDB's thread before each batch is produced, so that the producer reads the
    same state of the dataset there as in the thread that writes.
    """

    def __init__(
        self,
        data: pa.Table | Iterable[pa.RecordBatch],
        schema: pa.Schema,
        enter: Callable[[], None] = lambda: None,
    ) -> None:
        self.error: BaseException | None = None
        self._enter = enter
        if isinstance(data, pa.Table):
            self.source = data.cast(schema)
        else:
            self.source = pa.RecordBatchReader.from_batches(schema, self._watched(data, schema))

    def _watched(
        self, batches: Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        try:
            batches = iter(batches)
            while True:
                self._enter()
                batch = next(batches, None)
                if batch is None:
                    return
                yield batch.replace_schema_metadata(schema.metadata)
        except BaseException as error:
            self.error = error
            raise
