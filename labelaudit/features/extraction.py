"""Extracts features: reads each image once, streams, and stores what is done as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.errors import StoppedError
from ..core.progress import QUIET, Task
from ..dataset.columns import Frame
from .extractors import Examples, Extractor, open_extractor
from .image_batches import Images, nothing_readable
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


def extract(
    frame: Frame,
    extractor: Extractor,
    ids: np.ndarray,
    task: Task = QUIET,
    compute: Compute | None = None,
) -> Features:
    """Store the features of samples that have none of this version yet; return the features.

    ids: sorted, int64. Images that cannot be read get none. A stop raises StoppedError; finished
    features are kept, and the next call continues from there. compute: by default `compute_here`.
    Raises LabelAuditError if none of the images can be read.
    """
    features = _open(frame, extractor)
    missing = np.setdiff1d(ids, features.ids())
    if not len(missing):
        return features
    done = len(ids) - len(missing)
    name = f"extracting features with {extractor.name}"
    stage = task.stage(name, len(ids), done=done, stoppable=False)
    buffer = _Buffer(features)

    def add(some: np.ndarray, values: np.ndarray) -> None:
        buffer.add(some, values)
        stage.advance(len(some))

    try:
        example = (compute or compute_here)(frame, extractor, missing, add, task)
    finally:
        buffer.write()
    if not buffer.rows and not done:
        raise nothing_readable(len(missing), example)
    return features


# Computes features of samples of a dataset and passes (ids, float32 (m, width)) on as they are
# finished. Returns the path of an image that could not be read, with the reason, or "".
Compute = Callable[
    [Frame, Extractor, np.ndarray, Callable[[np.ndarray, np.ndarray], None], Task], str
]


def compute_here(
    frame: Frame,
    extractor: Extractor,
    ids: np.ndarray,
    add: Callable[[np.ndarray, np.ndarray], None],
    task: Task,
) -> str:
    """Compute features in this process; see `Compute`. Raises StoppedError after a stop."""
    images = Images(frame, ids, extractor.size)
    for places, pixels in images.batches(np.arange(len(ids)), ROWS):
        if task.stop():
            raise StoppedError(
                "extracting features was stopped: the finished ones are kept, and the next "
                "audit continues from there."
            )
        add(ids[places], extractor.of(pixels))
    return images.example


class _Buffer:
    """Collects features and stores them every few seconds."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self.ids: list[np.ndarray] = []
        self.values: list[np.ndarray] = []
        self.written = time.monotonic()
        self.rows = 0

    def add(self, ids: np.ndarray, values: np.ndarray) -> None:
        self.ids.append(ids)
        self.rows += len(ids)
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
    known = stored_features(frame).get(extractor.name)
    current = known is not None and known.version == extractor.version
    missing = np.setdiff1d(ids, known.ids()) if current else ids
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
