"""Finds suspects without training: predicts each image from all others in closed form."""

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
from ..features.extractors import Extractor, fit_extractor
from ..features.image_batches import Images
from ..scores.ridge import Fit, leave_one_out
from ..storage.schema import FIRST_LOOK, REMOVED
from .config import FIRST_LOOK_RUN, TrainConfig
from .plan import image_size

MAX_LEARNED = 50_000  # samples to fit on at most; further ones are predicted from them
MAX_SIZE = 32  # largest side of the images in pixels
FITTED = 2_000  # images that the features are fitted on
ROWS = 500  # images at once
WRITE_ROWS = 10_000  # predictions written to the store at once


def first_look(
    target: Dataset | View,
    run: str = FIRST_LOOK_RUN,
    task: Task = QUIET,
) -> Run:
    """Predict every sample of a dataset or view from all the others, without training, as a run.

    The run has logits and embeddings but no model. It can be scored and reviewed, and it is the
    default run only until another run has predictions. An earlier first look of the same name is
    replaced. All labelled samples that are not removed are used, of any split, up to 50,000 chosen
    at random; each is predicted from the others (see `scores.ridge.leave_one_out`).
    Images that cannot be read are left out, and counted in the run's notes.
    10,000 CIFAR-10 images take 18 CPU-seconds, 1,797 digits one.
    Raises StoppedError after a stop, and then changes nothing. Raises LabelAuditError if there are
    fewer than two classes, or if `run` is the name of a trained run.
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
        _check_classes(frame.name, labels[usable])
        size = min(image_size(frame, ids, TrainConfig()), MAX_SIZE)
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(usable)[:MAX_LEARNED])
    extractor = _Extractor(Images(frame, ids, size), chosen, task)
    learned, features = extractor.read(chosen)
    _check_classes(frame.name, labels[learned])
    fit = leave_one_out(features, labels[learned], len(classes))
    others = np.setdiff1d(np.arange(len(ids)), chosen)
    new_run = begin_run(frame, run)
    try:
        batches = chain(_learned_batches(ids[learned], fit), extractor.predicted(others, fit))
        new_run.write_predictions(batches, len(classes))
        info = _info(fit, labels[learned], classes, extractor)
        return new_run.finish(info | {"seconds": time.monotonic() - started})
    except BaseException:
        with suppress(Exception):  # the dataset may be deleted; the first error matters more
            new_run.abandon()
        raise


def _info(fit: Fit, labels: np.ndarray, classes: list[str], extractor: _Extractor) -> dict:
    """Return the info of the run. labels: of the samples that were fitted on."""
    # the only readable sample of its class cannot be predicted from others
    alone = np.flatnonzero(np.bincount(labels, minlength=len(classes)) <= 1)
    note = extractor.images.note
    return {
        "classes": classes,
        FIRST_LOOK: {
            "learned": len(labels),
            "strength": fit.strength,
            "temperature": fit.temperature,
            "features": extractor.features.name,
            "image_size": extractor.images.size,
        },
        "agreement": float((fit.logits.argmax(axis=1) == labels).mean()),
        "untaught": [classes[code] for code in alone],
        "notes": [note] if note else [],
    }


def _learned_batches(
    ids: np.ndarray, fit: Fit
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for start in range(0, len(ids), WRITE_ROWS):
        rows = slice(start, start + WRITE_ROWS)
        yield ids[rows], fit.logits[rows], fit.embeddings[rows]


def _check_classes(name: str, labels: np.ndarray) -> None:
    if not len(labels):
        raise LabelAuditError(
            f"none of the chosen samples of {name!r} has a label: a first look needs at least two "
            "classes."
        )
    if len(np.unique(labels)) < 2:
        raise LabelAuditError(
            f"the chosen samples of {name!r} are all of one class: a first look needs at least two "
            "classes."
        )


class _Extractor:
    """Computes features, scaled to mean 0 and similar deviations."""

    def __init__(self, images: Images, learned: np.ndarray, task: Task) -> None:
        """learned: places of the samples to fit on, int64."""
        self.images = images
        self.stage = task.stage("first look", len(images))
        some = np.random.default_rng(1).permutation(learned)[:FITTED]
        _, pixels = next(images.batches(np.sort(some), len(some)), (None, None))
        if pixels is None:
            raise images.nothing_readable()
        self.features: Extractor = fit_extractor(pixels)
        sample = self.features.of(pixels)
        self.mean = sample.mean(axis=0)
        deviation = sample.std(axis=0)
        least = self.features.least_deviation * max(deviation.mean(), 1e-6)
        self.scale = 1 / np.maximum(deviation, least)

    def read(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of readable images, int64 (m,), and their features, float16 (m, d)."""
        features = np.empty((len(places), len(self.mean)), np.float16)
        readable, count = [], 0
        for at, values in self._batches(places):
            features[count : count + len(values)] = values
            count += len(values)
            readable.append(at)
        return np.concatenate(readable), features[:count]

    def predicted(
        self, places: np.ndarray, fit: Fit
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield ids, logits and embeddings of samples that were not fitted on."""
        for at, features in self._batches(places):
            yield self.images.ids[at], *fit.predict(features)

    def _batches(self, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for at, pixels in self.images.batches(places, ROWS):
            self.stage.advance(len(at))
            features = (self.features.of(pixels) - self.mean) * self.scale
            yield at, np.clip(features, -100, 100)
