"""Assigns the columns of imported predictions to the classes of the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import BadInputError
from ..core.plural import counted, verb
from ..dataset.arrays import MISSING
from ..dataset.columns import SHOWN_CLASSES, Frame
from ..storage.schema import REMOVED

HOW_TO_NAME_CLASSES = "classes=… in Python, --classes on the command line"


@dataclass(frozen=True)
class Columns:
    """Column `source[i]` of `width` is class `target[i]` of `classes`: those of the dataset, then
    those that only the model knows."""

    source: np.ndarray  # int (k,)
    target: np.ndarray  # int (k,)
    width: int
    classes: int
    missing: list[str]  # classes of the dataset without a column; no sample has them
    extra: list[str]  # classes that the dataset does not have, in the order of their columns
    by_position: bool = False  # the columns have no names, and are taken in the dataset's order

    @property
    def is_identity(self) -> bool:
        """Whether the columns are the dataset's classes in its order."""
        return self.width == self.classes and np.array_equal(self.source, self.target)


def match_classes(frame: Frame, names: Sequence | None, width: int, what: str) -> Columns:
    """Match columns by class names, or by position if there are no names and the number fits.

    Names 0 to width - 1 count as positions too if none is a class of the dataset. what:
    what has these columns, for errors. Raises LabelAuditError if names do not fit, or if samples
    have a class without a column: a model that does not know a class would call all of them wrong.
    """
    known = frame.classes
    if names is not None:
        names = [text(name) for name in names]
        _check_names(names, width, what)
        if not set(names) & set(known) and names == [str(i) for i in range(width)]:
            names = None
    if names is None:
        if width != len(known):
            raise BadInputError(
                f"{what} has {width:,} columns and dataset {frame.name!r} {len(known):,} "
                f"classes: name the class of each column ({HOW_TO_NAME_CLASSES})."
            )
        columns = np.arange(width)
        return Columns(columns, columns, width, width, [], [], by_position=True)
    index = {name: code for code, name in enumerate(known)}
    missing = [name for name in known if name not in set(names)]
    if len(missing) == len(known):
        raise BadInputError(
            f"none of the classes of {what} ({shown(names)}) is a class of dataset "
            f"{frame.name!r} ({shown(known)}): use the names of the dataset."
        )
    _check_missing(frame, missing, index, what)
    extra = [name for name in names if name not in index]
    place = index | {name: len(known) + i for i, name in enumerate(extra)}
    target = np.array([place[name] for name in names], np.int64)
    return Columns(np.arange(width), target, width, len(place), missing, extra)


def unknown_sentence(frame: Frame, extra: Sequence[str]) -> str:
    """Return what an import says about classes that the dataset lacks."""
    return (
        f"Classes that {frame.name!r} does not have: {shown(extra)}. An image may belong to one of "
        "them: then its label is wrong, and the class is suggested."
    )


def text(name) -> str:
    """Return the name of a class as the dataset stores it: 3 and b"3" become "3"."""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def shown(names: Sequence[str]) -> str:
    """Return the first names as text, for a message."""
    return ", ".join(names[:SHOWN_CLASSES]) + (" …" if len(names) > SHOWN_CLASSES else "")


def _check_names(names: list[str], width: int, what: str) -> None:
    if len(names) != width:
        raise BadInputError(
            f"{len(names):,} classes are named and {what} has {width:,} columns: name each column."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInputError(
            f"class {twice!r} stands for two columns of {what}: name each class once."
        )


def _check_missing(frame: Frame, missing: list[str], index: dict[str, int], what: str) -> None:
    labels = frame.label[~frame.tagged(REMOVED)]
    counts = np.bincount(labels[labels != MISSING], minlength=len(index))
    used = [name for name in missing if counts[index[name]]]
    if used:
        more = f" (and {counted(len(used) - 1, 'more class')})" if len(used) > 1 else ""
        samples = int(counts[index[used[0]]])
        raise BadInputError(
            f"{what} has no column for class {used[0]!r}{more}, with which "
            f"{counted(samples, 'sample')} of {frame.name!r} {verb(samples)} labelled: "
            "predictions must include all classes that samples have."
        )
