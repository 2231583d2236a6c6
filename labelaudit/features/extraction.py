"""Extracts features: reads each image once, streams, and stores what is done as it goes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ..core.errors import StoppedError
from ..core.progress import QUIET, Task
from ..dataset.columns import Frame
from .extractors import Examples, Extractor, open_extractor
from .image_batches import Images
from .stored import Features, open_features, stored_features, stored_state

ROWS = 64  # images decoded at once
WRITE_SECONDS = 10.0  # work that a kill may lose
TIMED = 48  # images that a cost estimate is made from
WARM_UP = 8  # of these, before the time is taken


def open_for(frame: Frame, name: str, ids: np.ndarray) -> Extractor:
    """Open an extractor for these samples of a dataset; see `open_extractor`."""
    return open_extractor(name, Examples(frame, ids, stored_state(frame, name)))


def _open(frame: Frame, extractor: Extractor) -> Features:
    return open_features(frame, extractor.name, extractor.version, extractor.width, extractor.state)


def extract(frame: Frame, extractor: Extractor, ids: np.ndarray, task: Task = QUIET) -> Features:
    """Store the features of samples that have none of this version yet; return the features.

    ids: sorted, int64. Images that cannot be read get none. A stop raises StoppedError; finished
    features are kept, and the next call continues from there. Raises LabelAuditError if none of
    the images can be read.
    """
    features = _open(frame, extractor)
    missing = np.setdiff1d(ids, features.ids())
    if not len(missing):
        return features
    images = Images(frame, missing, extractor.size)
    done = len(ids) - len(missing)
    name = f"extracting features with {extractor.name}"
    stage = task.stage(name, len(ids), done=done, stoppable=False)
    buffer = _Buffer(features)
    try:
        for places, pixels in images.batches(np.arange(len(missing)), ROWS):
            if task.stop():
                raise StoppedError(
                    "extracting features was stopped: the finished ones are kept, and the next "
                    "audit continues from there."
                )
            buffer.add(missing[places], extractor.of(pixels))
            stage.advance(len(places))
    finally:
        buffer.write()
    if images.unreadable.all() and not done:
        raise images.nothing_readable()
    return features


class _Buffer:
    """Collects features and stores them every few seconds."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self.ids: list[np.ndarray] = []
        self.values: list[np.ndarray] = []
        self.written = time.monotonic()

    def add(self, ids: np.ndarray, values: np.ndarray) -> None:
        self.ids.append(ids)
        self.values.append(values.astype(np.float16))
        if time.monotonic() - self.written > WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        if self.ids:
            self.features.append(np.concatenate(self.ids), np.concatenate(self.values))
        self.ids, self.values, self.written = [], [], time.monotonic()


@dataclass(frozen=True)
class Cost:
    """What extracting the features of a dataset takes on this machine.

    seconds: for all images that have none yet. images: how many these are.
    """

    seconds: float
    images: int

    @property
    def images_per_second(self) -> float:
        """Images per second, decoding included."""
        return self.images / self.seconds if self.seconds else float("inf")


def measure_cost(frame: Frame, extractor: Extractor, ids: np.ndarray) -> Cost:
    """Time the extractor on a few images of the dataset and scale up. Nothing is stored.

    Raises LabelAuditError if none of these images can be read.
    """
    missing = np.setdiff1d(ids, _known_ids(frame, extractor))
    if not len(missing):
        return Cost(0.0, 0)
    some = np.sort(np.random.default_rng(0).permutation(missing)[:TIMED])
    images = Images(frame, some, extractor.size)
    for _, pixels in images.batches(np.arange(min(len(some), WARM_UP)), WARM_UP):
        extractor.of(pixels)
    count, started = 0, time.monotonic()
    for places, pixels in images.batches(np.arange(len(some)), len(some)):
        extractor.of(pixels)
        count += len(places)
    spent = time.monotonic() - started
    if not count:
        raise images.nothing_readable()
    return Cost(spent / count * len(missing), len(missing))


def _known_ids(frame: Frame, extractor: Extractor) -> np.ndarray:
    """Ids of the samples with features of this version, int64. Creates no table, unlike `_open`."""
    found = stored_features(frame).get(extractor.name)
    same = found is not None and (found.version, found.width) == (
        extractor.version,
        extractor.width,
    )
    return found.ids() if same else np.empty(0, np.int64)
