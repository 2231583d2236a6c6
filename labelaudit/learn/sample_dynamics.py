"""What the models of a training say of each sample after an epoch."""

from __future__ import annotations

import numpy as np

from ..dataset.dynamics import HELD_OUT
from ..scores.probability import margin_and_p_label
from .plan import Plan


class Watched:
    """Margins and p(label) of a plan's samples, float32 (n,), filled as logits come.

    `margin` and `p_label` are those of a model that learned the sample (of all models for one
    held out), `out_margin` and `out_p_label` those of one that did not; NaN where there is none.
    `right`: bool (n,), whether the given label is predicted by a model that learned the sample.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, count = plan, len(plan.ids)
        self.margin, self.p_label, self.out_margin, self.out_p_label = np.full(
            (4, count), np.nan, np.float32
        )
        self.right = np.zeros(count, bool)
        # what several models look at is averaged: logits are kept until the last of them has
        self._sum = np.zeros((len(plan.held_out), len(plan.classes)), np.float32)

    @property
    def measures(self) -> tuple[np.ndarray, ...]:
        """As the training dynamics have them, float32 (n,) each."""
        return self.margin, self.p_label, self.out_margin, self.out_p_label

    def add(self, fold: int, at: np.ndarray, logits: np.ndarray) -> None:
        """Logits float32 (m, C) that the model of this fold gives of these places, int64 (m,)."""
        plan = self._plan
        held = plan.fold[at] == HELD_OUT
        if held.any():
            rows = np.searchsorted(plan.held_out, at[held])
            self._sum[rows] += logits[held] / plan.folds
            if fold == plan.folds - 1:
                self._fill(at[held], self._sum[rows], inside=True)
                self._fill(at[held], self._sum[rows], inside=False)
        own = ~held & (plan.fold[at] == fold) & (plan.folds > 1)
        self._fill(at[own], logits[own], inside=False)
        learned = ~held & ~own
        self._fill(at[learned], logits[learned], inside=True)

    def _fill(self, at: np.ndarray, logits: np.ndarray, inside: bool) -> None:
        labels = self._plan.labels[at]
        margin, p_label = margin_and_p_label(logits, labels)
        if inside:
            self.margin[at], self.p_label[at] = margin, p_label
            self.right[at] = logits.argmax(axis=1) == labels
        else:
            self.out_margin[at], self.out_p_label[at] = margin, p_label


def joined(parts: list[tuple[np.ndarray, ...]], count: int) -> list[np.ndarray]:
    """Arrays of all samples, (count,), of parts that each have the places and values of some."""
    if len(parts) == 1:
        return list(parts[0][1:])
    whole = [np.zeros(count, values.dtype) for values in parts[0][1:]]
    for at, *arrays in parts:
        for values, some in zip(whole, arrays, strict=True):
            values[at] = some
    return whole


def class_medians(p_label: np.ndarray, labels: np.ndarray, classes: int) -> list[float | None]:
    """Median p(label) of the samples given each class, to four digits; None for an empty class.

    p_label: float (n,). labels: int (n,), 0 … classes - 1.
    """
    order = np.lexsort((p_label, labels))
    ends = np.cumsum(np.bincount(labels, minlength=classes))
    starts = np.concatenate([[0], ends[:-1]])
    lower, upper = (starts + ends - 1) // 2, (starts + ends) // 2
    there = starts < ends
    inside = order[np.stack([lower, upper])[:, there]]
    medians = np.full(classes, np.nan)
    medians[there] = p_label[inside].mean(axis=0)
    return [None if np.isnan(value) else round(value, 4) for value in medians.tolist()]
