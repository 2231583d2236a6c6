"""What a training learns from: samples, labels and image size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.errors import BadInputError
from ..dataset.arrays import MISSING
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.dynamics import EVERYONES, HELD_OUT
from ..dataset.view import View
from ..features.duplicates import duplicates
from ..features.image_size import usual_size
from ..storage.schema import HELD_OUT_SPLITS, REMOVED
from .config import SMALL, SMALL_SIZES, TrainConfig

HOLD_OUT_STREAM, FOLD_STREAM = 1, 2  # random number streams of a seed


@dataclass(frozen=True)
class Plan:
    """Which samples are learned and which are held out. Places are indices into `ids`."""

    frame: Frame
    classes: list[str]  # at the start: more may be added during training
    ids: np.ndarray  # of all labelled samples that take part, sorted
    labels: np.ndarray  # int64, their given classes
    # fold of each place, int8: HELD_OUT if it is held out; EVERYONES if all models learn it, since
    # one of them would not know its class without it
    fold: np.ndarray
    folds: int  # 1: a single model learns all samples

    @cached_property
    def learned(self) -> np.ndarray:
        """Places of the samples to train on."""
        return np.flatnonzero(self.fold != HELD_OUT)

    @cached_property
    def held_out(self) -> np.ndarray:
        """Places of the samples that are held out."""
        return np.flatnonzero(self.fold == HELD_OUT)

    def classes_missing_in(self, places: np.ndarray) -> list[str]:
        """Classes that none of the samples at these places has."""
        present = np.isin(np.arange(len(self.classes)), self.labels[places])
        return [name for name, known in zip(self.classes, present, strict=True) if not known]

    def learned_by(self, fold: int) -> np.ndarray:
        """Places that the model of a fold learns: all but its own fold; without folds, all."""
        if self.folds == 1:
            return self.learned
        return self.learned[self.fold[self.learned] != fold]

    def evaluated_by(self, fold: int) -> np.ndarray:
        """Places that the model of a fold is evaluated on: its own fold, which it did not learn;
        the fold before, which it learned; and the held-out samples. With two folds, all places."""
        if self.folds == 1:
            return np.arange(len(self.ids))
        chosen = np.isin(self.fold, [fold, (fold - 1) % self.folds, HELD_OUT])
        chosen |= (self.fold == EVERYONES) & (fold == 0)
        return np.flatnonzero(chosen)


def make_plan(target: Dataset | View, config: TrainConfig) -> Plan:
    """Choose the samples to learn and to hold out; see `train`.

    Raises LabelAuditError if no chosen sample has a label, if all have the same, or if there are
    fewer samples than folds.
    """
    view = target.view() if isinstance(target, Dataset) else target
    with view.steady():
        return _plan(view, isinstance(target, Dataset), config)


def _plan(view: View, is_dataset: bool, config: TrainConfig) -> Plan:
    """is_dataset: the target is the whole dataset; only its training splits are learned."""
    frame = view.frame
    labelled = (frame.label != MISSING) & ~frame.tagged(REMOVED)
    chosen = np.sort(view.positions())
    chosen = chosen[labelled[chosen]]
    codes, names = frame.split()
    test_codes = [code for code, name in enumerate(names) if name.lower() in HELD_OUT_SPLITS]
    test = np.flatnonzero(np.isin(codes, test_codes) & labelled)
    if is_dataset and len(np.setdiff1d(chosen, test)):
        chosen = np.setdiff1d(chosen, test)
    held_out = np.setdiff1d(test, chosen)
    if not len(chosen):
        raise BadInputError(
            f"nothing to learn from: no chosen sample of {frame.name!r} has a label."
        )
    known = duplicates(Dataset(frame.name))
    if not len(held_out):
        groups = frame.ids[chosen] if known is None else known.group_of(frame.ids[chosen])
        drawn = _held_out(frame.label[chosen], groups, config)
        chosen, held_out = chosen[~drawn], chosen[drawn]
    if len(np.unique(frame.label[chosen])) < 2:
        raise BadInputError(
            f"the {len(chosen):,} samples to learn from are all of one class: "
            "training needs at least two."
        )
    positions = np.sort(np.concatenate([chosen, held_out]))
    ids, labels = frame.ids[positions], frame.label[positions].astype(np.int64)
    learned = np.searchsorted(positions, chosen)
    fold = np.full(len(ids), HELD_OUT, np.int8)
    groups = ids[learned]
    if known is not None:
        groups = known.held_out_together(groups, labels[learned])
    fold[learned] = _folds(labels[learned], groups, config)
    return Plan(frame, frame.classes, ids, labels, fold, config.folds)


def _held_out(labels: np.ndarray, groups: np.ndarray, config: TrainConfig) -> np.ndarray:
    """Return the mask, bool (n,), of the samples to hold out: config.hold_out of the groups. No
    sample is held out of a class that would have nothing left to learn from.

    groups: int (n,), equal for samples that are duplicates of each other. Groups stay whole: a copy
    of a learned sample would not show how well the model does on samples that it does not know.
    """
    # a separate stream: noise with the same seed would otherwise have chosen the same samples
    # a stream of its own: noise of the same seed would else have chosen the very same samples
    rng = np.random.default_rng([config.seed, HOLD_OUT_STREAM])
    heads = np.unique(groups)
    count = min(max(round(config.hold_out * len(heads)), 1), len(heads) - 1)
    drawn = np.isin(groups, rng.choice(heads, count, replace=False))
    lost = np.setdiff1d(labels[drawn], labels[~drawn])
    return drawn & ~np.isin(groups, groups[np.isin(labels, lost)])


def _folds(labels: np.ndarray, groups: np.ndarray, config: TrainConfig) -> np.ndarray:
    """Return the fold of each sample, int8 (n,), balanced by class, with groups kept whole.
    Samples of a class that lies in one fold only are EVERYONES.

    groups: int (n,), equal for samples that are duplicates of each other.
    """
    if config.folds == 1:
        return np.zeros(len(labels), np.int8)
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    if len(first) < config.folds:
        raise BadInputError(
            f"{len(first)} samples without their duplicates cannot be learned in {config.folds} "
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
    """Return the side of the model's input in pixels: the configured one, else `usual_size`."""
    if config.image_size:
        return config.image_size
    return usual_size(frame, ids, *(SMALL_SIZES if config.model == SMALL else (32, 224)))
