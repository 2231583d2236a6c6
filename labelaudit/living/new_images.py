"""Opens the images that are new in a source, by the code that loads datasets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from ..core.progress import Task
from ..sources.file_states import FileStates
from .reading import SourceNow


@dataclass(frozen=True)
class NewImages:
    """New images that can be read: rows for `Dataset.add_samples`, and their files, in the same
    order. scales: of grey images with more than 8 bits; see `core.deep_grey`."""

    batches: list[pa.RecordBatch]
    files: FileStates


def read_new(now: SourceNow, places: np.ndarray, task: Task) -> NewImages:
    """Open these rows of a source, int64 (m,). Broken images are left out and reported in
    `now.source.skipped`. Raises StoppedError if the task is stopped."""
    files = FileStates()
    if not len(places):
        return NewImages([], files)
    places = np.sort(places)
    part = replace(
        now.source,
        rows=lambda: now.rows(places),
        total=len(places),
        load=None,
        prefetch=None,
        files=files,
    )
    return NewImages(list(part.read(task)), files)
