"""The labels that a source is to have, by path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from ...core.errors import BadInputError
from ...dataset.arrays import MISSING
from ...dataset.columns import Frame
from ...storage.schema import REMOVED
from ..source_classes import SourceClasses
from ..stored_files import read_stored

UNKNOWN = -2  # stands for a class that the source did not have when it was read last


@dataclass(frozen=True)
class CurrentLabels:
    """Samples that the source has. Arrays (n,).

    in_source: class index in the source when it was read last. label: class index now. removed:
    bool, samples that are removed here; the source keeps them. classes: how the source calls them.
    """

    ids: np.ndarray
    paths: pa.Array
    in_source: np.ndarray
    label: np.ndarray
    removed: np.ndarray
    classes: SourceClasses

    @cached_property
    def differs(self) -> np.ndarray:
        """Mask, bool (n,), of the samples whose label in the source is to be changed."""
        return (self.label != self.classes.labels_here(self.in_source)) & ~self.removed

    def code(self, name: str | None) -> int:
        """Return the class that a label of the source means; MISSING for none, UNKNOWN for a name
        that was not there when it was read last."""
        return MISSING if name is None else self.classes.index.get(name, UNKNOWN)

    @cached_property
    def names(self) -> list[str | None]:
        """How labels are written to the source, by class index; then None, so that MISSING indexes
        it. A class that cannot be written has None, too."""
        return [*map(self.classes.name_there, range(len(self.classes.here))), None]

    def why_not(self, code: int) -> str | None:
        """Return why a class cannot be written to the source; None if it can."""
        if code == MISSING or self.names[code] is not None:
            return None
        name = self.classes.here[code]
        return f"is {name!r} now, which is the name of another class in the source"


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
        classes=SourceClasses.read(frame),
    )


def out_of_date(name: str, dataset: str, path: str) -> BadInputError:
    """Return the error for a source that is not as it was when it was read last."""
    return BadInputError(
        f"{name} was changed since it was read: {path} has another label or is new. First run "
        f"`labelaudit sync {dataset} --apply`, and decide its conflicts."
    )
