"""Margin and p(label) of each sample after an epoch, from the logits of all models."""

from __future__ import annotations

import numpy as np
import torch

from ..dataset.dynamics import HELD_OUT
from .label_margins import margin_and_p_label
from .plan import Plan


class EpochMeasures:
    """Margins and p(label) of a plan's samples, float32 (n,), filled batch by batch.

    `margin` and `p_label` come from a model that learned the sample (from all models for a held-out
    sample), `out_margin` and `out_p_label` from a model that did not. NaN: not measured.
    `correct`: bool (n,), whether a model that learned the sample predicts its given label.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, count = plan, len(plan.ids)
        self.margin, self.p_label, self.out_margin, self.out_p_label = np.full(
            (4, count), np.nan, np.float32
        )
        self.correct = np.zeros(count, bool)
        # held-out samples get the mean of all models: their logits are summed up to the last model
        self._sum = np.zeros((len(plan.held_out), len(plan.classes)), np.float32)

    @property
    def measures(self) -> tuple[np.ndarray, ...]:
        """The four measures in the order of the training dynamics, float32 (n,) each."""
        return self.margin, self.p_label, self.out_margin, self.out_p_label

    def add(self, fold: int, places: np.ndarray, logits: np.ndarray) -> None:
        """Add logits, float32 (m, C), that the model of this fold gives for places, int64 (m,)."""
        plan = self._plan
        held_out = plan.fold[places] == HELD_OUT
        if held_out.any():
            rows = np.searchsorted(plan.held_out, places[held_out])
            self._sum[rows] += logits[held_out] / plan.folds
            if fold == plan.folds - 1:
                self._fill(places[held_out], self._sum[rows], learned=True)
                self._fill(places[held_out], self._sum[rows], learned=False)
        own = ~held_out & (plan.fold[places] == fold) & (plan.folds > 1)
        self._fill(places[own], logits[own], learned=False)
        learned = ~held_out & ~own
        self._fill(places[learned], logits[learned], learned=True)

    def _fill(self, places: np.ndarray, logits: np.ndarray, learned: bool) -> None:
        labels = self._plan.labels[places]
        margin, p_label = margin_and_p_label(torch.from_numpy(logits), labels)
        if learned:
            self.margin[places], self.p_label[places] = margin, p_label
            self.correct[places] = logits.argmax(axis=1) == labels
        else:
            self.out_margin[places], self.out_p_label[places] = margin, p_label


def merge(parts: list[tuple[np.ndarray, ...]], count: int) -> list[np.ndarray]:
    """Merge the arrays of several processes.

    parts: of each process the places of its samples, int64 (m,), and arrays (m,) of values. Returns
    the arrays of all samples, (count,) each.
    """
    if len(parts) == 1:
        return list(parts[0][1:])
    merged = [np.zeros(count, values.dtype) for values in parts[0][1:]]
    for places, *arrays in parts:
        for target, values in zip(merged, arrays, strict=True):
            target[places] = values
    return merged


def class_medians(p_label: np.ndarray, labels: np.ndarray, classes: int) -> list[float | None]:
    """Return the median p(label) of the samples of each class, to four digits; None for an empty
    class.

    p_label: float (n,). labels: int (n,), 0 … classes - 1.
    """
    order = np.lexsort((p_label, labels))
    ends = np.cumsum(np.bincount(labels, minlength=classes))
    starts = np.concatenate([[0], ends[:-1]])
    lower, upper = (starts + ends - 1) // 2, (starts + ends) // 2
    filled = starts < ends
    middle = order[np.stack([lower, upper])[:, filled]]
    medians = np.full(classes, np.nan)
    medians[filled] = p_label[middle].mean(axis=0)
    return [None if np.isnan(value) else round(value, 4) for value in medians.tolist()]
