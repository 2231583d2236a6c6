"""Conditions that samples meet or not, and how they are combined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.errors import BadInputError
from .fields import Fields

COMPARE: dict[str, Callable[[np.ndarray, object], np.ndarray]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


class Expression:
    """A condition. Combine conditions with `&` (and), `|` (or) and `~` (not)."""

    def __and__(self, other: Expression) -> Expression:
        return Combined("and", (self, as_condition(other)))

    def __or__(self, other: Expression) -> Expression:
        return Combined("or", (self, as_condition(other)))

    def __invert__(self) -> Expression:
        return Combined("not", (self,))

    def __bool__(self) -> bool:
        raise BadInputError(
            "conditions are combined with &, | and ~, not with and, or and not, and each needs "
            'brackets: (F("width") < 64) & (F("height") < 64).'
        )

    def mask(self, fields: Fields) -> np.ndarray:
        """Return which samples meet it, bool (n,), in the order of the frame."""
        raise NotImplementedError


@dataclass(frozen=True)
class Combined(Expression):
    """Conditions that are combined. kind: "and", "or" or "not"."""

    kind: str
    parts: tuple[Expression, ...]

    def mask(self, fields: Fields) -> np.ndarray:
        masks = [part.mask(fields) for part in self.parts]
        if self.kind == "not":
            return ~masks[0]
        return masks[0] & masks[1] if self.kind == "and" else masks[0] | masks[1]

    def __str__(self) -> str:
        if self.kind == "not":
            return f"~({self.parts[0]})"
        return f"({self.parts[0]}) {'&' if self.kind == 'and' else '|'} ({self.parts[1]})"


def as_condition(value) -> Expression:
    """Return a condition unchanged. Raises BadInputError for anything else."""
    if not isinstance(value, Expression):
        raise BadInputError(f'{value!r} is no condition: write one such as F("width") < 64.')
    return value
