"""Predicts samples on many workers, with a pipeline of Ray Data.

Each worker loads the model once and writes predictions as files of the run's table; the driver
commits them once. If the run already has predictions, possibly of other samples, the workers send
predictions to the driver instead, which stores them as a single process does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import LabelAuditError
from ..core.progress import QUIET, Task
from ..dataset.dataset import Dataset
from ..dataset.embeddings import COLUMN
from ..dataset.run_predictions import prediction_batch
from ..dataset.stored_predictions import INDEXING, store_predictions
from ..dataset.view import View
from ..features.device import choose_device
from ..features.image_batches import Images, nothing_readable, unreadable_note
from ..learn.forward import embedding_width
from ..learn.predict import FoldPredictor, Request, request_predictions
from ..learn.saved_models import unpack_model
from ..storage import paths, schema
from ..storage.tables import Store
from .connection import (
    check_dataset_exists,
    connected,
    environment_options,
    set_up_worker,
    worker_count,
    worker_options,
)
from .coordinator import ProgressReporter, errors_reported, new_coordinator, run_watched
from .row_blocks import SampleRows, map_blocks

log = logging.getLogger(__name__)

ROWS = 2_000  # samples per block: this work is repeated if its worker is lost
LEAST_ROWS = 125  # per block, if there are few samples
BLOCKS_PER_WORKER = 4  # at least, so that no worker waits long for the last one
FRAGMENT_BYTES = 256 << 20  # of logits in a file of the table, approximately


def predict(
    target: Dataset | View,
    run: str | None = None,
    device: str = "auto",
    task: Task = QUIET,
    *,
    augment: bool = True,
) -> int:
    """Do the same as `labelaudit.predict`, on the workers of a Ray cluster."""
    with connected():
        request = request_predictions(target, run)
        if not len(request.ids):
            return 0
        return _Pipeline(request, device, augment, task).execute()


@dataclass(frozen=True)
class WorkerArguments:
    """The arguments of a worker. weights: a reference to the model's bytes, one copy per node."""

    home: str
    dataset: str
    info: dict
    weights: object
    coordinator: Any  # handle of the Coordinator actor
    device: str
    augment: bool


class Predictor:
    """A worker: loads the model once, then predicts blocks of samples."""

    def __init__(self, arguments: WorkerArguments) -> None:
        import ray

        set_up_worker(arguments.home)
        with errors_reported(arguments.coordinator):
            check_dataset_exists(arguments.dataset)
        self.arguments, self.reporter = arguments, ProgressReporter(arguments.coordinator)
        self.store = Store(arguments.dataset)
        self.device = choose_device(arguments.device)
        info = arguments.info
        self.model = unpack_model(ray.get(arguments.weights), info).to(self.device)
        self.columns = schema.predictions(len(info["classes"]), embedding_width(self.model))

    def __call__(self, block: pa.Table) -> pa.Table:
        """Return predictions for rows of `id`, `offset` and `fold`; fewer if images cannot be
        read."""
        with errors_reported(self.arguments.coordinator):
            return self._predicted(block)

    def _predicted(self, block: pa.Table) -> pa.Table:
        ids, offsets, fold = (block[name].to_numpy() for name in ("id", "offset", "fold"))
        info, augment = self.arguments.info, self.arguments.augment
        images = Images(SampleRows(self.store, ids, offsets), ids, info["image_size"])
        predictor = FoldPredictor(self.model, info, fold, images, self.device, augment)
        readable, logits, embeddings = predictor.predict(np.arange(len(ids)), self.reporter)
        self.reporter.flush(images.example)
        if not len(readable):
            return self.columns.empty_table()
        batch = prediction_batch(ids[readable], logits, embeddings, self.columns)
        return pa.Table.from_batches([batch])


class _Pipeline:
    """Predicts the samples of a request with its run."""

    def __init__(self, request: Request, device: str, augment: bool, task: Task) -> None:
        import ray

        self.request, self.run, self.task = request, request.run, task
        weights, info = self.run.weights(), self.run.info
        keys = ("config", "classes", "image_size", "shift", "mirror")
        self.info = {key: info[key] for key in keys}
        self.width = embedding_width(unpack_model(weights, self.info))
        self.options, self.coordinator = worker_options(device), new_coordinator()
        self.arguments = WorkerArguments(
            home=paths.home(),
            dataset=request.frame.name,
            info=self.info,
            weights=ray.put(weights),
            coordinator=self.coordinator,
            device=device,
            augment=augment,
        )
        self.stage = task.stage("predicting", len(request.ids), stoppable=False)

    def execute(self) -> int:
        """Return the number of samples predicted."""
        has_predictions = self.run.has_predictions()
        written = self._write_here() if has_predictions else self._write_on_workers()
        unreadable = len(self.request.ids) - written
        if unreadable:
            note = unreadable_note(unreadable, len(self.request.ids), self._example)
            log.warning("%s: they have no prediction of run %r.", note, self.run.name)
        return written

    def _nothing_readable(self) -> LabelAuditError:
        return nothing_readable(len(self.request.ids), self._example)

    @property
    def _example(self) -> str:
        import ray

        return ray.get(self.coordinator.state.remote())[1]

    def _write_on_workers(self) -> int:
        import lance
        from lance_ray.datasink import LanceDatasink

        store, table = self.request.frame.store, schema.table("predictions", self.run.id)
        version = lance.dataset(store.location("samples")[0]).data_storage_version
        rows = max(FRAGMENT_BYTES // (4 * (len(self.info["classes"]) + self.width)), ROWS)
        with self.run.external_predictions(self.width) as (staging, columns):
            sink = LanceDatasink(
                staging.uri,
                schema=columns,
                mode="create",
                min_rows_per_file=rows,
                data_storage_version=version,
            )
            # no cores for writing: the predicting workers use all
            options = {"num_cpus": 0, **environment_options()}
            self._run(lambda: self._predicted().write_datasink(sink, ray_remote_args=options))
            if not staging.count():
                raise self._nothing_readable()
        self.task.announce(INDEXING)
        self.run.index_embeddings()
        return store.count(table)

    def _write_here(self) -> int:
        return self._run(lambda: store_predictions(self.run, self._batches(), self.task))

    def _batches(self) -> Iterator[tuple[np.ndarray, ...]]:
        classes, is_empty = len(self.info["classes"]), True
        found = self._predicted().iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=1
        )
        for table in found:
            if len(table):
                is_empty = False
                yield (
                    table["id"].to_numpy(),
                    _numbers(table, "logits", classes),
                    _numbers(table, COLUMN, self.width),
                )
        if is_empty:
            raise self._nothing_readable()

    def _predicted(self):
        """Return the pipeline, in the order of ids."""
        import ray.data

        ids, frame = self.request.ids, self.request.frame
        offsets = frame.offsets("samples", frame.positions(ids))
        fold = self.run.folds(ids)
        rows = len(ids) // (BLOCKS_PER_WORKER * worker_count())
        rows = int(np.clip(rows, LEAST_ROWS, ROWS))
        pool = ray.data.ActorPoolStrategy(size=min(worker_count(), -(-len(ids) // rows)))
        return map_blocks(
            {"id": ids, "offset": offsets, "fold": fold},
            rows,
            Predictor,
            fn_constructor_args=(self.arguments,),
            compute=pool,
            **self.options,
        )

    def _run(self, work: Callable):
        def on_progress(done: int, _) -> None:
            # blocks of lost workers are counted twice
            self.stage.done = min(done, len(self.request.ids))
            self.stage.advance(0)

        return run_watched(work, self.coordinator, on_progress, self.task, "predicting")


def _numbers(table: pa.Table, column: str, width: int) -> np.ndarray:
    return table[column].combine_chunks().flatten().to_numpy().reshape(-1, width)
