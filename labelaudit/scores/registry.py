"""A table of scores by name: the built-in ones, and those that other packages register."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from ..core.plugins import Group, Plugin
from .base import (
    MEASURES,
    BlockModel,
    DynamicsScore,
    FittedScore,
    LogitScore,
    NeighbourScore,
    Score,
)

KINDS = (LogitScore, FittedScore, DynamicsScore, NeighbourScore)
METHODS = ("start_at", "observe", "merge", "fit")
# Names of other columns in a table of scores, or fields of a view.
RESERVED = frozenset(
    (
        *("id", "label", "learned", "suggested", "suggested_p", "split", "confidence"),
        *("prediction", "predicted", "filepath", "ground_truth", "original_label", "tags"),
        *("finding", "verdict", "width", "height"),
    )
)


class Registry(Mapping[str, Score]):
    """Scores by name, best first; those of other packages come last.

    Entry points are loaded when the table is first read, not when it is created: a package that
    registers a score imports this one.
    """

    def __init__(self, built_in: Sequence[Score]) -> None:
        self._built_in = {score.name: score for score in built_in}
        self.group = Group("labelaudit.scores", KINDS, self._adapt)

    @cached_property
    def _scores(self) -> dict[str, Score]:
        return self._built_in | self.group.values()

    def __getitem__(self, name: str) -> Score:
        return self._scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scores)

    def __len__(self) -> int:
        return len(self._scores)

    def _adapt(self, plugin: Plugin, score: Score) -> Score:
        """Return a registered score with its function guarded. Raises ValueError if it is none."""
        if score.name != plugin.name:
            raise ValueError(f"its score is named {score.name!r}: name the entry point the same")
        if score.name in self._built_in:
            raise ValueError("LabelAudit has a score of this name")
        if not score.name.isidentifier() or score.name in RESERVED:
            raise ValueError(f"{score.name!r} cannot be the name of a score")
        if isinstance(score, DynamicsScore) and score.measure not in MEASURES:
            raise ValueError(f"its measure {score.measure!r} is none of {', '.join(MEASURES)}")
        check: Callable = _per_column if isinstance(score, DynamicsScore) else _per_label
        if isinstance(score, FittedScore):
            check = _Fitted(plugin)
        return replace(score, function=plugin.guard(score.function, check))


class _Fitted:
    """Checks a model of a registered score and guards its methods."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin

    def __call__(self, model: BlockModel, *_) -> BlockModel:
        if not isinstance(model, BlockModel):
            raise ValueError(f"its function returned {type(model).__name__}, not a BlockModel")
        for name in METHODS:
            setattr(model, name, self.plugin.guard(getattr(model, name)))
        check = None if model.suggests else _per_label
        model.score = self.plugin.guard(model.score, check)  # type: ignore[method-assign]
        return model


def _per_label(values: np.ndarray, labels: np.ndarray, *_) -> np.ndarray:
    return _check_values(values, len(labels))


def _per_column(values: np.ndarray, measured: np.ndarray) -> np.ndarray:
    return _check_values(values, measured.shape[1])


def _check_values(values: np.ndarray, count: int) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.shape != (count,):
        raise ValueError(f"it returned an array of shape {values.shape} for {count} samples")
    if np.isinf(values).any():
        raise ValueError("it returned infinite values: return NaN for a sample without a score")
    return values
