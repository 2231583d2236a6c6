"""Turns labels of any type into class names: one per image, or none."""

from __future__ import annotations

import math
import numbers
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ..core.errors import BadInputError
from ..core.plural import counted
from ..dataset.columns import ONE_LABEL

SEPARATORS = (";", "|", ",")
WEAK_SEPARATORS = ("/", "+", "&")  # usual in names, so all parts must be classes
SHOWN = 60  # characters of a value in a message


class LabelNames:
    """The class names of the labels in a column, which are read one by one.

    A missing label is None, NaN, blank, an empty list, or a negative number. `notes` and `check`
    tell what was found after the last one.
    """

    def __init__(self, where: str, classes: Sequence[str] | None = None) -> None:
        """where: what holds the labels, for errors. classes: what numbers index, if they do."""
        self.where, self.classes = where, classes
        self._index = None if classes is None else set(classes)
        self._negative: dict[int, int] = {}  # how often each one occurs
        self._numbers: set[int] = set()  # the first few others

    def name(self, value, place: str) -> str | None:
        """Return the class name of a label, or None. place: where it is, for errors.

        Raises BadInputError for several labels, and for a value that is not a class.
        """
        value = _single(value, f"{self.where}, {place}")
        if value is None:
            return None
        if isinstance(value, bool):
            value = int(value) if self.classes is not None else str(value)
        if isinstance(value, str):
            return self._known(str.__str__(value), place) if value.strip() else None
        if isinstance(value, bytes):
            return self._known(_decoded(value, f"{self.where}, {place}"), place)
        if isinstance(value, numbers.Real):
            return self._number(value, place)
        raise BadInputError(
            f"{self.where}, {place}: the label has the type {type(value).__name__}: give a class "
            "name, or a whole number."
        )

    def check(self) -> None:
        """Raise BadInputError if a negative number may also be a class, as in -1 and 1."""
        if self.classes is not None or not self._negative:
            return
        negative = ", ".join(map(str, sorted(self._negative)))
        if len(self._negative) > 1 or self._numbers == {1}:
            others = " and 1" if self._numbers == {1} else ""
            raise BadInputError(
                f"{self.where}: there are labels {negative}{others}, but a negative number means "
                "no label: name the classes in words, and leave missing labels out."
            )

    @property
    def notes(self) -> list[str]:
        """Sentences about labels that were read as missing."""
        return [
            f"Labels that are {number} were read as no label: {counted(count, 'image')}."
            for number, count in self._negative.items()
        ]

    def _number(self, value: numbers.Real, place: str) -> str | None:
        if math.isnan(value):
            return None
        if math.isinf(value) or value != int(value):
            raise BadInputError(
                f"{self.where}, {place}: label {value} is not a class index: give whole numbers, "
                "or names."
            )
        number = int(value)
        if number < 0:
            self._negative[number] = self._negative.get(number, 0) + 1
            return None
        if self.classes is None:
            if len(self._numbers) < 2:
                self._numbers.add(number)
            return str(number)
        if number >= len(self.classes):
            raise BadInputError(
                f"{self.where}, {place}: label {number} is not a class index: there are only "
                f"{len(self.classes)} classes."
            )
        return self.classes[number]

    def _known(self, name: str, place: str) -> str:
        if self._index is not None and name not in self._index:
            raise BadInputError(
                f"{self.where}, {place}: label {shown(name)} is not among the given classes "
                f"({', '.join(self.classes[:12])}{' …' if len(self.classes) > 12 else ''})."
            )
        return name


def read_numbers(names: Iterable[str | None], where: str) -> dict[str, str | None]:
    """Return the labels of a column of text that are read as another name, or as none.

    Only if all labels are whole numbers: 1.0, as pandas writes 1 beside missing labels, is read as
    1, and a negative number as no label. Raises BadInputError as `LabelNames.check`.
    """
    found = sorted(name for name in names if name is not None)
    if not all(re.fullmatch(r"-?\d{1,15}(\.0+)?", name) for name in found):
        return {}
    reader = LabelNames(where)
    read = {}
    for name in found:
        whole, _, fraction = name.partition(".")
        number = reader.name(int(whole), "its values")
        if fraction or number is None:
            read[name] = number and whole  # not int(): 007 is a name
    reader.check()
    return read


def number_notes(read: dict[str, str | None]) -> list[str]:
    """Return sentences about the result of `read_numbers`."""
    notes = [
        f"Labels that are {name} were read as no label." for name in read if read[name] is None
    ]
    example = next(((name, number) for name, number in read.items() if number is not None), None)
    return (
        notes
        if example is None
        else [*notes, "Labels such as {} were read as {}.".format(*example)]
    )


def check_one_label(names: Iterable[str | None], where: str) -> None:
    """Raise BadInputError if class names are lists of labels, such as "cat;dog" beside "cat" and
    "dog" or beside "dog;emu", or "['cat', 'dog']"."""
    known = {name for name in names if name}
    if known and all(re.fullmatch(r"\[.*\]", name) for name in known):
        raise BadInputError(
            f"{where} has lists as labels, such as {shown(min(known))}: {ONE_LABEL}. Write the "
            "name of the class alone."
        )
    parts = {name: split for name in known if len(split := _split(name)) > 1}
    often = Counter(part for split in parts.values() for part in split)
    for name in sorted(known):
        listed = re.fullmatch(r"""[\[(].*['"].*,.*['"].*[\])]""", name)
        split = parts.get(name, ())
        several = bool(split) and all(part in known for part in split)
        if ";" in name or "|" in name:  # rare in a name, unlike a comma
            several |= any(often[part] > 1 for part in split)
        several |= _joins_others(name, known)
        if listed or several:
            raise BadInputError(
                f"{where} has the label {shown(name)}, which is several labels: {ONE_LABEL}. Keep "
                "one of them, or rename the class."
            )


def _joins_others(name: str, known: set[str]) -> bool:
    """Whether a name is made of other classes with a mark that is usual in names, too: "cat/dog"
    beside "cat" and "dog". A blank only counts if there are several such names."""

    def is_joined(text: str, mark: str) -> bool:
        parts = {part.strip() for part in text.split(mark)}
        return len(parts) > 1 and parts <= known

    if any(is_joined(name, mark) for mark in WEAK_SEPARATORS):
        return True
    return is_joined(name, " ") and sum(is_joined(each, " ") for each in known) > 1


def check_mostly_one(where: str, several: int, single: int) -> None:
    """Raise BadInputError if more images have several labels than one: to leave out most images
    would give another dataset."""
    if several > single:
        raise BadInputError(
            f"{where} has {counted(several, 'image')} with several labels and {single:,} with one: "
            f"{ONE_LABEL}. Choose one for each image."
        )


def _split(name: str) -> set[str]:
    """Return the different parts of a name between separators."""
    mark = next((mark for mark in SEPARATORS if mark in name), None)
    return {part.strip() for part in name.split(mark)} if mark else set()


def is_missing(value) -> bool:
    """Whether a single value is None, NaN or another null of pandas."""
    return value is None or (np.ndim(value) == 0 and pd.api.types.is_scalar(value)
                             and bool(pd.isna(value)))  # fmt: skip


def one_hot_indices(values: np.ndarray, where: str) -> np.ndarray:
    """Return the class index of each row of one-hot labels (n, C), int (n,).

    Raises BadInputError for other values, and unless each row has exactly one 1.
    """
    given = f"{where} have shape {values.shape}"
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise BadInputError(f"{given}: {ONE_LABEL}; give one class name or number for each image.")
    if not np.isin(values, (0, 1)).all():
        raise BadInputError(
            f"{given}, and are neither class numbers nor one-hot (0 and 1): {ONE_LABEL}; for "
            "probabilities, give values.argmax(axis=1)."
        )
    counts = values.astype(np.int64).sum(axis=1)
    if (counts != 1).any():
        row = int(np.flatnonzero(counts != 1)[0])
        raise BadInputError(
            f"{given} and {counts[row]} classes for image {row}: {ONE_LABEL}; without a label, "
            "give numbers with -1, or names with None."
        )
    return values.argmax(axis=1)


def _single(value, where: str):
    """Return a value in Python's own types; the only element of a list, None for none.

    Raises BadInputError for several.
    """
    while not isinstance(value, (str, bytes)):
        if isinstance(value, Mapping):
            raise BadInputError(f"{where}: the label is a mapping: give a class name.")
        if isinstance(value, (list, tuple, set, frozenset)) or np.ndim(value):
            several = list(value)
            if len(several) > 1:
                raise BadInputError(
                    f"{where}: there are {len(several)} labels ({shown(value)}): {ONE_LABEL}."
                )
            value = several[0] if several else None
        elif hasattr(value, "item") and hasattr(value, "dtype"):
            value = value.item()
        else:
            break
    return None if is_missing(value) else value


def _decoded(value: bytes, where: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"{where}: the label {shown(value)} is not UTF-8: give text."
        ) from error


def shown(value) -> str:
    """Return a value as short text, for a message."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
