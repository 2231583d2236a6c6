"""Finds suspects without training: predicts each image from the features of all others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..core.errors import BadInputError
from ..core.progress import QUIET, Task
from ..dataset.arrays import MISSING
from ..dataset.dataset import Dataset
from ..dataset.run_lifecycle import begin_run
from ..dataset.runs import Run
from ..dataset.target import Target, opened
from ..dataset.view import View
from ..features.choice import (
    FeatureSet,
    choose_features,
    imported_features,
    named_features,
)
from ..features.duplicates import duplicates
from ..features.extraction import Compute
from ..features.extractors import AUTO
from ..scores.cross_fit import FeatureMap
from ..scores.out_of_sample import Predictor, predict_out_of_sample
from ..scores.ridge import NOT_LEARNED, BlockSums, SumsOf
from ..storage.schema import FIRST_LOOK, REMOVED
from .config import FIRST_LOOK_RUN
from .earlier_runs import present_state
from .first_look_fit import StoredFit, digest_of

MOST_HELD = 50_000  # samples in memory at once; further ones are streamed
BLOCK_ROWS = 5_000  # of these in memory at once


@dataclass(frozen=True)
class Backend:
    """Where a first look computes: in this process, or on a cluster.

    compute_features: see `features.extraction.extract`. map_blocks: does the same as `map`, with
    results in the same order.
    """

    compute_features: Compute | None = None
    map_blocks: Callable[[Callable, Iterable], Iterator] = map


HERE = Backend()


def first_look(
    target: Target,
    run: str = FIRST_LOOK_RUN,
    task: Task = QUIET,
    *,
    features: str = AUTO,
    backend: Backend = HERE,
) -> Run:
    """Predict every sample of a dataset or view from all others, without training, as a run.

    The run has logits and embeddings but no model. It can be scored and reviewed, and it is the
    default run only until another run has predictions; then its predictions are a second source
    for the suspicion of that run. An earlier first look of the same name is replaced. All labelled
    samples that are not removed are learned from, of any split; each is predicted by models that
    did not see its label (see `scores.out_of_sample`). Beyond 50,000 samples, the stored features
    are read in blocks, twice, so that memory does not grow with their number. With the run
    of a whole dataset, the fit is stored for an audit after a sync.

    features: what the images look like: "auto" chooses by out-of-sample log loss on the data
    itself, otherwise the name of an extractor or of imported features, or several joined by "+",
    such as "lite0+patches". They are extracted once and stored. backend: where this is computed,
    by default in this process.
    Images that cannot be read are left out, and counted in the run's notes.
    Raises StoppedError after a stop; features that are finished are kept. Raises LabelAuditError if
    there are fewer than two classes, for unknown features, or if `run` is a trained run.
    """
    target = opened(target)
    started = time.monotonic()
    view = target.view() if isinstance(target, Dataset) else target
    _check_name(Dataset(view.name), run)
    samples = _Samples.read(view)
    imported = imported_features(view.frame)
    chosen = (
        choose_features(view.frame, samples.ids, samples.labels, task, backend.compute_features)
        if features == AUTO
        else named_features(view.frame, samples.ids, features, backend.compute_features)
    )
    chosen.extract(samples.ids, task)
    parts = samples.parts(chosen)
    task.check("the first look")
    look = _Look(samples, parts, chosen, backend, task)
    new_run = begin_run(view.frame, run)
    try:
        new_run.write_predictions(look.batches(), len(samples.classes))
        info = look.info() | {"seconds": time.monotonic() - started}
        if view.steps:
            return new_run.finish(info)
        info[FIRST_LOOK] |= {"state": samples.state, "asked": features, "imported": imported}
        return new_run.finish(info, look.stored_fit().pack())
    except BaseException:
        with suppress(Exception):  # the dataset may be deleted; the first error matters more
            new_run.abandon()
        raise


def _check_name(dataset: Dataset, run: str) -> None:
    if run in dataset.runs and not dataset.run(run).is_first_look:
        raise BadInputError(
            f"run {run!r} of dataset {dataset.name!r} was trained, and a first look would replace "
            "it: give the first look another name."
        )


@dataclass(frozen=True)
class _Samples:
    """The samples of a view. ids: sorted, int64 (n,). labels: int (n,), MISSING for none."""

    name: str
    ids: np.ndarray
    labels: np.ndarray
    usable: np.ndarray  # bool: labelled and not removed
    classes: list[str]
    groups: np.ndarray | None  # equal for copies that are left out together; None if not searched
    state: dict  # of the dataset then: see earlier_runs.py

    @classmethod
    def read(cls, view: View) -> _Samples:
        frame = view.frame
        with view.steady():
            at = np.sort(view.positions())
            ids, labels = frame.ids[at], frame.label[at]
            usable = (labels != MISSING) & ~frame.tagged(REMOVED)[at]
            known, state = duplicates(Dataset(frame.name)), present_state(frame)
        learned = np.where(usable, labels, MISSING)
        groups = None if known is None else known.held_out_together(ids, learned)
        _check_classes(frame.name, labels[usable])
        return cls(frame.name, ids, labels, usable, frame.classes, groups, state)

    def parts(self, chosen: FeatureSet) -> _Parts:
        """Divide the samples that have features."""
        available = chosen.available(self.ids)
        if not available.any():
            raise BadInputError(
                f"none of the chosen samples of {self.name!r} has features {chosen.name!r}: import "
                "them for these samples, or choose others."
            )
        learned = self.usable & available
        _check_classes(self.name, self.labels[learned])
        candidates = np.flatnonzero(learned)
        groups = candidates if self.groups is None else self.groups[candidates]
        held = np.sort(candidates[whole_groups(groups, MOST_HELD)])
        others = np.setdiff1d(np.flatnonzero(available), held)
        return _Parts(learned, held, blocks_of_groups(self._group_of(others), others, BLOCK_ROWS))

    def _group_of(self, places: np.ndarray) -> np.ndarray:
        return self.ids[places] if self.groups is None else self.groups[places]


@dataclass(frozen=True)
class _Parts:
    """Places of samples with features. learned: mask, bool (n,), of all that are learned from.
    held: those in memory, sorted. blocks: the others; groups of copies are not divided."""

    learned: np.ndarray
    held: np.ndarray
    blocks: list[np.ndarray]


def whole_groups(groups: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """Return at most `most` rows in random order, int (m,), that are complete groups.

    groups: int (n,), equal for the rows of a group. A group that is larger than `most` is divided.
    """
    _, index = np.unique(groups, return_inverse=True)
    rank = np.random.default_rng(seed).permutation(index.max(initial=-1) + 1)[index]
    order = np.argsort(rank, kind="stable")
    if len(order) <= most:
        return order
    begins = np.searchsorted(rank[order], rank[order[most]])  # of the group that does not fit
    return order[: begins or most]


def blocks_of_groups(groups: np.ndarray, rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Divide rows, int (n,), into sorted blocks of about `size`, without dividing groups."""
    if not len(rows):
        return []
    order = np.argsort(groups, kind="stable")
    ends = np.flatnonzero(np.diff(groups[order], append=groups.max() + 1)) + 1
    wanted = np.arange(size, len(rows) + size, size)
    cuts = np.unique(ends[np.minimum(np.searchsorted(ends, wanted), len(ends) - 1)])
    return [np.sort(part) for part in np.split(rows[order], cuts) if len(part)]


def _check_classes(name: str, labels: np.ndarray) -> None:
    if not len(labels):
        raise BadInputError(
            f"none of the chosen samples of {name!r} has a label: a first look needs at least two "
            "classes."
        )
    if len(np.unique(labels)) < 2:
        raise BadInputError(
            f"the chosen samples of {name!r} are all of one class: a first look needs at least two "
            "classes."
        )


@dataclass(frozen=True)
class _Block:
    """Some samples: ids, int64 (m,); labels, int (m,), NOT_LEARNED for samples that are only
    predicted; groups, int (m,), equal for copies of one image."""

    ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None


class _Reader:
    """Reads stored features and joins them. A copy in another process opens the dataset there, when
    it first reads."""

    def __init__(self, chosen: FeatureSet, joined: FeatureMap) -> None:
        self.chosen: FeatureSet | None = chosen
        self.dataset, self.names, self.joined = chosen.frame.name, chosen.names, joined

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Return features, float32 (m, d), of sorted ids."""
        if self.chosen is None:
            self.chosen = FeatureSet(Dataset(self.dataset).view().frame, self.names, [])
        return self.joined.transform(self.chosen.read(ids))

    def __getstate__(self) -> dict:
        return vars(self) | {"chosen": None}


def _sum(read: _Reader, sums_of: SumsOf, block: _Block) -> BlockSums:
    return sums_of(read(block.ids), block.labels)


def _predict(
    read: _Reader, predictor: Predictor, block: _Block
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return block.ids, *predictor.predict(read(block.ids), block.labels, block.groups)


class _Look:
    """What is learned from the samples, and their predictions.

    The samples that are held in memory are predicted at once. The ridge regression learns from the
    others in a first pass over their features, and predicts them in a second.
    """

    def __init__(
        self,
        samples: _Samples,
        parts: _Parts,
        chosen: FeatureSet,
        backend: Backend,
        task: Task,
    ) -> None:
        self.samples, self.parts, self.chosen = samples, parts, chosen
        self.map_blocks = backend.map_blocks
        learns_more = parts.learned.sum() > len(parts.held)
        steps = 1 + (1 + learns_more) * len(parts.blocks)
        self.stage = task.stage("comparing each image with all others", steps)
        held = chosen.read(samples.ids[parts.held])
        joined = FeatureMap.fit(held, chosen.weights, chosen.least_deviations)
        features = joined.transform(held)
        self.read = _Reader(chosen, joined)
        del held  # half the memory of the features
        self.fit = predict_out_of_sample(
            features,
            samples.labels[parts.held],
            len(samples.classes),
            self._groups(parts.held),
            self._learned_sums if learns_more else None,
            check=lambda: self.stage.advance(0),
        )
        self.stage.advance()

    def _learned_sums(self, sums_of: SumsOf) -> Iterator[BlockSums]:
        """Yield the sums of the samples that are not held."""
        blocks = (self._block(block[self.parts.learned[block]]) for block in self.parts.blocks)
        for sums in self.map_blocks(partial(_sum, self.read, sums_of), blocks):
            self.stage.advance()
            yield sums

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield ids, logits and embeddings of all samples with features."""
        ids, held = self.samples.ids, self.parts.held
        for start in range(0, len(held), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            yield ids[held[rows]], self.fit.logits[rows], self.fit.embeddings[rows]
        blocks = map(self._block, self.parts.blocks)
        for found in self.map_blocks(partial(_predict, self.read, self.fit.predictor), blocks):
            self.stage.advance()
            yield found

    def _block(self, places: np.ndarray) -> _Block:
        labels = np.where(self.parts.learned[places], self.samples.labels[places], NOT_LEARNED)
        return _Block(self.samples.ids[places], labels, self._groups(places))

    def _groups(self, places: np.ndarray) -> np.ndarray | None:
        return None if self.samples.groups is None else self.samples.groups[places]

    def stored_fit(self) -> StoredFit:
        """Return what predicts the images of a later sync."""
        predictor, joined = self.fit.predictor, self.read.joined
        landmarks = self.samples.ids[self.parts.held][predictor.landmarks]
        digest = digest_of(self.chosen.read(landmarks))
        return StoredFit(landmarks, digest, joined, predictor.for_others())

    def info(self) -> dict:
        """Return the info of the run. Its agreement is that of the samples held."""
        samples, fit, chosen = self.samples, self.fit, self.chosen
        held = samples.labels[self.parts.held]
        # the only readable sample of its class cannot be predicted from others
        labels = samples.labels[self.parts.learned]
        alone = np.flatnonzero(np.bincount(labels, minlength=len(samples.classes)) <= 1)
        return {
            "classes": samples.classes,
            FIRST_LOOK: {
                "learned": len(labels),
                "features": chosen.name,
                "weights": list(map(float, chosen.weights)),
                "tried": chosen.tried,
                "penalty": fit.penalty,
                "log_loss": fit.log_loss,
            },
            "agreement": float((fit.logits.argmax(axis=1) == held).mean()),
            "untaught": [samples.classes[code] for code in alone],
            "notes": chosen.notes(samples.ids),
        }
