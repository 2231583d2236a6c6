"""Measures in the background what extracting features takes on this machine.

A page asks again until the estimate is ready. Results are cached for all sessions.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from ..core.errors import LabelAuditError
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..features.choice import candidates
from ..features.extraction import measure_cost
from ..features.extractors import AUTO, JOIN, Examples, check_extractor, open_extractor
from ..features.stored import stored_features, stored_state

log = logging.getLogger(__name__)

FITTED = 64  # images that an extractor without stored state is fitted to for the measurement
CACHED = 64

_worker = ThreadPoolExecutor(1, thread_name_prefix="feature-cost")
_cache: OrderedDict[tuple, Future] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True)
class Estimate:
    """What extracting features takes. images: how many have none of these features yet.

    seconds_of: seconds of each extractor that will be used, or compared with the others if the
    choice is automatic.
    """

    seconds_of: dict[str, float] = field(default_factory=dict)
    images: int = 0
    error: str = ""

    @property
    def seconds(self) -> float:
        return sum(self.seconds_of.values())

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds if self.seconds else 0.0


def estimate(dataset: Dataset, features: str) -> Estimate | None:
    """Return what these features take, or None while it is being measured."""
    frame = dataset.view().frame
    stored = {name: frame.stamp(each.table) for name, each in stored_features(frame).items()}
    key = (frame.uri, dataset.created, len(frame.ids), features, tuple(sorted(stored.items())))
    with _lock:
        if key not in _cache:
            _cache[key] = _worker.submit(_measure, frame, features)
            while len(_cache) > CACHED:
                _cache.popitem(last=False)
        _cache.move_to_end(key)
        future = _cache[key]
    return future.result() if future.done() else None


def _measure(frame: Frame, features: str) -> Estimate:
    ids = np.sort(frame.ids)
    try:
        names = (
            candidates(frame, ids)
            if features == AUTO
            else [part.strip() for part in features.split(JOIN)]
        )
        costs = [_extractor_cost(frame, name, ids) for name in names]
    except LabelAuditError as error:
        return Estimate(error=str(error))
    except Exception as error:  # the page shows it, and the audit would report it again
        log.exception("measuring the cost of features %r", features)
        return Estimate(error=f"the time could not be measured: {error}")
    seconds, images = zip(*costs, strict=True)
    return Estimate(dict(zip(names, seconds, strict=True)), max(images))


def _parts(features: str) -> list[str]:
    return [part.strip() for part in features.split(JOIN)]


def _extractor_cost(frame: Frame, name: str, ids: np.ndarray) -> tuple[float, int]:
    """Return (seconds, images without features) of one extractor; zeros for imported features."""
    try:
        check_extractor(name)
    except LabelAuditError:
        if name in stored_features(frame):
            return 0.0, 0
        raise
    some = np.sort(np.random.default_rng(0).permutation(ids)[:FITTED])
    examples = Examples(frame, some, stored_state(frame, name))
    cost = measure_cost(frame, open_extractor(name, examples), ids)
    return cost.seconds, cost.images
