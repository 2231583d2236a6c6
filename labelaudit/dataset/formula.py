"""Calculations with number fields: `F("width") * F("height") < 5000`."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Rational, Real
from typing import TypeAlias

import numpy as np

from ..core.errors import BadInputError
from .condition import COMPARE, Expression
from .fields import Fields

_OPERATORS: dict[str, Callable[..., np.ndarray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "abs": np.abs,
}
_NAMES = ("filepath", "tags", "image_issues")  # fields that have no codes


class Operand(ABC):
    """What can be compared and calculated with: a field, or a calculation with fields."""

    __hash__ = None

    @abstractmethod
    def _part(self) -> Part:
        """Return it as a part of a calculation."""

    @abstractmethod
    def _compared(self, kind: str, value: object) -> Expression:
        """Return the condition of an operator, such as "<"."""

    @abstractmethod
    def is_null(self) -> Expression:
        """Return the condition that it has no value."""

    def exists(self) -> Expression:
        """Return the condition that it has a value."""
        return ~self.is_null()

    def between(self, low: object, high: object) -> Expression:
        """Return the condition that it is from `low` to `high`, both included."""
        return (self >= low) & (self <= high)

    def abs(self) -> Formula:
        """Return its absolute value."""
        return Formula("abs", (self._part(),))

    def __eq__(self, value) -> Expression:  # type: ignore[override]
        return self.is_null() if value is None else self._compared("==", value)

    def __ne__(self, value) -> Expression:  # type: ignore[override]
        return ~self.is_null() if value is None else self._compared("!=", value)

    def __lt__(self, value) -> Expression:
        return self._compared("<", value)

    def __le__(self, value) -> Expression:
        return self._compared("<=", value)

    def __gt__(self, value) -> Expression:
        return self._compared(">", value)

    def __ge__(self, value) -> Expression:
        return self._compared(">=", value)

    def __add__(self, value) -> Formula:
        return Formula("+", (self._part(), as_part(value)))

    def __radd__(self, value) -> Formula:
        return Formula("+", (as_part(value), self._part()))

    def __sub__(self, value) -> Formula:
        return Formula("-", (self._part(), as_part(value)))

    def __rsub__(self, value) -> Formula:
        return Formula("-", (as_part(value), self._part()))

    def __mul__(self, value) -> Formula:
        return Formula("*", (self._part(), as_part(value)))

    def __rmul__(self, value) -> Formula:
        return Formula("*", (as_part(value), self._part()))

    def __truediv__(self, value) -> Formula:
        return Formula("/", (self._part(), as_part(value)))

    def __rtruediv__(self, value) -> Formula:
        return Formula("/", (as_part(value), self._part()))

    def __neg__(self) -> Formula:
        return Formula("-", (0.0, self._part()))

    def __abs__(self) -> Formula:
        return self.abs()


@dataclass(frozen=True)
class Named:
    """A field in a calculation."""

    name: str

    def __str__(self) -> str:
        return f"F({self.name!r})"

    def numbers(self, fields: Fields) -> np.ndarray:
        """Return its values, float64 (n,); NaN for null."""
        if self.name == "id":
            return fields.frame.ids.astype(np.float64)
        values, names = ((), ()) if self.name in _NAMES else fields.coded(self.name)
        if names is not None:
            raise BadInputError(f"{self.name} holds names: only numbers can be calculated with.")
        return values.astype(np.float64)


@dataclass(frozen=True)
class Calculation:
    """A calculation with number fields, as views store it. parts: what the operator works on."""

    operator: str
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        if self.operator == "abs":
            return f"abs({self.parts[0]})"
        return "(" + f" {self.operator} ".join(map(str, self.parts)) + ")"

    def numbers(self, fields: Fields) -> np.ndarray:
        """Return its values, float64 (n,); NaN for null, and where it divides by zero."""
        with np.errstate(all="ignore"):
            values = _OPERATORS[self.operator](*(numbers(part, fields) for part in self.parts))
        return np.where(np.isfinite(values), values, np.nan)


Part: TypeAlias = Named | Calculation | float


class Formula(Operand):
    """A calculation with number fields, such as `F("width") * F("height")`: to be compared, or
    given to `View.sort_by`, `values`, `bounds`, `mean` and `sum` instead of a field.

    Dates count in seconds since 1970. The result is null where a field is, and for a division by
    zero.
    """

    __hash__ = None

    def __init__(self, operator: str, parts: tuple[Part, ...]) -> None:
        self.calculation = Calculation(operator, parts)

    def __repr__(self) -> str:
        return str(self.calculation)

    def _part(self) -> Part:
        return self.calculation

    def _compared(self, kind: str, value: object) -> Expression:
        return Calculated(kind, self.calculation, as_part(value))

    def is_null(self) -> Expression:
        """Return the condition that it has no value."""
        return Calculated("null", self.calculation)


@dataclass(frozen=True)
class Calculated(Expression):
    """A calculation compared with another, a field or a number. kind: an operator, or "null"."""

    kind: str
    left: Part
    right: Part = 0.0

    def mask(self, fields: Fields) -> np.ndarray:
        left, right = numbers(self.left, fields), numbers(self.right, fields)
        if self.kind == "null":
            return np.isnan(left)
        with np.errstate(invalid="ignore"):
            met = COMPARE[self.kind](left, right)
        return met & ~(np.isnan(left) | np.isnan(right))  # NaN differs from all

    def __str__(self) -> str:
        if self.kind == "null":
            return f"{self.left}.is_null()"
        return f"{self.left} {self.kind} {self.right}"


def numbers(part: Part, fields: Fields) -> np.ndarray | float:
    """Return the values of a part, float64 (n,), or its constant."""
    return part if isinstance(part, float) else part.numbers(fields)


def within_float(value: object) -> object:
    """Return the value. Raises BadInputError for a whole number or fraction beyond float64."""
    if isinstance(value, Rational) and abs(value) > sys.float_info.max:
        raise BadInputError("numbers beyond 1.8e308 are not supported: give a smaller one.")
    return value


def as_part(value: object) -> Part:
    """Return a number, a field or a calculation as a part. Raises BadInputError for another one."""
    if isinstance(value, Operand):
        return value._part()
    value = within_float(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(float(value)):
        raise BadInputError(
            f"{value!r} cannot be calculated with: give a number, or a field such as F('width')."
        )
    return float(value)
