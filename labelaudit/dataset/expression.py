"""Conditions on fields of samples, for `View.match`: `F("width") < 64`.

    view.match(F("width") < 64)
    view.match((F("human_a") != F("ground_truth")) & ~F("tags").contains("checked"))

A comparison with null is never met, so `F("age") != 3` leaves out samples without an age, and
`~(F("age") == 3)` does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import or_
from typing import Any, Never

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import BadInputError
from . import own_fields
from .arrays import MISSING
from .condition import COMPARE, Expression
from .fields import LABEL_FIELDS, Fields
from .formula import Calculated, Named, Operand, as_part, within_float
from .hints import missing
from .image_issues import image_issues
from .own_fields import BOOL, DATE

_SEARCH = {
    "contains": pc.match_substring,
    "starts_with": pc.starts_with,
    "ends_with": pc.ends_with,
}
_CLOSED = ("split", "finding")  # another name is a mistake
_CLASSES = {*LABEL_FIELDS, "prediction", "predicted", "suggested"}


@dataclass(frozen=True)
class Comparison(Expression):
    """A field compared with a value, a tuple of values, or another field.

    kind: an operator such as "<", "isin", "null", "contains", "starts_with" or "ends_with".
    other: whether `value` is the name of another field.
    """

    kind: str
    field: str
    value: Any = None  # text, number, bool, or a tuple of them
    other: bool = False

    def mask(self, fields: Fields) -> np.ndarray:
        if self.field in ("tags", "image_issues"):
            return _mask_of_names(fields, self)
        if self.field == "filepath":
            return _mask_of_paths(fields, self)
        if self.field == "id":
            return _numbers(self, fields.frame.ids, self._number_to_compare(fields))
        codes, names = fields.coded(self.field)
        if self.kind == "null":
            return codes == MISSING if names is not None else np.isnan(codes)
        if names is None:
            return _numbers(self, codes, self._number_to_compare(fields))
        return _names(self, fields, codes, names)

    def _number_to_compare(self, fields: Fields):
        """Return what a number is compared with: one, several as a tuple, or an array (n,)."""
        own = own_fields.own_fields(fields.frame).get(self.field)
        is_date = own is not None and own.kind == DATE
        if self.other:
            values = fields.frame.ids if self.value == "id" else fields.coded(str(self.value))
            if isinstance(values, tuple):
                values = values[0] if values[1] is None else None
            if values is None:
                raise BadInputError(
                    f"{self.field} holds numbers and {self.value} names: they cannot be compared."
                )
            return values
        several = isinstance(self.value, tuple)
        values = self.value if several else (self.value,)
        found = tuple(self._number(value, is_date) for value in values)
        return found if several else found[0]

    def _number(self, value, is_date: bool) -> float:
        if is_date:
            seconds = own_fields.to_seconds(value)
            if seconds is None:
                raise self.refused(value, "a date, or ISO text such as 2026-01-31")
            return seconds
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refused(value, "a number")
        return value

    def refused(self, value, wanted: str) -> BadInputError:
        return BadInputError(
            f"{self.field} cannot be compared with {value!r} ({self.kind}): give {wanted}."
        )

    def __str__(self) -> str:
        value = f"F({self.value!r})" if self.other else repr(self.value)
        if self.kind in COMPARE:
            return f"F({self.field!r}) {self.kind} {value}"
        if self.kind == "null":
            return f"F({self.field!r}).is_null()"
        return f"F({self.field!r}).{self.kind}({value})"


class F(Operand):
    """A field of samples, to be compared: `F("age") >= 18`, `F("human_a") == "cat"`.

    Numbers can be calculated with: `F("width") / F("height") > 2`, `(F("a") - F("b")).abs()`.
    Fields are those of `View.values`: own fields, width, height, ground_truth, prediction,
    confidence, finding, suggested_p, scores …
    """

    __hash__ = None

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise BadInputError(f"F({name!r}): give the name of a field.")
        self.name = name

    def __repr__(self) -> str:
        return f"F({self.name!r})"

    def __getattr__(self, name: str) -> Never:
        raise missing(self, name)

    def _part(self) -> Named:
        """Return it as a part of a calculation."""
        return Named(self.name)

    def _compared(self, kind: str, value: object) -> Expression:
        """Return the condition of an operator, such as "<"."""
        if isinstance(value, F):
            return Comparison(kind, self.name, value.name, other=True)
        if isinstance(value, Operand):
            return Calculated(kind, self._part(), as_part(value))
        return Comparison(kind, self.name, _plain(value))

    def isin(self, values: Iterable) -> Expression:
        """Return the condition that it is one of these values. Raises BadInputError for text, or a
        value that is no text, number, True, False or date."""
        if isinstance(values, str):
            raise BadInputError(f"isin({values!r}): give several values, such as [{values!r}].")
        return Comparison("isin", self.name, tuple(map(_plain, values)))

    def is_null(self) -> Expression:
        """Return the condition that it has no value."""
        return Comparison("null", self.name)

    def contains(self, text: str | Iterable[str]) -> Expression:
        """Return the condition that a text contains this one, or one of several; for tags and image
        issues, that they have this name. Raises BadInputError for anything else than text."""
        texts = [text] if isinstance(text, str) or not isinstance(text, Iterable) else [*text]
        if not texts:
            raise BadInputError("contains([]): give text.")
        found = [self._searched("contains", each) for each in texts]
        return reduce(or_, found)

    def starts_with(self, text: str) -> Expression:
        """Return the condition that a text starts with this one."""
        return self._searched("starts_with", text)

    def ends_with(self, text: str) -> Expression:
        """Return the condition that a text ends with this one."""
        return self._searched("ends_with", text)

    def _searched(self, kind: str, text: str) -> Expression:
        if not isinstance(text, str):
            raise BadInputError(f"{kind}({text!r}): give text.")
        return Comparison(kind, self.name, text)


def _plain(value):
    """Return a value in a form that can be hashed and stored."""
    if isinstance(value, np.datetime64 | date):
        return str(value) if isinstance(value, np.datetime64) else value.isoformat()
    value = within_float(value.item() if isinstance(value, np.generic) else value)
    if not isinstance(value, str | int | float | bool):
        raise BadInputError(
            f"a field cannot be compared with {value!r}: give text, a number, True, False or a "
            "date; for several values use isin."
        )
    return value


def _numbers(compared: Comparison, values: np.ndarray, value) -> np.ndarray:
    if compared.kind == "null":
        return np.zeros(len(values), bool)
    if compared.kind == "isin":
        return np.isin(values, value)
    if compared.kind in _SEARCH:
        raise BadInputError(f"{compared.field} holds numbers, which {compared.kind} cannot search.")
    with np.errstate(invalid="ignore"):
        found = COMPARE[compared.kind](values, value)
    if compared.kind == "!=":  # NaN differs from all
        found &= ~(np.isnan(values) | np.isnan(value))
    return found


def _names(compared: Comparison, fields: Fields, codes: np.ndarray, names: list[str]) -> np.ndarray:
    """Compare names, in alphabetical order for < and >. They are compared once, not per sample."""
    kind, known = compared.kind, codes != MISSING
    if compared.other:
        others, other_names = fields.coded(str(compared.value))
        if other_names is None:
            raise BadInputError(
                f"{compared.field} holds names and {compared.value} numbers: they cannot be "
                "compared."
            )
        place = {name: i for i, name in enumerate(sorted({*names, *other_names}))}
        left = np.array([*(place[name] for name in names), MISSING])[codes]
        right = np.array([*(place[name] for name in other_names), MISSING])[others]
        return known & (others != MISSING) & COMPARE[kind](left, right)
    own = own_fields.own_fields(fields.frame).get(compared.field)
    values = compared.value if kind == "isin" else (compared.value,)
    if own is not None and own.kind == BOOL:
        if not all(isinstance(value, bool) for value in values):
            raise compared.refused(compared.value, "True or False")
        values = tuple(map(str, values))
    for value in values:
        if not isinstance(value, str):
            raise compared.refused(value, "text")
    is_class = compared.field in _CLASSES or (own is not None and own.kind == own_fields.LABEL)
    if is_class and kind in ("==", "!=", "isin"):
        fields.class_codes(values)  # raises BadInputError for a class that does not exist
    if compared.field in _CLOSED and kind in ("==", "!=", "isin"):
        for value in set(values) - set(names):
            raise BadInputError(
                f"dataset {fields.frame.name!r} has no {compared.field} {value!r}: there is "
                f"{', '.join(names) or 'none'}."
            )
    listed = np.array(names, object)
    if kind in _SEARCH:
        met = _search(kind, pa.array(names, pa.string()), values[0])
    elif kind == "isin":
        met = np.isin(listed, np.array(values, object)) if names else np.zeros(0, bool)
    else:
        met = np.array([bool(COMPARE[kind](name, values[0])) for name in names], bool)
    return known & np.append(met, False)[codes]


def _search(kind: str, texts: pa.Array, text: str) -> np.ndarray:
    return _SEARCH[kind](texts, text).fill_null(False).to_numpy(zero_copy_only=False)


def _mask_of_names(fields: Fields, compared: Comparison) -> np.ndarray:
    frame = fields.frame
    masks = frame.tags if compared.field == "tags" else image_issues(frame)
    none = np.zeros(len(frame.ids), bool)
    if compared.kind == "contains":
        return masks.get(compared.value, none)
    if compared.kind == "null":
        return ~np.logical_or.reduce([none, *masks.values()])
    raise BadInputError(
        f"{compared.field} are several names: use F({compared.field!r}).contains(name)."
    )


def _mask_of_paths(fields: Fields, compared: Comparison) -> np.ndarray:
    frame = fields.frame
    positions = np.arange(len(frame.ids))
    paths = frame.take("samples", positions, ["filepath"])["filepath"].combine_chunks()
    if compared.kind in _SEARCH:
        return _search(compared.kind, paths, str(compared.value))
    if compared.kind == "null":
        return np.zeros(len(paths), bool)
    if compared.kind == "isin":
        return pc.is_in(paths, pa.array(compared.value)).to_numpy(zero_copy_only=False)
    if compared.kind in ("==", "!=") and not compared.other:
        same = pc.equal(paths, str(compared.value)).to_numpy(zero_copy_only=False)
        return same if compared.kind == "==" else ~same
    raise BadInputError("filepath is compared with ==, !=, isin, contains, starts_with, ends_with.")
