"""The classes of a dataset after a sync."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..dataset.arrays import MISSING
from ..dataset.ingest import check_class
from .compare import Matches
from .label_changes import rename_classes
from .reading import SourceNow
from .source_classes import SourceClasses
from .stored_files import StoredFiles


@dataclass(frozen=True)
class ClassesAfter:
    """The classes after a sync.

    names: of the dataset. there: see `SourceClasses`. after: the class that each row of the source
    has there, int32 (n,). renamed: new names by the present ones. empty: classes that the source
    does not have any more.
    """

    names: list[str]
    there: dict[str, int]
    after: np.ndarray
    renamed: dict[str, str]
    empty: list[str]


def classes_after(
    known: SourceClasses, stored: StoredFiles, now: SourceNow, matches: Matches
) -> ClassesAfter:
    """Find new classes, and those that the source calls differently now. A class that was renamed
    here keeps its name."""
    labels = now.labels.dictionary.to_pylist()
    found = [name for name in dict.fromkeys([*now.classes, *labels]) if name]
    new = [name for name in found if name not in known.index]
    for name in new:
        check_class(name)
    count = len(known.here)
    index = known.index | {name: count + i for i, name in enumerate(new)}
    after = _codes(now.labels, index)
    before = stored.label[matches.stored]
    pairs = rename_classes(before, after[matches.now], count, set(after.tolist()))
    renamed = {new[to - count]: code for code, to in pairs.items()}
    new = [name for name in new if name not in renamed]
    index |= renamed | {name: count + i for i, name in enumerate(new)}
    there = known.after({name: index[name] for name in found})
    names = list(known.here)
    for name, code in renamed.items():
        if known.there.get(names[code]) == code:
            names[code] = name
    after, used = _codes(now.labels, index), {index[name] for name in now.classes}
    used |= set(after.tolist())
    return ClassesAfter(
        [*names, *new],
        there,
        after,
        {old: new for old, new in zip(known.here, names, strict=True) if old != new},
        [known.here[code] for code in sorted(set(known.there.values()) - used)],
    )


def _codes(labels: pa.DictionaryArray, index: Mapping[str, int]) -> np.ndarray:
    """Return the class index of each label, int32 (n,); MISSING for none."""
    codes = np.array([*(index[name] for name in labels.dictionary.to_pylist()), MISSING], np.int32)
    return codes[labels.indices.fill_null(-1).to_numpy()]
