"""The labels that a source is to have, by path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...core.errors import BadInputError
from ...dataset.columns import Frame
from ...storage.schema import REMOVED
from ..stored_files import read_stored


@dataclass(frozen=True)
class CurrentLabels:
    """Samples that the source has. Arrays (n,).

    in_source: class index in the source when it was read last. label: class index now. removed:
    bool, samples that are removed here; the source keeps them.
    """

    ids: np.ndarray
    paths: pa.Array
    in_source: np.ndarray
    label: np.ndarray
    removed: np.ndarray
    names: list[str | None]  # classes, then None: MISSING indexes it

    @property
    def differs(self) -> np.ndarray:
        """Mask, bool (n,), of the samples whose label in the source is to be changed."""
        return (self.label != self.in_source) & ~self.removed


def read_current(frame: Frame) -> CurrentLabels:
    """Read them. Raises BadInputError for a dataset that does not remember its source."""
    stored = read_stored(frame)
    here = np.flatnonzero(stored.present)
    at = frame.positions(stored.ids[here])
    return CurrentLabels(
        ids=stored.ids[here],
        paths=stored.paths.take(pa.array(here)),
        in_source=stored.label[here],
        label=frame.label[at],
        removed=frame.tagged(REMOVED)[at],
        names=[*frame.classes, None],
    )


def out_of_date(name: str, dataset: str, path: str) -> BadInputError:
    """Return the error for a source that is not as it was when it was read last."""
    return BadInputError(
        f"{name} was changed since it was read: {path} has another label or is new. First run "
        f"`labelaudit sync {dataset} --apply`, and decide its conflicts."
    )
