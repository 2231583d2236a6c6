"""A run: a trained, recorded or imported model's predictions, training dynamics and scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from ..core.errors import BusyError, NotFoundError
from ..storage import schema
from ..storage.schema import BEGUN, FINISHED
from . import dynamics, edits
from .columns import Frame
from .recovery import RUN_TABLES, gone_run
from .run_checks import check_info
from .run_predictions import RunPredictions
from .run_scores import RunScores


class Run(RunPredictions, RunScores):
    """One run of a dataset. Everything it writes is keyed by sample id.

    Its tables are named by its id, which is never reused: what an earlier run of the same name
    wrote stays readable until this one is finished.
    """

    # --- finishing ---

    def weights(self) -> bytes:
        """Return the model's weights in the safetensors format.

        Raises NotFoundError for a run without a model.
        """
        blob = self._row(["weights"])["weights"] if self.has_model else None
        if blob is None:
            raise NotFoundError(f"run {self.name!r} has no model, only predictions.")
        return blob

    def fit(self) -> bytes | None:
        """Return what a first look stored of its fit; None for another run, and without it."""
        return self._row(["weights"])["weights"] if self.is_first_look else None

    def finish(self, info: dict, weights: bytes | None = None) -> Run:
        """Store the run's information and its model or fit. From now on the dataset lists it.

        info: JSON values; `classes` names the classes in the order of the logits. Earlier runs of
        the same name, finished or not, are deleted. Raises BadInputError for information without
        classes, and for classes that are not those of the dataset in order.
        """
        with self._transaction():
            text = check_info(
                self._frame, info, self._store.vector_width(self._table("predictions"), "logits")
            )
            row = self._row(["name", "created"])
            row |= {"state": FINISHED, "info": text, "weights": weights}
            replaced = [run for run in self._frame.runs if run["name"] == row["name"]]
            replaced += [
                run._row(["name", "created"])
                for run in unfinished_runs(self._frame)
                if run.name == row["name"]
            ]
            replaced = [run for run in replaced if run["id"] != self.id]
            rows = [row, *(gone_run(run) for run in replaced)]
            table = pa.Table.from_pylist(rows, schema=schema.RUNS)
            self._store.upsert("runs", table, schema.RUNS)
            for run in replaced:
                self._drop_tables(run["id"])
            dynamics.gather(self._store, self.id)
            edits.tag_predicted(self._frame, self._table("predictions"))
        for run in [self, *(Run(self._frame, run["id"]) for run in replaced)]:
            run.checkpoint.unlink(missing_ok=True)
        self._files.release()
        return self

    def set_info(self, more: dict) -> None:
        """Replace entries of a finished run's information."""
        with self._transaction():
            row = self._row(["name", "created", "state", "info", "weights"])
            row["info"] = json.dumps({**json.loads(row["info"]), **more})
            table = pa.Table.from_pylist([row], schema=schema.RUNS)
            self._store.upsert("runs", table, schema.RUNS)

    def abandon(self) -> None:
        """Delete a run that was begun and will not be finished. Its id is not used again."""
        self.checkpoint.unlink(missing_ok=True)
        with self._transaction():
            row = gone_run(self._row(["name", "created"]))
            table = pa.Table.from_pylist([row], schema=schema.RUNS)
            self._store.upsert("runs", table, schema.RUNS)
            self._drop_tables(self.id)
        self._files.release()

    def _drop_tables(self, run_id: int) -> None:
        for kind in RUN_TABLES:
            self._store.drop(schema.table(kind, run_id))

    # --- while it is trained ---

    @property
    def checkpoint(self) -> Path:
        """File of its unfinished training, on this machine only.

        No other run has this path, in any dataset or home.
        """
        return self._files.checkpoint

    @property
    def recording(self) -> Path:
        """File of its unfinished recording by a Recorder, on this machine only."""
        return self._files.recording

    @property
    def marks(self) -> dict:
        """JSON values that identify this run among all others: id, name, checkpoint."""
        return {"id": self.id, "name": self.name, "checkpoint": str(self.checkpoint)}

    @property
    def in_training(self) -> bool:
        """Whether a process on this machine trains it now."""
        return self._files.in_training

    @contextmanager
    def training(self) -> Iterator[None]:
        """Hold the right to train it, which ends when the process dies.

        Raises BusyError if another process has it.
        """
        try:
            lock = self._files.begin_training()
        except TimeoutError as error:
            raise BusyError(
                f"run {self.name!r} of dataset {self._frame.name!r} is being trained by another "
                "process: wait for it, or stop it."
            ) from error
        try:
            yield
        finally:
            self._files.end_training(lock)


def runs_in_training(frame: Frame) -> list[str]:
    """Return the names of the runs that a process on this machine trains now."""
    rows = frame.read_rows("runs", ["id", "name"], f"state = '{BEGUN}'")
    return [row["name"] for row in rows if Run(frame, row["id"]).in_training]


def unfinished_runs(frame: Frame) -> list[Run]:
    """Return the runs with an interrupted training that can resume here, oldest first."""
    rows = frame.read_rows("runs", ["id"], f"state = '{BEGUN}'")
    runs = [Run(frame, run_id) for run_id in sorted(row["id"] for row in rows)]
    return [run for run in runs if run.checkpoint.exists() and not run.in_training]
