"""Finds suspects without training: predicts each image from the features of all others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ..core.errors import BadInputError
from ..core.progress import QUIET, Task
from ..dataset.arrays import MISSING
from ..dataset.dataset import Dataset
from ..dataset.run_lifecycle import begin_run
from ..dataset.runs import Run
from ..dataset.view import View
from ..features.choice import FeatureSet, choose_features, named_features
from ..features.duplicates import duplicates
from ..features.extractors import AUTO
from ..scores.cross_fit import FeatureMap
from ..scores.out_of_sample import OutOfSample, predict_out_of_sample
from ..storage.schema import FIRST_LOOK, REMOVED
from .config import FIRST_LOOK_RUN

MAX_LEARNED = 50_000  # samples to learn from at most; further ones are predicted from them
WRITE_ROWS = 10_000  # predictions written to the store at once


def first_look(
    target: Dataset | View,
    run: str = FIRST_LOOK_RUN,
    task: Task = QUIET,
    *,
    features: str = AUTO,
) -> Run:
    """Predict every sample of a dataset or view from all others, without training, as a run.

    The run has logits and embeddings but no model. It can be scored and reviewed, and it is the
    default run only until another run has predictions; then its predictions are a second source
    for the suspicion of that run. An earlier first look of the same name is replaced. All labelled
    samples that are not removed are used, of any split, up to 50,000 chosen at random; each is
    predicted by models that did not see its label (see `scores.out_of_sample`).

    features: what the images look like: "auto" chooses by out-of-sample log loss on the data
    itself, otherwise the name of an extractor or of imported features, or several joined by "+",
    such as "lite0+patches". They are extracted once and stored.
    Images that cannot be read are left out, and counted in the run's notes.
    Raises StoppedError after a stop; features that are finished are kept. Raises LabelAuditError if
    there are fewer than two classes, for unknown features, or if `run` is a trained run.
    """
    started = time.monotonic()
    view = target.view() if isinstance(target, Dataset) else target
    _check_name(Dataset(view.name), run)
    samples = _Samples.read(view)
    chosen = (
        choose_features(view.frame, samples.ids, samples.labels, task)
        if features == AUTO
        else named_features(view.frame, samples.ids, features)
    )
    chosen.extract(samples.ids, task)
    learned = samples.learned(chosen)
    task.check("the first look")
    fit, feature_map = _fit(samples, learned, chosen, task)
    new_run = begin_run(view.frame, run)
    try:
        batches = chain(
            _learned_batches(samples.ids[learned], fit),
            _other_batches(samples.ids, learned, chosen, fit, feature_map),
        )
        new_run.write_predictions(batches, len(samples.classes))
        info = _info(samples, learned, chosen, fit)
        return new_run.finish(info | {"seconds": time.monotonic() - started})
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
    groups: np.ndarray | None  # equal for copies of one image; None if they were not searched

    @classmethod
    def read(cls, view: View) -> _Samples:
        frame = view.frame
        with view.steady():
            at = np.sort(view.positions())
            ids, labels = frame.ids[at], frame.label[at]
            usable = (labels != MISSING) & ~frame.tagged(REMOVED)[at]
            known = duplicates(Dataset(frame.name))
            groups = None if known is None else known.group_of(ids)
        _check_classes(frame.name, labels[usable])
        return cls(frame.name, ids, labels, usable, frame.classes, groups)

    def learned(self, chosen: FeatureSet) -> np.ndarray:
        """Return the places of the samples to learn from, sorted, at most MAX_LEARNED."""
        candidates = np.flatnonzero(self.usable & chosen.available(self.ids))
        _check_classes(self.name, self.labels[candidates])
        rng = np.random.default_rng(0)
        return np.sort(rng.permutation(candidates)[:MAX_LEARNED])


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


def _fit(
    samples: _Samples, learned: np.ndarray, chosen: FeatureSet, task: Task
) -> tuple[OutOfSample, FeatureMap]:
    stage = task.stage("comparing each image with all others", 1)
    blocks = chosen.read(samples.ids[learned])
    feature_map = FeatureMap.fit(blocks, chosen.weights, chosen.least_deviations)
    features = feature_map.transform(blocks)
    del blocks  # half the memory of the features
    groups = None if samples.groups is None else samples.groups[learned]
    fit = predict_out_of_sample(
        features,
        samples.labels[learned],
        len(samples.classes),
        groups,
        check=lambda: stage.advance(0),
    )
    stage.advance()
    return fit, feature_map


def _learned_batches(
    ids: np.ndarray, fit: OutOfSample
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for start in range(0, len(ids), WRITE_ROWS):
        rows = slice(start, start + WRITE_ROWS)
        yield ids[rows], fit.logits[rows], fit.embeddings[rows]


def _other_batches(
    ids: np.ndarray,
    learned: np.ndarray,
    chosen: FeatureSet,
    fit: OutOfSample,
    feature_map: FeatureMap,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield predictions of the samples that were not learned from."""
    others = np.setdiff1d(ids[chosen.available(ids)], ids[learned])
    for start in range(0, len(others), WRITE_ROWS):
        some = others[start : start + WRITE_ROWS]
        yield some, *fit.predict(feature_map.transform(chosen.read(some)))


def _info(samples: _Samples, learned: np.ndarray, chosen: FeatureSet, fit: OutOfSample) -> dict:
    """Return the info of the run."""
    labels = samples.labels[learned]
    # the only readable sample of its class cannot be predicted from others
    alone = np.flatnonzero(np.bincount(labels, minlength=len(samples.classes)) <= 1)
    return {
        "classes": samples.classes,
        FIRST_LOOK: {
            "learned": len(learned),
            "features": chosen.name,
            "weights": list(map(float, chosen.weights)),
            "tried": chosen.tried,
            "penalty": fit.penalty,
            "log_loss": fit.log_loss,
        },
        "agreement": float((fit.logits.argmax(axis=1) == labels).mean()),
        "untaught": [samples.classes[code] for code in alone],
        "notes": chosen.notes(samples.ids),
    }
