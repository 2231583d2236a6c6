"""Samples' images as data URIs, in a cache that all sessions share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from ..core.errors import LabelAuditError
from ..core.images import data_uri
from ..dataset.sample import Sample

THUMBNAIL = 160  # pixels a side
LARGE = 900
CACHED_BYTES = 64 << 20


@dataclass(frozen=True)
class Picture:
    uri: str | None  # None: the image cannot be read
    small: bool  # scaled up with crisp pixels


def pictures(made: tuple, samples: Sequence[Sample], size: int = THUMBNAIL) -> list[Picture]:
    """The images of these samples, none larger than `size` a side.

    made: names the dataset, and tells one apart that was made again under its name.
    """
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda sample: _cached((made, sample.id, size), sample), samples))


_cache: OrderedDict[tuple, Picture] = OrderedDict()
_held = 0
_lock = Lock()


def _cached(key: tuple, sample: Sample) -> Picture:
    global _held
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    picture = _read(sample, key[-1])
    if picture.uri is None:  # the file may be put back
        return picture
    with _lock:
        if key not in _cache:
            _cache[key] = picture
            _held += len(picture.uri)
        while _held > CACHED_BYTES:
            _held -= len(_cache.popitem(last=False)[1].uri)
    return picture


def _read(sample: Sample, size: int) -> Picture:
    try:
        image = sample.image
    except LabelAuditError:
        return Picture(None, False)
    return Picture(*data_uri(image, size))
