"""What a training is to learn from: which samples, with which labels, at which size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.errors import LabelAuditError
from ..dataset.arrays import MISSING
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.dynamics import EVERYONES, HELD_OUT
from ..dataset.view import View
from ..features.duplicates import duplicates
from ..storage.schema import HELD_OUT_SPLITS, REMOVED
from .config import SMALL, SMALL_SIZES, TrainConfig

HOLD_OUT_STREAM, FOLD_STREAM = 1, 2
SIZE_PROBE = 16  # images opened to learn their size, where the dataset does not know it


@dataclass(frozen=True)
class Plan:
    """Which samples are learned and which held out. Places count within `ids`."""

    frame: Frame
    classes: list[str]  # as they are now: more may be added while a model learns
    ids: np.ndarray  # of all labelled samples that take part, sorted
    labels: np.ndarray  # int64, their given classes
    # int8 of each place: which fold it belongs to; HELD_OUT for one held out, EVERYONES for one
    # that all models learn, as without it one would not know its class
    fold: np.ndarray
    folds: int  # 1: a single model learns all

    @cached_property
    def learned(self) -> np.ndarray:
        """Places of the samples that are learned."""
        return np.flatnonzero(self.fold != HELD_OUT)

    @cached_property
    def held_out(self) -> np.ndarray:
        """Places of the others."""
        return np.flatnonzero(self.fold == HELD_OUT)

    @cached_property
    def untaught(self) -> list[str]:
        """Classes of which no sample is learned: no model knows them."""
        return self.untaught_by(self.learned)

    def untaught_by(self, learned: np.ndarray) -> list[str]:
        """The same, where only these places are learned."""
        taught = np.isin(np.arange(len(self.classes)), self.labels[learned])
        return [name for name, known in zip(self.classes, taught, strict=True) if not known]

    def learned_by(self, fold: int) -> np.ndarray:
        """Places that this fold's model learns: all but its own fold; without folds, all."""
        if self.folds == 1:
            return self.learned
        return self.learned[self.fold[self.learned] != fold]

    def looked_at_by(self, fold: int) -> np.ndarray:
        """Places that this fold's model is asked about: its own fold, which it did not learn; the
        fold before, which it did; and those held out. With two folds that is all."""
        if self.folds == 1:
            return np.arange(len(self.ids))
        asked = np.isin(self.fold, [fold, (fold - 1) % self.folds, HELD_OUT])
        asked |= (self.fold == EVERYONES) & (fold == 0)
        return np.flatnonzero(asked)


def make_plan(target: Dataset | View, config: TrainConfig) -> Plan:
    view = target.view() if isinstance(target, Dataset) else target
    with view.steady():
        return _plan(view, isinstance(target, Dataset), config)


def _plan(view: View, whole: bool, config: TrainConfig) -> Plan:
    frame = view.frame
    labelled = (frame.label != MISSING) & ~frame.tagged(REMOVED)
    chosen = np.sort(view.positions())
    chosen = chosen[labelled[chosen]]
    codes, names = frame.split()
    others = [code for code, name in enumerate(names) if name.lower() in HELD_OUT_SPLITS]
    evaluation = np.flatnonzero(np.isin(codes, others) & labelled)
    if whole and len(np.setdiff1d(chosen, evaluation)):
        chosen = np.setdiff1d(chosen, evaluation)
    held_out = np.setdiff1d(evaluation, chosen)
    if not len(chosen):
        raise LabelAuditError(
            f"nothing to learn from: no sample of {frame.name!r} that was chosen has a label."
        )
    known = duplicates(Dataset(frame.name))
    if not len(held_out):
        groups = frame.ids[chosen] if known is None else known.group_of(frame.ids[chosen])
        drawn = _held_out(frame.label[chosen], groups, config)
        chosen, held_out = chosen[~drawn], chosen[drawn]
    if len(np.unique(frame.label[chosen])) < 2:
        raise LabelAuditError(
            f"the {len(chosen):,} samples to learn from are all of one class: "
            "training needs at least two."
        )
    positions = np.sort(np.concatenate([chosen, held_out]))
    ids, labels = frame.ids[positions], frame.label[positions].astype(np.int64)
    learned = np.searchsorted(positions, chosen)
    fold = np.full(len(ids), HELD_OUT, np.int8)
    groups = ids[learned] if known is None else known.group_of(ids[learned])
    fold[learned] = _folds(labels[learned], groups, config)
    return Plan(frame, frame.classes, ids, labels, fold, config.folds)


def _held_out(labels: np.ndarray, groups: np.ndarray, config: TrainConfig) -> np.ndarray:
    """Mask, bool (n,), of the samples to hold out: config.hold_out of the groups, each whole, but
    for classes that would be left with nothing to learn from: of these none.

    groups: int (n,), equal for samples that are duplicates of each other: a copy among those that
    are learned would tell nothing of how well the model does on what it does not know.
    """
    # a stream of its own: noise of the same seed would else have chosen the very same samples
    rng = np.random.default_rng([config.seed, HOLD_OUT_STREAM])
    heads = np.unique(groups)
    count = min(max(round(config.hold_out * len(heads)), 1), len(heads) - 1)
    drawn = np.isin(groups, rng.choice(heads, count, replace=False))
    lost = np.setdiff1d(labels[drawn], labels[~drawn])
    return drawn & ~np.isin(groups, groups[np.isin(labels, lost)])


def _folds(labels: np.ndarray, groups: np.ndarray, config: TrainConfig) -> np.ndarray:
    """Which fold each sample belongs to, int8 (n,): balanced by class, a group whole in one fold.
    A class that lies in one fold only is EVERYONES.

    groups: int (n,), equal for samples that are duplicates of each other.
    """
    if config.folds == 1:
        return np.zeros(len(labels), np.int8)
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    if len(first) < config.folds:
        raise LabelAuditError(
            f"{len(first)} samples that are no duplicates cannot be learned in {config.folds} "
            "folds: use fewer folds, or more samples."
        )
    rng = np.random.default_rng([config.seed, FOLD_STREAM])
    order = rng.permutation(len(first))
    order = order[np.argsort(labels[first[order]], kind="stable")]  # class by class, mixed within
    fold = np.empty(len(first), np.int8)
    fold[order] = np.arange(len(first)) % config.folds
    fold = fold[group]
    lowest, highest = np.full((2, labels.max() + 1), [[config.folds], [HELD_OUT]])
    np.minimum.at(lowest, labels, fold)
    np.maximum.at(highest, labels, fold)
    alone = (lowest == highest)[labels]
    fold[np.isin(group, group[alone])] = EVERYONES
    return fold


def image_size(frame: Frame, ids: np.ndarray, config: TrainConfig) -> int:
    """Pixels a side that the model gets: as asked, else as most images are, within bounds."""
    if config.image_size:
        return config.image_size
    return usual_size(frame, ids, *(SMALL_SIZES if config.model == SMALL else (32, 224)))


def usual_size(frame: Frame, ids: np.ndarray, low: int, high: int) -> int:
    """Pixels of the longer side of most images, within bounds."""
    positions = frame.positions(ids)
    width = frame.number("samples", "width", MISSING)[positions]
    height = frame.number("samples", "height", MISSING)[positions]
    sides = np.maximum(width, height)[width != MISSING]
    if not len(sides):
        sides = _some_sides(frame, ids)
    return int(np.clip(np.median(sides), low, high))


def _some_sides(frame: Frame, ids: np.ndarray) -> list[int]:
    """The larger side, in pixels, of the first images that can be read."""
    start, count = 0, SIZE_PROBE
    while start < len(ids):
        sides = []
        for sample in View(frame).select(ids[start : start + count]):
            try:
                sides.append(max(sample.image.size))
            except LabelAuditError as error:
                unread = error
        if sides:
            return sides
        start, count = start + count, 2 * count
    raise LabelAuditError(f"none of the {len(ids):,} images can be read: {unread}")
