"""Which class of the dataset each column of somebody else's predictions stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import LabelAuditError
from ..dataset.arrays import MISSING
from ..dataset.columns import SHOWN_CLASSES, Frame
from ..storage.schema import REMOVED


@dataclass(frozen=True)
class Columns:
    """Column `source[i]` of `width` is class `target[i]` of the dataset's `classes`."""

    source: np.ndarray  # int (k,)
    target: np.ndarray  # int (k,)
    width: int
    classes: int
    missing: list[str]  # classes of the dataset without a column; no sample has them
    extra: list[str]  # columns that are no class of the dataset: left out
    placed: bool = False  # they have no names: taken to be in the dataset's order

    @property
    def as_they_are(self) -> bool:
        """Whether the columns are the dataset's classes in its order."""
        return self.width == self.classes and np.array_equal(self.source, self.target)


def match_classes(frame: Frame, names: Sequence | None, width: int, what: str) -> Columns:
    """Columns by the names of their classes; without names by their place, where the number fits.

    Names that are 0 … width - 1, none of which the dataset has, are places too. `what` is what has
    these columns, for errors. Raises LabelAuditError where a class that samples are labelled with
    has no column: a model that does not know it would find all of them wrong.
    """
    known = frame.classes
    if names is not None:
        names = [text(name) for name in names]
        _check_names(names, width, what)
        if not set(names) & set(known) and names == [str(i) for i in range(width)]:
            names = None
    if names is None:
        if width != len(known):
            raise LabelAuditError(
                f"{what} has {width:,} columns and dataset {frame.name!r} {len(known):,} "
                "classes: say which class each column is (classes=)."
            )
        places = np.arange(width)
        return Columns(places, places, width, width, [], [], placed=True)
    index = {name: code for code, name in enumerate(known)}
    source = np.array([i for i, name in enumerate(names) if name in index], np.int64)
    target = np.array([index[names[i]] for i in source], np.int64)
    missing = [name for name in known if name not in set(names)]
    if not len(source):
        raise LabelAuditError(
            f"none of the classes of {what} ({shown(names)}) is one of dataset "
            f"{frame.name!r} ({shown(known)}): name them as the dataset does."
        )
    _check_missing(frame, missing, index, what)
    extra = [name for name in names if name not in index]
    return Columns(source, target, width, len(known), missing, extra)


def text(name) -> str:
    """A class's name as the dataset has it: 3 and b"3" are "3"."""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_CLASSES]) + (" …" if len(names) > SHOWN_CLASSES else "")


def _check_names(names: list[str], width: int, what: str) -> None:
    if len(names) != width:
        raise LabelAuditError(
            f"{len(names):,} classes are named and {what} has {width:,} columns: name each column."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise LabelAuditError(f"class {twice!r} stands for two columns of {what}: leave one.")


def _check_missing(frame: Frame, missing: list[str], index: dict[str, int], what: str) -> None:
    labels = frame.label[~frame.tagged(REMOVED)]
    counts = np.bincount(labels[labels != MISSING], minlength=len(index))
    lacking = [name for name in missing if counts[index[name]]]
    if lacking:
        more = f" (and {len(lacking) - 1:,} more classes)" if len(lacking) > 1 else ""
        raise LabelAuditError(
            f"{what} has no column for class {lacking[0]!r}{more}, with which "
            f"{counts[index[lacking[0]]]:,} samples of {frame.name!r} are labelled: "
            "predictions must be of all classes that samples have."
        )
