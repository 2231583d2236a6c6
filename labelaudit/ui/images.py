"""Images of samples as data URIs, cached for all sessions."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from ..core.errors import LabelAuditError
from ..core.images import UnreadableImageError, data_uri, decode
from ..dataset.sample import Sample

THUMBNAIL = 160  # side length in pixels
LARGE = 900
FULL = 6000  # for zooming; larger images are scaled down
CACHED_BYTES = 64 << 20


@dataclass(frozen=True)
class Picture:
    uri: str | None  # None if the image cannot be read
    small: bool  # whether the browser scales it up, with crisp pixels


def pictures(source: tuple, samples: Sequence[Sample], size: int = THUMBNAIL) -> list[Picture]:
    """Return the images of the samples, scaled down to `size` pixels.

    source: identifies the dataset and when it was created.
    """
    keys = [(source, sample.id, size) for sample in samples]
    if len(samples) - sum(key in _cache for key in keys) < 2:  # starting threads takes longer
        return [*map(_cached, keys, samples)]
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(_cached, keys, samples))


def uris_at(samples: Sequence[Sample], paths: Sequence[str]) -> list[str | None]:
    """Return thumbnails of images whose files are at these paths now, as data URIs; None for one
    that cannot be read. Images that are stored in the dataset are read from there."""

    def read(sample: Sample, path: str) -> str | None:
        try:
            image = decode(path) if os.path.isfile(path) else sample.image
        except (LabelAuditError, UnreadableImageError):
            return None
        return data_uri(image, THUMBNAIL)[0]

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(read, samples, paths))


_cache: OrderedDict[tuple, Picture] = OrderedDict()
_cached_bytes = 0
_lock = Lock()


def _cached(key: tuple, sample: Sample) -> Picture:
    global _cached_bytes
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    picture = _read(sample, key[-1])
    if picture.uri is None:  # not cached, because the file may come back
        return picture
    with _lock:
        if key not in _cache:
            _cache[key] = picture
            _cached_bytes += len(picture.uri)
        while _cached_bytes > CACHED_BYTES:
            _cached_bytes -= len(_cache.popitem(last=False)[1].uri)
    return picture


def _read(sample: Sample, size: int) -> Picture:
    try:
        image = sample.reduced_image(size)
    except LabelAuditError:
        return Picture(None, False)
    return Picture(*data_uri(image, size))
