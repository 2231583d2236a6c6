"""Rows on their way to workers: some samples' images, for one that does not know all the samples,
and blocks of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from ..core.errors import LabelAuditError
from ..dataset.arrays import in_order
from ..storage.tables import Store


class Rows:
    """What `Images` needs of a Frame, of a few samples: ids, int64 (n,), sorted, and the places of
    their rows in the table `samples`, int64 (n,). A worker's memory grows with its own samples."""

    def __init__(self, store: Store, ids: np.ndarray, offsets: np.ndarray) -> None:
        self.store, self.ids, self.offsets = store, ids, offsets

    def positions(self, ids: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.ids, ids)

    def take(self, table: str, positions: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Their rows in this order. Raises LabelAuditError where other samples lie there now."""
        wanted = self.ids[positions]
        rows = self.store.take(table, self.offsets[positions].tolist(), ["id", *columns])
        if not np.array_equal(np.sort(rows["id"].to_numpy()), np.sort(wanted)):
            raise LabelAuditError(
                f"the samples of dataset {self.store.name!r} were replaced meanwhile: run it again."
            )
        return in_order(rows, wanted)


def over_blocks(columns: Mapping[str, np.ndarray], rows: int, work: Callable | type, **options):
    """A pipeline of what `work` makes of blocks of so many rows, as pa.Table, in their order.

    options: of Ray's `map_batches`.
    """
    import ray.data

    ray.data.DataContext.get_current().execution_options.preserve_order = True
    total = len(next(iter(columns.values())))
    blocks = [
        pa.table({name: values[start : start + rows] for name, values in columns.items()})
        for start in range(0, total, rows)
    ]
    return ray.data.from_arrow(blocks).map_batches(
        work, batch_format="pyarrow", batch_size=None, **options
    )
