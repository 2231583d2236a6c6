"""A table of scores by name: the built-in ones, and those that other packages register."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from .base import Score

GROUP = "labelaudit.scores"
# Names of other columns in a table of scores, or fields of a view.
RESERVED = frozenset(
    ["id", "label", "learned", "suggested", "suggested_p", "split", "confidence", "prediction"]
)


class Registry(Mapping[str, Score]):
    """Scores by name, best first; those of other packages come last.

    Entry points are loaded when the table is first read, not when it is created: a package that
    registers a score imports this one.
    """

    def __init__(self, built_in: Sequence[Score], group: str = GROUP) -> None:
        self._built_in, self._group = built_in, group

    @cached_property
    def _scores(self) -> dict[str, Score]:
        scores = {score.name: score for score in self._built_in}
        for score in _registered(self._group):
            if score.name in scores:
                _warn(f"there is already a score {score.name!r}")
            else:
                scores[score.name] = score
        return scores

    def __getitem__(self, name: str) -> Score:
        return self._scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scores)

    def __len__(self) -> int:
        return len(self._scores)


def _registered(group: str) -> Iterator[Score]:
    """Yield the valid scores of all entry points; warn about the others."""
    from importlib.metadata import entry_points

    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            score = entry.load()
        except Exception as error:  # a broken package must not break every audit
            _warn(f"{entry.value} could not be loaded: {type(error).__name__}: {error}")
            continue
        if not isinstance(score, Score) or not hasattr(score, "needs"):
            _warn(f"{entry.value} is not a score (LogitScore, FittedScore, DynamicsScore, …)")
        elif not score.name.isidentifier() or score.name in RESERVED:
            _warn(f"{entry.value}: {score.name!r} cannot be the name of a score")
        else:
            yield score


def _warn(reason: str) -> None:
    warnings.warn(f"A registered score was ignored: {reason}.", stacklevel=2)
