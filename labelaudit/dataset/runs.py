"""What is kept of a run: its model, predictions, training dynamics and scores."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from ..core.errors import LabelAuditError
from ..scores import SCORES
from ..scores.probability import probabilities
from ..storage import paths, schema
from ..storage.locks import hold, left_behind, let_go
from . import dynamics, edits, embeddings, recovery
from .columns import BEGUN, BROUGHT, FINISHED, FIRST_LOOK, GONE, MISSING, Frame, as_ids, find
from .dynamics import Dynamics
from .recovery import gone_run

LOGIT_BATCH_BYTES = 64 << 20
LARGEST_HALF = float(np.finfo(np.float16).max)
ASKING_SECONDS = 0.5  # who asks whether a lock is held has hold of it for less

_held: dict[Path, int] = {}  # runs that this process has begun and not finished


class Run:
    """One trained (or imported) model of a dataset. Everything it writes is keyed by sample id.

    Its tables bear its id, which is never reused: what an earlier run of the same name wrote stays
    readable until this one is finished.
    """

    def __init__(self, frame: Frame, run_id: int) -> None:
        self._frame, self._store, self.id = frame, frame.store, run_id
        self._made = frame.meta["created"]

    def __repr__(self) -> str:
        return f"Run({self.name!r} of {self._store.name!r})"

    @property
    def info(self) -> dict:
        """What was written at the end of training: name, classes, config, accuracy, curves …

        Raises LabelAuditError for a run that is not finished, or was replaced.
        """
        for run in self._frame.runs:
            if run["id"] == self.id:
                return run
        raise LabelAuditError(
            f"run {self.id} of dataset {self._store.name!r} is not finished, or was replaced."
        )

    @property
    def name(self) -> str:
        """Its name, unique among the dataset's finished runs."""
        return self._row(["name"])["name"]

    @property
    def classes(self) -> list[str]:
        """Class names in the order of its logits."""
        return self.info["classes"]

    @property
    def is_first_look(self) -> bool:
        """Whether it was made without training, and has no model."""
        return FIRST_LOOK in self.info

    @property
    def is_brought(self) -> bool:
        """Whether its predictions were brought from elsewhere: it has no model here."""
        return BROUGHT in self.info

    @property
    def has_model(self) -> bool:
        """Whether it was trained here, so that its model can predict."""
        return "config" in self.info

    def weights(self) -> bytes:
        """The model's weights in the safetensors format. Raises LabelAuditError for a run without a
        model."""
        blob = self._row(["weights"])["weights"]
        if blob is None:
            raise LabelAuditError(f"run {self.name!r} has no model: only its predictions are kept.")
        return blob

    def finish(self, info: dict, weights: bytes | None = None) -> Run:
        """Write what the run says of itself, and its model. From now on it counts; an earlier run
        of the same name is deleted, also one whose training was cut short."""
        with self._writing():
            row = self._row(["name", "created"])
            row |= {"state": FINISHED, "info": json.dumps(info), "weights": weights}
            others = [
                run for run in self._frame.runs
                if run["name"] == row["name"] and run["id"] != self.id
            ]  # fmt: skip
            others += [
                run._row(["name", "created"])
                for run in unfinished_runs(self._frame)
                if run.name == row["name"] and run.id != self.id
            ]
            gone = [gone_run(run) for run in others]
            table = pa.Table.from_pylist([row, *gone], schema=schema.RUNS)
            self._store.upsert("runs", table, schema.RUNS)  # one commit: the name has one run
            for run in others:
                self._drop_tables(run["id"])
                Run(self._frame, run["id"]).checkpoint.unlink(missing_ok=True)
        self.checkpoint.unlink(missing_ok=True)
        self._let_go()
        edits.settle_predictions(self._frame)
        return self

    def abandon(self) -> None:
        """Take back a run that was begun and will not be finished. Its id is not used again."""
        self.checkpoint.unlink(missing_ok=True)
        with self._writing():
            row = gone_run(self._row(["name", "created"]))
            gone = pa.Table.from_pylist([row], schema=schema.RUNS)
            self._store.upsert("runs", gone, schema.RUNS)
            self._drop_tables(self.id)
        self._let_go()

    def _hold(self) -> None:
        """As long as this process lives, nobody takes the run for left behind."""
        self._begun.parent.mkdir(parents=True, exist_ok=True)
        _held[self._begun] = hold(self._begun)

    def _let_go(self) -> None:
        if self._begun in _held:
            let_go(self._begun, _held.pop(self._begun))
        with left_behind(self._begun):  # by the process that began it, where another finished it
            pass

    @property
    def _begun(self) -> Path:
        return self.checkpoint.with_suffix(".begun")

    def _drop_tables(self, run_id: int) -> None:
        for kind in ("predictions", "dynamics", "scores"):
            self._store.drop(schema.table(kind, run_id))

    # --- while it is trained ---

    @property
    def state(self) -> str:
        """frame.BEGUN, FINISHED (it counts) or GONE (taken back, or replaced)."""
        return self._row(["state"])["state"]

    @property
    def checkpoint(self) -> Path:
        """Where its training is kept while it is not finished, on this machine only.

        Neither another home, nor a dataset made anew under the name, nor another run has this path.
        """
        return paths.checkpoints(self._store.name) / f"{_prefix(self._made)}{self.id}.safetensors"

    @property
    def recording(self) -> Path:
        """Where a Recorder keeps what it has while the run is not finished, on this machine."""
        return self.checkpoint.with_suffix(".recording")

    @property
    def marks(self) -> dict:
        """What tells this run from every other, as JSON values: id, name, checkpoint."""
        return {"id": self.id, "name": self.name, "checkpoint": str(self.checkpoint)}

    @property
    def in_training(self) -> bool:
        """Whether a process on this machine trains it now."""
        return paths.is_held(self._training_lock)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Hold the right to train it: the operating system takes it from a process that dies."""
        self._training_lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._training_lock, timeout=ASKING_SECONDS):
                try:
                    yield
                finally:
                    with suppress(OSError):
                        self._training_lock.unlink()
        except Timeout as error:
            raise LabelAuditError(
                f"run {self.name!r} of dataset {self._store.name!r} is being trained by another "
                "process: wait for it, or stop it."
            ) from error

    @property
    def _training_lock(self) -> Path:
        return self.checkpoint.with_suffix(".lock")

    # --- predictions ---

    def write_predictions(
        self, batches: Iterable[tuple[np.ndarray, ...]], classes: int | None = None
    ) -> int:
        """Store (ids, logits float32 (n, C)) or (ids, logits, embeddings float (n, D)) as they
        come; ids predicted before are replaced.

        classes: C, of a run that is not finished yet and has not said it.
        One commit: an error on the way leaves what was there. Once the run is finished, the samples
        get the tag `processed`. Embeddings are kept in half
        precision. Returns how many were written.
        Raises LabelAuditError for shapes that do not fit the classes or the embeddings stored, and
        for a number that is not finite.
        """
        table = self._table("predictions")
        # Without the dataset's lock, which would be held as long as the model takes: only this
        # run writes to this table.
        self._check_dataset()
        batches = iter(batches)
        first = next(batches, None)
        edits.announce_predictions(self._frame, table)
        width = self._embedding_width(first)
        columns = schema.predictions(classes or len(self.classes), width)
        written = 0

        def rows() -> Iterator[pa.RecordBatch]:
            nonlocal written
            for ids, logits, *rest in chain([] if first is None else [first], batches):
                written += len(ids)
                yield prediction_batch(ids, logits, rest[0] if rest else None, columns)

        if self._store.exists(table):
            if width and self._store.vector_width(table, embeddings.COLUMN) is None:
                self._store.add_column(table, schema.embedding(width))
            self._store.upsert(table, rows(), columns)
        else:
            self._store.overwrite(table, rows(), columns)
        self._settle_predictions(table)
        return written

    @contextmanager
    def predicted_elsewhere(self, width: int) -> Iterator[tuple[str, pa.Schema]]:
        """For a finished run without predictions: within it others write all of them, as files of a
        table at this URI with this schema, and commit them once. width: of the embeddings."""
        table = self._table("predictions")
        self._check_dataset()
        edits.announce_predictions(self._frame, table)
        with self._store.made_elsewhere(table, schema.predictions(len(self.classes), width)) as it:
            yield it
        self._settle_predictions(table)

    def _settle_predictions(self, table: str) -> None:
        try:
            self._check_dataset()
            if self.state == GONE:
                _ = self.info  # says so
        except LabelAuditError:  # replaced while the model predicted: nobody would read these
            self._store.drop(table)
            raise
        edits.settle_predictions(self._frame)

    def _embedding_width(self, batch: tuple[np.ndarray, ...] | None) -> int | None:
        """Of what is written from now on: that of the stored embeddings, or of the first batch."""
        stored = self._store.vector_width(self._table("predictions"), embeddings.COLUMN)
        if batch is None or len(batch) < 3:
            return stored
        width = batch[2].shape[-1]
        if stored not in (None, width):
            raise LabelAuditError(
                f"embeddings of {width} numbers were given for run {self.name!r}, which keeps "
                f"{stored} of each sample: write them to a new run."
            )
        return width

    def has_predictions(self) -> bool:
        """Whether something was predicted by it."""
        return self._store.exists(self._table("predictions"))

    def logits_location(self) -> tuple[str, int]:
        """Where its predictions lie: a URI, and the version now."""
        return self._store.location(self._table("predictions"))

    def predicted_ids(self) -> np.ndarray:
        """Ids of the stored predictions, int64 (n,), in stored order; empty where there is none."""
        rows = self._store.read(self._table("predictions"), ["id"])
        return np.empty(0, np.int64) if rows is None else rows["id"].to_numpy()

    def logits(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All stored predictions as (ids, logits float32 (n, C)), streamed."""
        classes = len(self.classes)
        rows = max(LOGIT_BATCH_BYTES // (4 * classes), 1)
        for batch in self._store.batches(self._table("predictions"), ["id", "logits"], rows):
            logits = batch["logits"].flatten().to_numpy().reshape(-1, classes)
            yield batch["id"].to_numpy(), logits

    # --- embeddings ---

    def has_embeddings(self) -> bool:
        """Whether some prediction has one; those made by earlier versions have none."""
        return self._store.vector_width(self._table("predictions"), embeddings.COLUMN) is not None

    def embeddings(self, ids: Sequence[int] | np.ndarray) -> np.ndarray | None:
        """Embeddings of a few ids, float16 (n, D): what the model's last layer sees of them, the
        mean over the copies that were looked at. NaN for a sample without one; None for a run
        without any. Raises LabelAuditError for an id that does not exist."""
        with self._store.steady():
            return embeddings.read_some(self._frame, self._table("predictions"), as_ids(ids))

    def all_embeddings(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Ids, int64 (n,), and embeddings, float16 (n, D), of all samples that have one; None for
        a run without any. They are read into memory: 2 bytes a number."""
        return embeddings.read_all(self._frame, self._table("predictions"))

    def neighbours(
        self, ids: Sequence[int] | np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The k other samples that look most like each of these to the model.

        Returns their ids, int64 (n, k), and cosine similarities of the embeddings, float32 (n, k),
        -1 to 1, best first; padded with -1 and NaN where there are fewer. None for a run without
        embeddings. Exact to 50,000 samples; of a million 997 in 1,000 are the nearest. Raises
        LabelAuditError for an id that does not exist.
        """
        with self._store.steady():
            return embeddings.neighbours(self._frame, self._table("predictions"), as_ids(ids), k)

    def index_embeddings(self) -> bool:
        """Make `neighbours` fast at many samples; call it when predictions are written. Returns
        whether there was something to do."""
        table = self._table("predictions")
        return self.has_embeddings() and self._store.index_vectors(table, embeddings.COLUMN)

    # --- training dynamics ---

    def append_dynamics(
        self, epoch: int | np.ndarray, ids: np.ndarray, labels: np.ndarray, *measures: np.ndarray,
        fold: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Store one epoch of these samples, or several in one commit: then epoch is int (n,), never
        falling. float32 (n,) each: margin and p(label) of a model that learned the sample, and
        where there is one of a model that did not. NaN is left out.

        labels: int (n,), the given classes that they are about. fold: int (n,), whose model did not
        learn the sample.
        """
        with self._writing():
            table = self._table("dynamics")
            dynamics.append(self._store, table, epoch, ids, labels, measures, fold)

    def folds(self, ids: np.ndarray) -> np.ndarray:
        """Which fold's model did not learn each of these sorted ids, int8 (n,); HELD_OUT where none
        learned it, EVERYONES where all did."""
        return dynamics.folds(self._store, self._table("dynamics"), ids)

    def forget_dynamics_after(self, epoch: int) -> None:
        """Delete what was recorded of the epochs after this one."""
        with self._writing():
            self._store.delete(self._table("dynamics"), f"epoch > {int(epoch)}")

    def settle_dynamics(self, ids: np.ndarray, labels: np.ndarray, learned: np.ndarray) -> None:
        """Bring epochs of different samples to blocks of the same ones, int (n,) each: see
        `dynamics.settle`."""
        with self._writing():
            dynamics.settle(self._store, self._table("dynamics"), ids, labels, learned)

    def dynamics(self, ids: np.ndarray) -> Dynamics | None:
        """What was recorded of these sorted ids, int64 (n,); None for a run without dynamics.

        It reads all that was recorded: for a few samples `dynamics_of` is faster.
        """
        return dynamics.read(self._store, self._table("dynamics"), ids)

    def dynamics_of(self, ids: Sequence[int] | np.ndarray) -> Dynamics | None:
        """What was recorded of a few ids, (n,), in their order; None for a run without dynamics."""
        with self._store.steady():
            return dynamics.read_some(self._frame, self._table("dynamics"), as_ids(ids))

    def class_curves(self) -> np.ndarray | None:
        """Median p(label) of the samples given each class, after each epoch: float32 (epochs, C),
        NaN for a class without samples. None for a run that did not record it."""
        curves = self.info.get("class_curves")
        return None if curves is None else np.array(curves, np.float32)

    def learned_labels(self, ids: np.ndarray) -> np.ndarray:
        """Classes, int32 (n,), that these sorted ids had in training; MISSING for others."""
        labels = np.full(len(ids), MISSING, np.int32)
        rows = self._store.read(self._table("dynamics"), ["id", "label"], "epoch = 1")
        if rows is not None:
            places, known = find(ids, rows["id"].to_numpy())
            labels[places[known]] = rows["label"].to_numpy()[known]
        return labels

    # --- scores ---

    def score_names(self) -> list[str]:
        """Return the computed scores. Those that are no longer registered are left out."""
        return [name for name in self._stored_scores() if name in SCORES]

    def _stored_scores(self) -> list[str]:
        columns = self._store.columns(self._table("scores"))
        return [name for name in columns if name not in schema.NO_SCORES]

    def write_scores(
        self, ids: np.ndarray, labels: np.ndarray, scores: dict[str, np.ndarray],
        suggestions: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        """Store scores, float64 (n,), of these ids; NaN means none. Other scores are kept.

        labels: int (n,), the given classes that they judge. suggestions: the most probable true
        class other than that, int (n,), MISSING for none, and its probability, float64 (n,); None
        keeps those that are stored.
        """
        columns = {name: pa.array(v, pa.float64(), from_pandas=True) for name, v in scores.items()}
        with self._writing():
            for name in self._stored_scores():
                if name not in scores:
                    columns[name] = self._kept(name, ids, labels)
            if suggestions is None:
                suggestions = (
                    self._kept("suggested", ids, labels),
                    self._kept("suggested_p", ids, labels),
                )
            else:
                code, p = suggestions
                suggestions = (
                    pa.array(code, pa.int32(), mask=code == MISSING),
                    pa.array(p, pa.float64(), from_pandas=True),
                )
            order = schema.scores(list(columns))
            label = pa.array(labels, pa.int32(), mask=labels == MISSING)
            learned = self.learned_labels(ids)
            learned = pa.array(learned, pa.int32(), mask=learned == MISSING)
            fixed = [pa.array(ids, pa.int64()), label, learned, *suggestions]
            rows = pa.table([*fixed, *columns.values()], schema=order)
            self._store.overwrite(self._table("scores"), rows, order)

    def _kept(self, name: str, ids: np.ndarray, labels: np.ndarray) -> pa.Array:
        """A column computed before, of these ids; null where it judged another label."""
        kind = schema.scores([] if name in schema.NO_SCORES else [name]).field(name).type
        if name not in self._store.columns(self._table("scores")):
            return pa.nulls(len(ids), kind)
        rows = self._store.read(self._table("scores"), ["id", "label", name])
        places, known = find(ids, rows["id"].to_numpy())
        judged = rows["label"].fill_null(MISSING).to_numpy()
        same = known & (judged == labels[places])
        row = np.full(len(ids), -1)
        row[places[same]] = np.flatnonzero(same)
        return rows[name].combine_chunks().take(pa.array(row, mask=row < 0))

    # --- inside ---

    def _table(self, kind: str) -> str:
        return schema.table(kind, self.id)

    def _row(self, columns: list[str]) -> dict:
        rows = self._store.read("runs", ["id", *columns])
        found = rows["id"].to_pylist().index(self.id)
        return rows.slice(found, 1).to_pylist()[0]

    def _writing(self):
        self._check_dataset()
        return self._store.writing()

    def _check_dataset(self) -> None:
        """A dataset deleted or replaced meanwhile must not get this run's rows."""
        if self._frame.meta["created"] != self._made:
            raise LabelAuditError(
                f"dataset {self._store.name!r} was replaced while the run was under way: run again."
            )


def begin_run(frame: Frame, name: str | None = None) -> Run:
    """A run to write to: under `name`, or the first of `run-1`, `run-2` … that is free."""
    if name is not None:
        paths.check_name(name, "run")
    with frame.store.writing():
        recovery.clear_runs(frame, _prefix(frame.meta["created"]))
        rows = frame.store.read("runs", ["id", "name", "state"])
        known = [] if rows is None else rows.to_pylist()
        taken = {row["name"] for row in known if row["state"] != GONE}
        if name is None:
            name = next(n for i in range(1, len(known) + 2) if (n := f"run-{i}") not in taken)
        row = {
            "id": max((row["id"] for row in known), default=0) + 1,
            "name": name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "state": BEGUN,
            "info": "{}",
            "weights": None,
        }
        run = Run(frame, row["id"])
        run._hold()  # first: a run that is not held may be cleared away
        table = pa.Table.from_pylist([row], schema=schema.RUNS)
        frame.store.upsert("runs", table, schema.RUNS)
    return run


def unfinished_runs(frame: Frame) -> list[Run]:
    """Runs whose training was cut short and can go on on this machine, oldest first."""
    rows = frame.store.read("runs", ["id"], f"state = '{BEGUN}'")
    runs = [] if rows is None else [Run(frame, run_id) for run_id in sorted(rows["id"].to_pylist())]
    return [run for run in runs if run.checkpoint.exists() and not run.in_training]


def find_run(frame: Frame, marks: Mapping) -> Run | None:
    """The run, begun or finished, that had these `Run.marks`; None where it is not there."""
    rows = frame.store.read("runs", ["id"], f"state != '{GONE}'")
    run = Run(frame, marks["id"])
    known = rows is not None and run.id in rows["id"].to_pylist()
    return run if known and str(run.checkpoint) == marks["checkpoint"] else None


def refuse_second_training(frame: Frame, name: str) -> None:
    """Raises LabelAuditError where a process on this machine trains a run of this name."""
    rows = frame.store.read("runs", ["id", "name"], f"state = '{BEGUN}'")
    for row in [] if rows is None else rows.to_pylist():
        if row["name"] == name and Run(frame, row["id"]).in_training:
            raise LabelAuditError(
                f"run {name!r} of dataset {frame.store.name!r} is being trained already: wait for "
                "it, stop it, or give this one another name."
            )


def _prefix(made: str) -> str:
    """What the names of files beside a dataset that was made then begin with."""
    return re.sub(r"\D", "", made) + "-"


def prediction_batch(
    ids: np.ndarray, logits: np.ndarray, vectors: np.ndarray | None, columns: pa.Schema
) -> pa.RecordBatch:
    """Rows of a predictions table, see `Run.write_predictions`. columns: its schema."""
    classes = columns.field("logits").type.list_size
    logits = _checked(ids, logits, classes, "logits", "classes")
    p = probabilities(logits)
    label = p.argmax(axis=1)
    arrays = [
        pa.array(ids, pa.int64()),
        pa.array(label, pa.int32()),
        pa.array(p[np.arange(len(p)), label], pa.float32()),
        pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1)), classes),
    ]
    if embeddings.COLUMN in columns.names:
        kind = columns.field(embeddings.COLUMN).type
        if vectors is None:
            arrays.append(pa.nulls(len(ids), kind))
        else:
            vectors = _checked(ids, vectors, kind.list_size, "embeddings", "numbers each")
            half = np.clip(vectors, -LARGEST_HALF, LARGEST_HALF).astype(np.float16)
            values = pa.array(half.reshape(-1))
            arrays.append(pa.FixedSizeListArray.from_arrays(values, kind.list_size))
    return pa.record_batch(arrays, schema=columns)


def _checked(ids: np.ndarray, values: np.ndarray, width: int, what: str, unit: str) -> np.ndarray:
    """What a model said of each sample, as float32 (n, width); an error if it is not that."""
    values = np.ascontiguousarray(values, np.float32)
    if values.shape != (len(ids), width):
        raise LabelAuditError(
            f"{what} of shape {values.shape} were given for {len(ids)} samples and {width} "
            f"{unit}: they must be ({len(ids)}, {width})."
        )
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise LabelAuditError(
            f"the {what} of sample {ids[row]} are not finite ({values[row].tolist()[:5]} …): "
            "nothing was stored; check the model (a lower learning rate often helps)."
        )
    return values
