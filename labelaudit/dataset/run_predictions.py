"""A run's predictions: logits and embeddings of samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError
from ..scores.probability import probabilities
from ..storage import schema
from ..storage.schema import FINISHED, GONE
from ..storage.tables import Staging
from . import edits, embeddings
from .arrays import as_ids
from .run_base import RunBase

LOGIT_BATCH_BYTES = 64 << 20  # of logits read at once
MAX_FLOAT16 = float(np.finfo(np.float16).max)


class RunPredictions(RunBase):
    """The part of a run that reads and writes its predictions."""

    def write_predictions(
        self, batches: Iterable[tuple[np.ndarray, ...]], classes: int | None = None
    ) -> int:
        """Store (ids, logits float32 (n, C)) or (ids, logits, embeddings float (n, D)) as a stream.

        classes: C, for a run that is not finished yet. Existing predictions of the same ids are
        replaced. Everything is one commit: an error leaves the predictions unchanged. Embeddings
        are stored in half precision. The samples of a finished run get the tag `processed`.
        Returns the number of rows written. Raises BadInputError for shapes that do not fit the
        classes or the stored embeddings, and for numbers that are not finite.
        """
        table = self._table("predictions")
        # Without the dataset's lock, which would be held while the model predicts: only this run
        # writes to this table.
        self._check_dataset()
        batches = iter(batches)
        first = next(batches, None)
        width = self._embedding_width(first)
        columns = schema.predictions(classes or len(self.classes), width)
        written = 0

        def rows() -> Iterator[pa.RecordBatch]:
            nonlocal written
            for ids, logits, *rest in chain([] if first is None else [first], batches):
                written += len(ids)
                yield prediction_batch(ids, logits, rest[0] if rest else None, columns)

        with Staging(self._store, table) as staging:
            staging.upsert(rows(), columns, schema.embedding(width) if width else None)
            self._publish(staging)
        return written

    @contextmanager
    def external_predictions(self, width: int) -> Iterator[tuple[Staging, pa.Schema]]:
        """Let other processes write all predictions of a finished run that has none.

        Yields where to write them and their schema. They must be committed once, within the block.
        width: length of the embeddings.
        """
        self._check_dataset()
        with Staging(self._store, self._table("predictions")) as staging:
            yield staging, schema.predictions(len(self.classes), width)
            self._publish(staging)

    def _publish(self, staging: Staging) -> None:
        """Commit predictions. Raises NotFoundError if the run was replaced in the meantime."""
        with self._transaction():
            state = self.state
            if state == GONE:
                _ = self.info  # raises NotFoundError
            staging.publish()
            if state == FINISHED:
                edits.tag_predicted(self._frame, staging.table)

    def _embedding_width(self, batch: tuple[np.ndarray, ...] | None) -> int | None:
        """Return the length of the stored embeddings, or of those in the first batch."""
        stored = self._store.vector_width(self._table("predictions"), embeddings.COLUMN)
        if batch is None or len(batch) < 3:
            return stored
        width = batch[2].shape[-1]
        if stored not in (None, width):
            raise BadInputError(
                f"embeddings of {width} numbers were given for run {self.name!r}, which has "
                f"embeddings of {stored}: write them to a new run."
            )
        return width

    def has_predictions(self) -> bool:
        """Return whether it has predictions."""
        return self._store.exists(self._table("predictions"))

    def logits_location(self) -> tuple[str, int]:
        """Return the URI and the current version of its predictions table."""
        return self._store.location(self._table("predictions"))

    def predicted_ids(self) -> np.ndarray:
        """Return the ids of its predictions, int64 (n,), in stored order; empty without any."""
        rows = self._store.read(self._table("predictions"), ["id"])
        return np.empty(0, np.int64) if rows is None else rows["id"].to_numpy()

    def logits(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Stream all predictions as (ids, logits float32 (n, C))."""
        classes = len(self.classes)
        rows = max(LOGIT_BATCH_BYTES // (4 * classes), 1)
        for batch in self._store.batches(self._table("predictions"), ["id", "logits"], rows):
            logits = batch["logits"].flatten().to_numpy().reshape(-1, classes)
            yield batch["id"].to_numpy(), logits

    # --- embeddings ---

    def has_embeddings(self) -> bool:
        """Return whether any prediction has an embedding."""
        return self._store.vector_width(self._table("predictions"), embeddings.COLUMN) is not None

    def embeddings(self, ids: Sequence[int] | np.ndarray) -> np.ndarray | None:
        """Return embeddings of a few ids, float16 (n, D), or None for a run without any.

        They are activations of the model's last layer, averaged over the augmented copies. NaN for
        a sample without one. Raises NotFoundError for an id that does not exist.
        """
        with self._store.steady():
            return embeddings.read_some(self._frame, self._table("predictions"), as_ids(ids))

    def all_embeddings(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return ids, int64 (n,), and embeddings, float16 (n, D), of all samples that have one.

        They are read into memory: 2 bytes per number. None for a run without any.
        """
        return embeddings.read_all(self._frame, self._table("predictions"))

    def neighbours(
        self, ids: Sequence[int] | np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Find the k other samples that look most similar to each of these to the model.

        Returns their ids, int64 (n, k), and cosine similarities of the embeddings, float32 (n, k),
        -1 to 1, best first; padded with -1 and NaN. None for a run without embeddings. Exact up to
        50,000 samples; with a million, 997 of 1,000 are the nearest. Raises NotFoundError for an
        id that does not exist.
        """
        with self._store.steady():
            return embeddings.neighbours(self._frame, self._table("predictions"), as_ids(ids), k)

    def index_embeddings(self) -> bool:
        """Make `neighbours` fast for many samples. Call it after predictions are written.

        Returns whether an index was built.
        """
        if not self.has_embeddings():
            return False
        with Staging(self._store, self._table("predictions")) as staging:
            built = staging.index_vectors(embeddings.COLUMN)
            if built:
                self._publish(staging)
        return built


def prediction_batch(
    ids: np.ndarray, logits: np.ndarray, vectors: np.ndarray | None, columns: pa.Schema
) -> pa.RecordBatch:
    """Return rows of a predictions table with this schema; see `Run.write_predictions`."""
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
            half = np.clip(vectors, -MAX_FLOAT16, MAX_FLOAT16).astype(np.float16)
            values = pa.array(half.reshape(-1))
            arrays.append(pa.FixedSizeListArray.from_arrays(values, kind.list_size))
    return pa.record_batch(arrays, schema=columns)


def _checked(ids: np.ndarray, values: np.ndarray, width: int, what: str, unit: str) -> np.ndarray:
    """Return a model's output as float32 (n, width). Raises BadInputError for anything else."""
    values = np.ascontiguousarray(values, np.float32)
    if values.shape != (len(ids), width):
        raise BadInputError(
            f"{what} of shape {values.shape} were given for {len(ids)} samples and {width} "
            f"{unit}: they must be ({len(ids)}, {width})."
        )
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise BadInputError(
            f"the {what} of sample {ids[row]} are not finite ({values[row].tolist()[:5]} …): "
            "nothing was stored; check the model (a lower learning rate often helps)."
        )
    return values
