"""The classes of a dataset under the names that its source uses.

Classes can be renamed and merged in a dataset, while its source keeps the earlier names. A label of
the source is stored as the index of its class, which never changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..dataset.arrays import MISSING
from ..dataset.class_names import SOURCE_NAMES, merged_into, source_names
from ..dataset.columns import Frame
from ..dataset.history_log import write_meta


@dataclass(frozen=True)
class SourceClasses:
    """How a dataset and its source call the classes.

    here: the names in the dataset, by class index. there: the class index of each name in the
    source, which may have several names for one class. target: the class that a label of the source
    means here, int (C,): itself, or the one that it was merged into.
    """

    here: list[str]
    there: dict[str, int]
    target: np.ndarray

    @classmethod
    def read(cls, frame: Frame) -> SourceClasses:
        """Return the present names."""
        return cls(list(frame.classes), source_names(frame), merged_into(frame))

    @cached_property
    def index(self) -> dict[str, int]:
        """The class that each name in the source means. A name that the source does not use for
        another class means the class that is called so here."""
        return {name: code for code, name in enumerate(self.here)} | self.there

    def labels_here(self, codes: np.ndarray) -> np.ndarray:
        """Return the labels that labels of the source mean here. Both are class indices, int (n,),
        with MISSING for none."""
        return np.append(self.target, MISSING)[codes].astype(np.int32)

    def name_there(self, code: int) -> str | None:
        """Return how a label of the dataset is written to the source; None if it cannot be.

        A class that has several names in the source is written under its name here.
        """
        names = [name for name, of in self.there.items() if self.target[of] == code]
        name = names[0] if len(names) == 1 else self.here[code]
        return name if self.target[self.index[name]] == code else None

    def after(self, found: Mapping[str, int]) -> dict[str, int]:
        """Return the names in the source, now that it uses these. Classes that it does not use at
        the moment keep their names."""
        used = set(found.values())
        return dict(found) | {name: of for name, of in self.there.items() if of not in used}

    def remember(self, frame: Frame, written: Collection[str | None]) -> None:
        """Store class names that were written to the source, so that they keep their meaning when
        classes are renamed here."""
        new = {name: self.index[name] for name in written if name and name not in self.there}
        if new:
            write_meta(frame.store, {**frame.meta, SOURCE_NAMES: {**self.there, **new}})
