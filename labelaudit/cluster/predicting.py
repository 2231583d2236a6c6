"""Predictions by many workers: a pipeline of Ray Data over where the samples lie.

Each worker holds the model and writes what it predicts as files of the run's table; the driver
commits them once. Where the run has predictions already (some of them may be to be kept) they are
streamed to the driver instead, which puts them into effect as a process alone does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
from ..features.image_batches import Images, left_out, nothing_readable
from ..learn.compute import embedding_width
from ..learn.predict import Asked, Looked, ask
from ..learn.saved_models import model_of
from ..storage import paths, schema
from ..storage.tables import Store
from .message_board import Teller, new_board, telling, watched
from .row_blocks import Rows, over_blocks
from .start import begin_worker, check_seen, connected, needs, settings, workers

log = logging.getLogger(__name__)

ROWS = 2_000  # samples that a worker takes at a time: what is done again when it is lost
LEAST_ROWS = 125  # … at least, where there are few samples
BLOCKS_A_WORKER = 4  # at least, so that none waits long for the last
FRAGMENT_BYTES = 256 << 20  # of logits in a file of the table, about


def predict(
    target: Dataset | View,
    run: str | None = None,
    device: str = "auto",
    task: Task = QUIET,
    *,
    augment: bool = True,
) -> int:
    """`labelaudit.predict` by the workers of a Ray cluster, with the same outcome."""
    with connected():
        asked = ask(target, run)
        if not len(asked.ids):
            return 0
        return _Pipeline(asked, device, augment, task).run()


@dataclass(frozen=True)
class Given:
    """What a worker is told. weights: a reference to the model's bytes, one copy a node."""

    paths: str
    dataset: str
    info: dict
    weights: object
    board: object
    device: str
    augment: bool


class Predictor:
    """A worker: the model once, then blocks of samples."""

    def __init__(self, given: Given) -> None:
        import ray

        begin_worker(given.home)
        with telling(given.board):
            check_seen(given.dataset)
        self.given, self.teller = given, Teller(given.board)
        self.store = Store(given.dataset)
        self.device = choose_device(given.device)
        self.model = model_of(ray.get(given.weights), given.info).to(self.device)
        self.columns = schema.predictions(len(given.info["classes"]), embedding_width(self.model))

    def __call__(self, block: pa.Table) -> pa.Table:
        """Rows of `id`, `offset` and `fold` to rows of predictions; fewer, where images cannot be
        read."""
        with telling(self.given.board):
            return self._predicted(block)

    def _predicted(self, block: pa.Table) -> pa.Table:
        ids, offsets, fold = (block[name].to_numpy() for name in ("id", "offset", "fold"))
        info = self.given.info
        images = Images(Rows(self.store, ids, offsets), ids, info["image_size"])
        looked = Looked(self.model, info, fold, images, self.device, self.given.augment)
        seen, *said = looked.at(np.arange(len(ids)), self.teller)
        self.teller.now(images.example)
        if not len(seen):
            return self.columns.empty_table()
        return pa.Table.from_batches([prediction_batch(ids[seen], *said, self.columns)])


class _Pipeline:
    def __init__(self, asked: Asked, device: str, augment: bool, task) -> None:
        import ray

        self.asked, self.kept, self.task = asked, asked.run, task
        weights = self.kept.weights()
        self.info = {
            key: self.kept.info[key]
            for key in ("config", "classes", "image_size", "shift", "mirror")
        }
        self.width = embedding_width(model_of(weights, self.info))
        self.needs, self.board = needs(device), new_board()
        self.given = Given(
            paths.home(), asked.frame.name, self.info, ray.put(weights), self.board, device,
            augment,
        )  # fmt: skip
        self.meter = task.stage("predicting", len(asked.ids), stoppable=False)

    def run(self) -> int:
        written = self._streamed() if self.kept.has_predictions() else self._written_by_workers()
        lost = len(self.asked.ids) - written
        if lost:
            note = left_out(lost, len(self.asked.ids), self._example)
            log.warning("%s: they have no prediction of run %r.", note, self.kept.name)
        return written

    def _nothing_readable(self) -> LabelAuditError:
        return nothing_readable(len(self.asked.ids), self._example)

    @property
    def _example(self) -> str:
        import ray

        return ray.get(self.board.look.remote())[1]

    def _written_by_workers(self) -> int:
        import lance
        from lance_ray.datasink import LanceDatasink

        store, table = self.asked.frame.store, schema.table("predictions", self.kept.id)
        like = lance.dataset(store.location("samples")[0]).data_storage_version
        rows = max(FRAGMENT_BYTES // (4 * (len(self.info["classes"]) + self.width)), ROWS)
        with self.kept.external_predictions(self.width) as (uri, columns):
            sink = LanceDatasink(
                uri, schema=columns, mode="create", min_rows_per_file=rows,
                data_storage_version=like,
            )  # fmt: skip
            # no cores of their own: the predicting workers have them all
            wanting = {"num_cpus": 0, **settings()}
            self._watched(lambda: self._predicted().write_datasink(sink, ray_remote_args=wanting))
            store.refresh()
            if not store.count(table):
                store.drop(table)
                raise self._nothing_readable()
        self.task.announce(INDEXING)
        self.kept.index_embeddings()
        return store.count(table)

    def _streamed(self) -> int:
        return self._watched(lambda: store_predictions(self.kept, self._batches(), self.task))

    def _batches(self) -> Iterator[tuple[np.ndarray, ...]]:
        classes, some = len(self.info["classes"]), False
        found = self._predicted().iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=1
        )
        for table in found:
            if len(table):
                some = True
                yield (
                    table["id"].to_numpy(),
                    _numbers(table, "logits", classes),
                    _numbers(table, COLUMN, self.width),
                )
        if not some:
            raise self._nothing_readable()

    def _predicted(self):
        """The pipeline, in the order of ids."""
        import ray.data

        ids, frame = self.asked.ids, self.asked.frame
        offsets = frame.offsets("samples", frame.positions(ids))
        fold = self.kept.folds(ids)
        rows = len(ids) // (BLOCKS_A_WORKER * workers())
        rows = int(np.clip(rows, LEAST_ROWS, ROWS))
        pool = ray.data.ActorPoolStrategy(size=min(workers(), -(-len(ids) // rows)))
        return over_blocks(
            {"id": ids, "offset": offsets, "fold": fold}, rows, Predictor,
            fn_constructor_args=(self.given,), compute=pool, **self.needs,
        )  # fmt: skip

    def _watched(self, work: Callable):
        def heard(done: int, _) -> None:
            self.meter.done = min(done, len(self.asked.ids))  # what was lost is done twice
            self.meter.advance(0)

        return watched(work, self.board, heard, self.task, "predicting")


def _numbers(table: pa.Table, column: str, width: int) -> np.ndarray:
    return table[column].combine_chunks().flatten().to_numpy().reshape(-1, width)
