"""Extracts features on many workers, with a pipeline of Ray Data; the driver stores them.

Each worker opens the extractor once. `features.extraction.extract` decides what is missing and
stores what arrives, as on a single machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import DamagedError
from ..core.progress import Task
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..features.extraction import compute_here
from ..features.extractors import Examples, Extractor, open_extractor
from ..features.image_batches import Images
from ..storage import paths, schema
from ..storage.tables import Store
from .connection import (
    check_dataset_exists,
    connected,
    set_up_worker,
    worker_count,
    worker_options,
)
from .coordinator import ProgressReporter, errors_reported, new_coordinator, run_watched
from .row_blocks import SampleRows, map_blocks

ROWS = 512  # samples per block: this work is repeated if its worker is lost
BATCH = 64  # images decoded at once


@dataclass(frozen=True)
class WorkerArguments:
    """The arguments of a worker. name, version, side and state: of the driver's extractor."""

    home: str
    dataset: str
    name: str
    version: str
    side: int
    state: bytes | None
    coordinator: Any  # handle of the Coordinator actor


class FeatureWorker:
    """A worker: opens the extractor once, then computes blocks of samples."""

    def __init__(self, arguments: WorkerArguments) -> None:
        set_up_worker(arguments.home)
        self.coordinator = arguments.coordinator
        self.reporter = ProgressReporter(arguments.coordinator)
        with errors_reported(self.coordinator):
            check_dataset_exists(arguments.dataset)
            frame = Dataset(arguments.dataset).view().frame
            self.store, self.extractor = frame.store, open_same(frame, arguments)

    def __call__(self, block: pa.Table) -> pa.Table:
        """Return features for rows of `id` and `offset`; fewer if images cannot be read."""
        with errors_reported(self.coordinator):
            found, example = features_of_block(self.store, self.extractor, block, self.reporter)
            self.reporter.flush(example)
            return found


def open_same(frame: Frame, arguments: WorkerArguments) -> Extractor:
    """Open the driver's extractor on a worker. Raises DamagedError if it has other weights here."""
    examples = Examples(frame, np.empty(0, np.int64), arguments.state)
    examples.side = arguments.side
    extractor = open_extractor(arguments.name, examples)
    if extractor.version != arguments.version:
        raise DamagedError(
            f"a node of the Ray cluster has other weights of {arguments.name} "
            f"({extractor.version}) than this machine ({arguments.version}): install the same "
            "packages on all nodes."
        )
    return extractor


def features_of_block(
    store: Store,
    extractor: Extractor,
    block: pa.Table,
    report: Callable[[int], None] = lambda _: None,
) -> tuple[pa.Table, str]:
    """Return a table of `id` and `features` for rows of `id` and `offset`, and an image that could
    not be read. report: called with the number of images of each batch."""
    ids, offsets = block["id"].to_numpy(), block["offset"].to_numpy()
    images = Images(SampleRows(store, ids, offsets), ids, extractor.size)
    places, parts = [np.empty(0, np.int64)], [np.empty((0, extractor.width), np.float16)]
    for some, pixels in images.batches(np.arange(len(ids)), BATCH):
        places.append(some)
        parts.append(extractor.of(pixels).astype(np.float16))
        report(len(some))
    values = pa.array(np.concatenate(parts).reshape(-1))
    vectors = pa.FixedSizeListArray.from_arrays(values, extractor.width)
    columns = [pa.array(ids[np.concatenate(places)], pa.int64()), vectors]
    return pa.table(columns, schema=schema.features(extractor.width)), images.example


def compute_features(
    frame: Frame,
    extractor: Extractor,
    ids: np.ndarray,
    add: Callable[[np.ndarray, np.ndarray], None],
    task: Task,
) -> str:
    """Do the same as `features.extraction.compute_here`, on the workers of a Ray cluster.

    So few images that they fit one block are computed here.
    """
    if len(ids) <= ROWS:
        return compute_here(frame, extractor, ids, add, task)
    import ray.data

    with connected():
        coordinator, workers = new_coordinator(), worker_count()
        arguments = WorkerArguments(
            home=paths.home(),
            dataset=frame.name,
            name=extractor.name,
            version=extractor.version,
            side=extractor.side,
            state=extractor.state,
            coordinator=coordinator,
        )
        blocks = map_blocks(
            {"id": ids, "offset": frame.offsets("samples", frame.positions(ids))},
            ROWS,
            FeatureWorker,
            fn_constructor_args=(arguments,),
            compute=ray.data.ActorPoolStrategy(size=min(workers, -(-len(ids) // ROWS))),
            **worker_options(),
        )

        def collect() -> None:
            found = blocks.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
            for table in found:
                values = table["features"].combine_chunks().flatten()
                numbers = values.to_numpy(zero_copy_only=False).reshape(-1, extractor.width)
                add(table["id"].to_numpy(), numbers)

        run_watched(collect, coordinator, lambda done, report: None, task, "extracting features")
        return ray.get(coordinator.state.remote())[1]
