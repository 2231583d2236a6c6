"""Some samples' images, for a worker that does not know all the samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ..errors import LabelAuditError
from ..store import Store


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
        found = rows["id"].to_numpy()
        order = np.argsort(found)
        if not np.array_equal(found[order], np.sort(wanted)):
            raise LabelAuditError(
                f"the samples of dataset {self.store.name!r} were replaced meanwhile: run it again."
            )
        return rows.take(order[np.searchsorted(found[order], wanted)])
