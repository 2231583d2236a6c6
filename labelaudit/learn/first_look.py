"""Suspects without training: what all other images say of each, by a closed form, in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

import numpy as np

from ..core.errors import LabelAuditError
from ..core.progress import QUIET, Task
from ..dataset.arrays import MISSING
from ..dataset.dataset import Dataset
from ..dataset.run_lifecycle import begin_run
from ..dataset.runs import Run
from ..dataset.view import View
from ..features.image_batches import Images
from ..features.patches import Patches, Pixels, fit_features
from ..scores.ridge import Fit, leave_one_out
from ..storage.schema import FIRST_LOOK, REMOVED
from .config import FIRST_LOOK_RUN, TrainConfig
from .plan import image_size

LEARNED = 50_000  # samples at most that are learned from; the others are predicted by them
SIZE = 32  # pixels a side at most that images are looked at
PROBE = 2_000  # images that the features are made from
ROWS = 500  # images at once
WRITTEN = 10_000  # predictions handed to the store at once


def first_look(
    target: Dataset | View,
    run: str = FIRST_LOOK_RUN,
    task: Task = QUIET,
) -> Run:
    """Predict every sample of a dataset or view by all the others, without training, as a run.

    The run has logits, embeddings and no model: it can be scored and reviewed, and is the default
    only until another run has predictions. An earlier run of its name is replaced. All labelled
    samples that are not removed are learned from, whatever their split, up to 50,000 of them (a
    random choice); each is predicted by the others (see `scores.ridge.leave_one_out`).
    Images that cannot be read are left out, and counted in the run's notes.
    10,000 CIFAR-10 images take 18 CPU-seconds, 1,797 digits one. A stop raises StoppedError, and
    nothing changes.
    Raises LabelAuditError for fewer than two classes, and for the name of a trained run.
    """
    started = time.monotonic()
    view = target.view() if isinstance(target, Dataset) else target
    frame = view.frame
    dataset = Dataset(frame.name)
    if run in dataset.runs and not dataset.run(run).is_first_look:
        raise LabelAuditError(
            f"run {run!r} of dataset {dataset.name!r} was trained, and a first look would replace "
            "it: give the first look another name."
        )
    with view.steady():
        at = np.sort(view.positions())
        ids, labels, classes = frame.ids[at], frame.label[at], frame.classes
        usable = np.flatnonzero((labels != MISSING) & ~frame.tagged(REMOVED)[at])
        _check(frame.name, labels[usable])
        size = min(image_size(frame, ids, TrainConfig()), SIZE)
    rng = np.random.default_rng(0)
    learned = np.sort(rng.permutation(usable)[:LEARNED])
    looker = _Looker(Images(frame, ids, size), learned, task)
    features = looker.learned_features()
    learned = looker.learned  # those whose image can be read
    _check(frame.name, labels[learned])
    fit = leave_one_out(features, labels[learned], len(classes))
    alone = np.flatnonzero(np.bincount(labels[learned], minlength=len(classes)) <= 1)
    begun = begin_run(frame, run)
    try:
        batches = chain(_blocks(ids[learned], fit), looker.others(fit))
        begun.write_predictions(batches, len(classes))
        kept = begun.finish({
            "classes": classes,
            FIRST_LOOK: {
                "learned": len(learned), "strength": fit.strength, "temperature": fit.temperature,
                "features": type(looker.features).__name__.lower(), "image_size": size,
            },
            "agreement": float((fit.logits.argmax(axis=1) == labels[learned]).mean()),
            "untaught": [classes[code] for code in alone],  # the others do not know their class
            "seconds": time.monotonic() - started,
            "notes": [looker.images.note] if looker.images.note else [],
        })  # fmt: skip
    except BaseException:
        with suppress(Exception):  # the dataset may be gone; what went wrong first counts
            begun.abandon()
        raise
    return kept


def _blocks(ids: np.ndarray, fit: Fit) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for start in range(0, len(ids), WRITTEN):
        rows = slice(start, start + WRITTEN)
        yield ids[rows], fit.logits[rows], fit.embeddings[rows]


def _check(name: str, labels: np.ndarray) -> None:
    if len(np.unique(labels)) < 2:
        what = "are all of one class" if len(labels) else "are none"
        raise LabelAuditError(
            f"the labelled samples of {name!r} that were chosen {what}: a first look needs two "
            "classes at least."
        )


class _Looker:
    """Makes the samples' features, brought to mean 0 and about the same size."""

    def __init__(self, images: Images, learned: np.ndarray, task: Task) -> None:
        self.images, self.learned = images, learned
        self.meter = task.stage("first look", len(images))
        some = np.random.default_rng(1).permutation(learned)[:PROBE]
        _, pictures = next(images.batches(np.sort(some), len(some)), (None, None))
        if pictures is None:
            raise images.nothing_readable()
        self.features: Patches | Pixels = fit_features(pictures)
        probed = self.features.of(pictures)
        self.mean = probed.mean(axis=0)
        deviation = probed.std(axis=0)
        least = self.features.EVENED * max(deviation.mean(), 1e-6)
        self.scale = 1 / np.maximum(deviation, least)

    def learned_features(self) -> np.ndarray:
        """float16 (learned, d); those whose image cannot be read are `learned` no more."""
        held = np.empty((len(self.learned), len(self.mean)), np.float16)
        seen, start = [], 0
        for at, features in self._of(self.learned):
            held[start : start + len(features)] = features
            start += len(features)
            seen.append(at)
        everyone, self.learned = self.learned, np.concatenate(seen)
        self.unread = np.setdiff1d(everyone, self.learned)
        return held[:start]

    def others(self, fit: Fit) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Ids, logits and embeddings of the samples that the fit did not learn."""
        others = np.setdiff1d(np.arange(len(self.images)), self.learned)
        others = np.setdiff1d(others, self.unread)
        for places, features in self._of(others):
            yield self.images.ids[places], *fit.predict(features)

    def _of(self, places: np.ndarray):
        for at, pictures in self.images.batches(places, ROWS):
            self.meter.advance(len(at))
            features = (self.features.of(pictures) - self.mean) * self.scale
            yield at, np.clip(features, -100, 100)
