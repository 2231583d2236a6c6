"""What is kept of a run: its model, predictions, training dynamics and scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from . import home, schema
from .errors import LabelAuditError
from .frame import Frame
from .scores.probability import probabilities

LOGIT_BATCH_BYTES = 64 << 20


def new_run_name(frame: Frame) -> str:
    """`run-1`, `run-2` …: the first that no run has had."""
    taken = {run["name"] for run in frame.runs}
    return next(name for i in range(1, len(taken) + 2) if (name := f"run-{i}") not in taken)


class Run:
    """One trained (or imported) model of a dataset. Everything it writes is keyed by sample id."""

    def __init__(self, frame: Frame, name: str) -> None:
        self._frame, self._store = frame, frame.store
        self.name = home.check_name(name, "run")

    def __repr__(self) -> str:
        return f"Run({self.name!r} of {self._store.name!r})"

    @property
    def info(self) -> dict:
        """What was written at the end of training: classes, config, accuracy, curves …"""
        for run in self._frame.runs:
            if run["name"] == self.name:
                return run
        known = ", ".join(run["name"] for run in self._frame.runs)
        raise LabelAuditError(
            f"dataset {self._store.name!r} has no run {self.name!r}: "
            + (f"its runs are {known}." if known else "train first.")
        )

    @property
    def classes(self) -> list[str]:
        return self.info["classes"]

    def weights(self) -> bytes:
        """The model's weights in the safetensors format."""
        run_id = self.info["id"]
        rows = self._store.read("runs", ["id", "weights"])
        blob = rows["weights"][rows["id"].to_pylist().index(run_id)].as_py()
        if blob is None:
            raise LabelAuditError(f"run {self.name!r} has no model: only its predictions are kept.")
        return blob

    def save(self, info: dict, weights: bytes | None = None) -> None:
        """Write what the run says of itself, and its model. Replaces a run of the same name."""
        with self._store.writing():
            known = {run["name"]: run["id"] for run in self._frame.runs}
            row = {
                "id": known.get(self.name, max(known.values(), default=0) + 1),
                "name": self.name,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "info": json.dumps(info),
                "weights": weights,
            }
            self._store.upsert("runs", pa.Table.from_pylist([row], schema=schema.RUNS))

    def clear(self) -> None:
        """Forget what an earlier run of this name predicted, learned and scored."""
        with self._store.writing():
            for kind in ("predictions", "dynamics", "scores"):
                self._store.drop(schema.table(kind, self.name))

    # --- predictions ---

    def write_predictions(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> int:
        """Store (ids, logits float32 (n, C)) as they come; ids predicted before are replaced.

        Raises if a logit is not finite, naming the sample. Returns how many were written.
        """
        classes, table = len(self.classes), schema.table("predictions", self.name)
        columns = schema.predictions(classes)
        written = 0

        def rows() -> Iterator[pa.RecordBatch]:
            nonlocal written
            for ids, logits in batches:
                written += len(ids)
                yield _prediction_batch(ids, logits, classes, columns)

        with self._store.writing():
            if self._store.version(table) == 0:
                self._store.overwrite(table, rows(), columns)
            else:
                for batch in rows():
                    self._store.upsert(table, pa.Table.from_batches([batch]))
        return written

    def has_predictions(self) -> bool:
        return self._store.version(schema.table("predictions", self.name)) > 0

    def logits(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All stored predictions as (positions in the frame, logits float32 (n, C)), streamed."""
        classes = len(self.classes)
        table = schema.table("predictions", self.name)
        rows = max(LOGIT_BATCH_BYTES // (4 * classes), 1)
        ids = self._frame.ids
        for batch in self._store.batches(table, ["id", "logits"], rows):
            places, known = _find(ids, batch["id"].to_numpy())
            logits = batch["logits"].flatten().to_numpy().reshape(-1, classes)
            yield places[known], logits[known]

    # --- training dynamics ---

    def append_dynamics(
        self, epoch: int, ids: np.ndarray, margin: np.ndarray, p_label: np.ndarray
    ) -> None:
        """Store one epoch: margin and p(label) of each sample, float32 (n,). NaN is left out."""
        known = np.isfinite(margin) & np.isfinite(p_label)
        columns = [
            pa.array(ids[known], pa.int64()),
            pa.array(np.full(int(known.sum()), epoch, np.int32)),
            pa.array(margin[known], pa.float32()),
            pa.array(p_label[known], pa.float32()),
        ]
        with self._store.writing():
            self._store.append(
                schema.table("dynamics", self.name),
                pa.table(columns, schema=schema.DYNAMICS),
                schema.DYNAMICS,
            )

    def dynamics(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Margin and p(label), float32 (epochs, n) in the frame's order, NaN where not recorded."""
        table = schema.table("dynamics", self.name)
        rows = self._store.read(table, ["id", "epoch", "margin", "p_label"])
        if rows is None or not len(rows):
            return None
        places, known = _find(self._frame.ids, rows["id"].to_numpy())
        epochs, at = np.unique(rows["epoch"].to_numpy(), return_inverse=True)
        shape = (len(epochs), len(self._frame.ids))
        margin, p_label = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        margin[at[known], places[known]] = rows["margin"].to_numpy()[known]
        p_label[at[known], places[known]] = rows["p_label"].to_numpy()[known]
        return margin, p_label

    # --- scores ---

    def score_names(self) -> list[str]:
        return self._store.columns(schema.table("scores", self.name))[1:]

    def write_scores(self, scores: dict[str, np.ndarray]) -> None:
        """Store scores, float64 (n,) in the frame's order; NaN means none. Others are kept."""
        table = schema.table("scores", self.name)
        with self._store.writing():
            kept = [name for name in self.score_names() if name not in scores]
            columns = {name: self._frame.number(table, name, np.nan) for name in kept} | scores
            arrays = [
                pa.array(values, pa.float64(), from_pandas=True) for values in columns.values()
            ]
            columns_schema = schema.scores(list(columns))
            rows = pa.table([pa.array(self._frame.ids), *arrays], schema=columns_schema)
            self._store.overwrite(table, rows, columns_schema)


def _prediction_batch(
    ids: np.ndarray, logits: np.ndarray, classes: int, columns: pa.Schema
) -> pa.RecordBatch:
    logits = np.ascontiguousarray(logits, np.float32)
    if logits.shape != (len(ids), classes):
        raise LabelAuditError(
            f"logits of shape {logits.shape} were given for {len(ids)} samples and {classes} "
            f"classes: they must be ({len(ids)}, {classes})."
        )
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise LabelAuditError(
            f"the logits of sample {ids[row]} are not finite ({logits[row].tolist()[:5]} …): "
            "nothing was stored; check the model (a lower learning rate often helps)."
        )
    p = probabilities(logits)
    label = p.argmax(axis=1)
    return pa.record_batch(
        [
            pa.array(ids, pa.int64()),
            pa.array(label, pa.int32()),
            pa.array(p[np.arange(len(p)), label], pa.float32()),
            pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1)), classes),
        ],
        schema=columns,
    )


def _find(ids: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of `wanted` in sorted `ids`, and a mask of those that are there."""
    places = np.minimum(np.searchsorted(ids, wanted), max(len(ids) - 1, 0))
    return places, (ids[places] == wanted if len(ids) else np.zeros(len(wanted), bool))
