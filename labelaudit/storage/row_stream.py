"""Rows on their way into a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa


class RowStream:
    """Rows for LanceDB to read from `source`. Remembers an error raised while they are produced."""

    def __init__(self, data: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
        self.error: BaseException | None = None
        if isinstance(data, pa.Table):
            self.source = data.cast(schema)
        else:
            self.source = pa.RecordBatchReader.from_batches(schema, self._watched(data, schema))

    def _watched(
        self, batches: Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                yield batch.replace_schema_metadata(schema.metadata)
        except BaseException as error:
            self.error = error
            raise
