"""Sends blocks of rows to workers, and reads images in a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from ..core.errors import BusyError
from ..dataset.arrays import in_order
from ..dataset.columns import Frame
from ..storage.tables import Store


class SampleRows:
    """The part of a Frame that `Images` needs, for some samples, so that the memory of a worker
    depends on its own samples only.

    ids: int64 (n,), sorted. offsets: places of their rows in the table `samples`, int64 (n,).
    """

    def __init__(self, store: Store, ids: np.ndarray, offsets: np.ndarray) -> None:
        self.store, self.ids, self.offsets = store, ids, offsets
        self.grey_scales = Frame(store).grey_scales

    def positions(self, ids: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.ids, ids)

    def take(self, table: str, positions: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Return their rows in this order. Raises LabelAuditError if the table was rewritten."""
        wanted = self.ids[positions]
        rows = self.store.take(table, self.offsets[positions].tolist(), ["id", *columns])
        if not np.array_equal(np.sort(rows["id"].to_numpy()), np.sort(wanted)):
            raise BusyError(
                f"the samples of dataset {self.store.name!r} were replaced meanwhile: run it again."
            )
        return in_order(rows, wanted)


def map_blocks(columns: Mapping[str, np.ndarray], rows: int, work: Callable | type, **options):
    """Return a pipeline that applies `work` to blocks of `rows` rows, as pa.Table, in order.

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
