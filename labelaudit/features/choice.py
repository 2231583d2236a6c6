"""Chooses features for a dataset: those with which labels are predicted best out of sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.errors import BadInputError, LabelAuditError, StoppedError
from ..core.plural import counted
from ..core.progress import QUIET, Task
from ..dataset.arrays import MISSING
from ..dataset.columns import Frame
from ..scores.cross_fit import FeatureMap, log_loss
from ..scores.ridge import leave_one_out
from .extraction import Compute, extract, open_for
from .extractors import JOIN, Examples, Extractor, check_extractor
from .image_size import SMALL_SIDE
from .stored import Features, find_features, stored_features

TINY_SIDE = 16  # pixels of the longer side; images up to it are icons
TRIED = 2_000  # samples that are compared with each other to choose
GREY_CHECKED = 200  # images that are looked at to find out whether they are grey
COVERED = 0.95  # share of the compared samples that imported features must have
BETTER = 0.99  # another extractor must lower the log loss to this share, as it takes time


@dataclass
class FeatureSet:
    """Features of one dataset from one or several extractors.

    weights: share of the squared length that each gets. tried: log loss of each choice that was
    compared, by name. left_out: a sentence for each choice that could not be compared. compute:
    where features are computed; see `extraction.extract`.
    """

    frame: Frame
    names: list[str]
    weights: list[float]
    tried: dict[str, float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    compute: Compute | None = None
    _extractors: dict[str, Extractor] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The names of all extractors, such as "lite0+patches"."""
        return JOIN.join(self.names)

    @property
    def least_deviations(self) -> list[float]:
        """See `Extractor.least_deviation`; its usual value for imported features."""
        kinds = (self._extractors.get(name, Extractor) for name in self.names)
        return [kind.least_deviation for kind in kinds]

    def extract(self, ids: np.ndarray, task: Task = QUIET) -> None:
        """Extract the features that are not stored yet. ids: sorted, int64."""
        for name in self.names:
            if extractor := self._extractors.get(name):
                extract(self.frame, extractor, ids, task, self.compute)

    def available(self, ids: np.ndarray) -> np.ndarray:
        """Return a mask, bool (n,), of the samples that have features of every extractor."""
        found = [np.isin(ids, features.ids()) for features in self._stored()]
        return np.logical_and.reduce(found)

    def read(self, ids: np.ndarray) -> list[np.ndarray]:
        """Return the features of each extractor, float16 (n, d), of sorted ids that have them."""
        return [features.read(ids)[1] for features in self._stored()]

    def notes(self, ids: np.ndarray) -> list[str]:
        """Return sentences about choices that were not compared and samples without features."""
        lacking = int((~self.available(ids)).sum())
        if not lacking:
            return self.left_out
        if all(name in self._extractors for name in self.names):
            return [
                *self.left_out,
                f"{lacking:,} of {len(ids):,} images could not be read: left out",
            ]
        return [
            *self.left_out,
            f"{lacking:,} of {len(ids):,} samples without features {self.name}: left out",
        ]

    def _stored(self) -> list[Features]:
        return [find_features(self.frame, name) for name in self.names]


def named_features(
    frame: Frame, ids: np.ndarray, names: str, compute: Compute | None = None
) -> FeatureSet:
    """Return the features with these names, joined by "+", with equal weights.

    Raises NotFoundError for a name that is neither an extractor nor the name of imported features.
    """
    parts = [part.strip() for part in names.split(JOIN)]
    if len(set(parts)) < len(parts) or not all(parts):
        raise BadInputError(
            f"features {names!r} are not a list of different names: join them like lite0+patches."
        )
    return _open(frame, ids, parts, [1 / len(parts)] * len(parts), compute)


def choose_features(
    frame: Frame,
    ids: np.ndarray,
    labels: np.ndarray,
    task: Task = QUIET,
    compute: Compute | None = None,
) -> FeatureSet:
    """Return the features that predict the given labels best out of sample.

    ids: sorted, int64 (n,). labels: int (n,), MISSING for none. Up to TRIED labelled samples are
    compared: each extractor that suits the images, and two of them joined. Imported features take
    part, too, if they cover nearly all of these samples.
    """
    names = candidates(frame, ids)
    if len(names) == 1:
        return _open(frame, ids, names, [1.0], compute)
    labelled = np.flatnonzero(labels != MISSING)
    some = np.sort(np.random.default_rng(2).permutation(labelled)[:TRIED])
    sets, left_out = _comparable(frame, ids, names, ids[some], task, compute)
    readable = np.logical_and.reduce([each.available(ids[some]) for each in sets.values()])
    given = labels[some][readable]
    losses: dict[str, float] = {}
    if len(np.unique(given)) > 1 and len(sets) > 1:
        blocks = {name: each.read(ids[some])[0][readable] for name, each in sets.items()}
        losses = _log_losses(sets, blocks, given, int(labels.max()) + 1)
    best = names[0]
    if losses:
        best = min(losses, key=lambda name: losses[name] * (1 if JOIN not in name else 1 / BETTER))
    parts = best.split(JOIN)
    opened = {name: each for part in parts for name, each in sets[part]._extractors.items()}
    weights = [1 / len(parts)] * len(parts)
    return FeatureSet(frame, parts, weights, losses, left_out, compute, opened)


def _comparable(
    frame: Frame,
    ids: np.ndarray,
    names: list[str],
    some: np.ndarray,
    task: Task,
    compute: Compute | None,
) -> tuple[dict[str, FeatureSet], list[str]]:
    """Return the features that some samples have now, by name, and a sentence for each of the
    others. The first must succeed."""
    sets, left_out, imported = {}, [], imported_features(frame)
    covered = np.ones(len(some), bool)
    for name in names:
        single = _open(frame, ids, [name], [1.0], compute)
        try:
            single.extract(some, task)
        except LabelAuditError as error:
            if name == names[0] or isinstance(error, StoppedError):
                raise
            left_out.append(f"features {name} were not compared: {error}")
            continue
        available = single.available(some)
        if name == names[0]:
            covered = available
        if name in imported and available[covered].mean() < COVERED:
            left_out.append(
                f"features {name} were not compared, because {(~available[covered]).sum():,} of "
                f"{counted(int(covered.sum()), 'sample')} lack them"
            )
            continue
        sets[name] = single
    return sets, left_out


def _log_losses(
    sets: dict[str, FeatureSet], blocks: dict[str, np.ndarray], labels: np.ndarray, classes: int
) -> dict[str, float]:
    """Return the log loss of each of the features, and of the first joined with each other."""
    order, losses = list(sets), {}
    for option in [[name] for name in order] + [[order[0], other] for other in order[1:]]:
        weights = [1 / len(option)] * len(option)
        parts = [blocks[name] for name in option]
        least = [sets[name].least_deviations[0] for name in option]
        features = FeatureMap.fit(parts, weights, least).transform(parts)
        losses[JOIN.join(option)] = log_loss(
            leave_one_out(features, labels, classes).logits, labels
        )
    return losses


def candidates(frame: Frame, ids: np.ndarray) -> list[str]:
    """Return the names of the extractors that suit the images, and of imported features."""
    examples = Examples(frame, ids)
    grey = _are_grey(examples)
    if examples.side <= TINY_SIDE:
        names = ["pixels"] if grey else ["patches"]
    elif examples.side <= SMALL_SIDE:
        names = ["lite0", "pixels" if grey else "patches"]
    else:
        names = ["lite0", "patches"]
    return [*names, *imported_features(frame)]


def imported_features(frame: Frame) -> list[str]:
    """Return the names of features that no extractor made."""
    return [name for name in stored_features(frame) if not _is_extractor(name)]


def _is_extractor(name: str) -> bool:
    try:
        check_extractor(name)
    except LabelAuditError:
        return False
    return True


def _are_grey(examples: Examples) -> bool:
    images = examples.images(min(max(examples.side, 8), 32), GREY_CHECKED)
    return bool((images[:, 0] == images[:, 1]).all() and (images[:, 0] == images[:, 2]).all())


def _open(
    frame: Frame,
    ids: np.ndarray,
    names: Sequence[str],
    weights: Sequence[float],
    compute: Compute | None,
) -> FeatureSet:
    imported = set(imported_features(frame))
    extractors = {name: open_for(frame, name, ids) for name in names if name not in imported}
    return FeatureSet(frame, list(names), list(weights), compute=compute, _extractors=extractors)
