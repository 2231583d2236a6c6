"""Training dynamics: margin and p(label) of every sample after each epoch, in and out of sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from ..scores.base import MEASURES
from ..storage import schema
from ..storage.tables import OFFSET, Store
from .arrays import MISSING, find
from .columns import Frame

# Values of `fold` besides the number of the model that was not trained on the sample.
HELD_OUT = -1  # no model was trained on the sample
EVERYONES = -2  # all models were
BLOCK_ROWS = 1_000_000  # ids read at once to find the blocks
SETTLED_ROWS = 200_000  # read at once by `settle`


@dataclass(frozen=True)
class Dynamics:
    """Training dynamics of some samples.

    labels: int (n,), the classes that the measures refer to. Measures are float32 (epochs, n), NaN
    if not recorded: `margin` and `p_label` by the model trained on the sample (for a held-out
    sample, by all models), `out_margin` and `out_p_label` by a model not trained on it.
    """

    labels: np.ndarray
    margin: np.ndarray
    p_label: np.ndarray
    out_margin: np.ndarray
    out_p_label: np.ndarray


def append(
    store: Store,
    table: str,
    epoch: int | np.ndarray,
    ids: np.ndarray,
    labels: np.ndarray,
    measures: Sequence[np.ndarray],
    fold: np.ndarray | None,
) -> None:
    """Store one epoch (a number) or several (int (n,)).

    measures: float32 (n,) each, in the order of MEASURES; trailing ones may be left out. fold: int
    (n,), or None for a run without folds. Samples without any finite pair of margin and p(label)
    are left out.
    """
    finite = np.isfinite(np.stack(measures))
    known = (finite[0::2] & finite[1::2]).any(axis=0)
    count = int(known.sum())
    some = [pa.array(values[known], pa.float32(), from_pandas=True) for values in measures]
    some += [pa.nulls(count, pa.float32())] * (len(MEASURES) - len(some))
    columns = [
        pa.array(ids[known], pa.int64()),
        pa.array(np.broadcast_to(epoch, len(ids))[known], pa.int32()),
        pa.array(labels[known], pa.int32()),
        *some,
        pa.nulls(count, pa.int8()) if fold is None else pa.array(fold[known], pa.int8()),
    ]
    store.append(table, pa.table(columns, schema=schema.DYNAMICS), schema.DYNAMICS)


def settle(
    store: Store, table: str, ids: np.ndarray, labels: np.ndarray, learned: np.ndarray
) -> None:
    """Rearrange epochs of different samples to blocks with the same samples, in one commit.

    Values that were not recorded become null. Afterwards `read_some` finds a sample by its place.
    ids, labels: int (n,), all recorded samples, sorted, and their given classes. learned: bool
    (n,); for a sample that no epoch trained on, the out-of-sample values are also stored as its
    margin and p(label).
    """
    if not store.exists(table):
        return

    def blocks() -> Iterator[pa.RecordBatch]:
        for epoch, rows in _epochs(store, table):
            some = _arrange(ids, rows, np.zeros(len(rows), np.int64), 1)
            inside = np.where(
                learned,
                (some.margin[0], some.p_label[0]),
                (some.out_margin[0], some.out_p_label[0]),
            )
            measures = [*inside, some.out_margin[0], some.out_p_label[0]]
            columns = [
                pa.array(ids, pa.int64()),
                pa.array(np.full(len(ids), epoch, np.int32)),
                pa.array(labels, pa.int32()),
                *(pa.array(values, pa.float32(), from_pandas=True) for values in measures),
                pa.nulls(len(ids), pa.int8()),
            ]
            yield pa.record_batch(columns, schema=schema.DYNAMICS)

    store.overwrite(table, blocks(), schema.DYNAMICS)


def _epochs(store: Store, table: str) -> Iterator[tuple[int, pa.Table]]:
    """Stream the rows of each epoch. Epochs were appended one after the other."""
    waiting: list[pa.RecordBatch] = []
    for batch in store.batches(table, ["id", "epoch", "label", *MEASURES], SETTLED_ROWS):
        epoch = batch["epoch"].to_numpy()
        edges = [0, *(np.flatnonzero(np.diff(epoch)) + 1).tolist(), len(batch)]
        for start, end in pairwise(edges):
            if waiting and waiting[-1]["epoch"][0].as_py() != epoch[start]:
                yield waiting[0]["epoch"][0].as_py(), pa.Table.from_batches(waiting)
                waiting = []
            waiting.append(batch.slice(start, end - start))
    if waiting:
        yield waiting[0]["epoch"][0].as_py(), pa.Table.from_batches(waiting)


def folds(store: Store, table: str, ids: np.ndarray) -> np.ndarray:
    """Return the fold of each of these sorted ids, int8 (n,)."""
    fold = np.full(len(ids), HELD_OUT, np.int8)
    if "fold" in store.columns(table):
        rows = store.read(table, ["id", "fold"], "epoch = 1")
        places, known = find(ids, rows["id"].to_numpy())
        fold[places[known]] = rows["fold"].fill_null(HELD_OUT).to_numpy()[known]
    return fold


def read(store: Store, table: str, ids: np.ndarray) -> Dynamics | None:
    """Return the dynamics of these sorted ids, by reading the whole table; None if it is empty."""
    rows = store.read(table, _columns(store, table))
    if rows is None or not len(rows):
        return None
    epochs, at = np.unique(rows["epoch"].to_numpy(), return_inverse=True)
    return _arrange(ids, rows, at, len(epochs))


def read_some(frame: Frame, table: str, ids: np.ndarray) -> Dynamics | None:
    """Return the dynamics of these ids, in their order, without reading the whole table.

    Training appends each epoch's block in the same order of ids, so the rows' places are known.
    (1,000,000 samples, 12 epochs: 3 ms for one sample; an SQL condition takes 500 ms.)
    """
    store = frame.store
    if not store.count(table):
        return None
    unique, order = np.unique(ids, return_inverse=True)
    blocks = _epoch_blocks(frame, table)
    some = _take(store, table, unique, *blocks) if blocks else _scan(store, table, unique)
    measures = (getattr(some, name)[:, order] for name in MEASURES)
    return Dynamics(some.labels[order], *measures)


def _take(
    store: Store, table: str, ids: np.ndarray, block: np.ndarray, epochs: np.ndarray
) -> Dynamics:
    _, at = np.unique(epochs, return_inverse=True)
    places, known = find(block, ids)
    starts = np.arange(len(epochs)) * len(block)
    offsets = (starts[:, None] + places[known]).ravel()
    if not len(offsets):
        return _empty(len(ids), at.max() + 1)
    columns = [name for name in _columns(store, table) if name != "epoch"]
    rows = store.take(table, offsets.tolist(), [*columns, OFFSET])
    stored = rows[OFFSET].to_numpy()
    if not (rows["id"].to_numpy() == block[stored % len(block)]).all():
        return _scan(store, table, ids)
    return _arrange(ids, rows, at[stored // len(block)], at.max() + 1)


def _scan(store: Store, table: str, ids: np.ndarray) -> Dynamics:
    epochs = np.unique(store.read(table, ["epoch"])["epoch"].to_numpy())
    rows = store.read(table, _columns(store, table), f"id in ({', '.join(map(str, ids.tolist()))})")
    return _arrange(ids, rows, np.searchsorted(epochs, rows["epoch"].to_numpy()), len(epochs))


def _arrange(ids: np.ndarray, rows: pa.Table, at: np.ndarray, epochs: int) -> Dynamics:
    """Arrange rows by sample and epoch. at: the epoch of each row, 0 … epochs - 1."""
    some = _empty(len(ids), epochs)
    places, known = find(ids, rows["id"].to_numpy())
    places, at = places[known], at[known]
    for name in MEASURES:
        if name in rows.column_names:
            getattr(some, name)[at, places] = rows[name].fill_null(np.nan).to_numpy()[known]
    some.labels[places] = rows["label"].to_numpy()[known]
    return some


def _empty(samples: int, epochs: int) -> Dynamics:
    measures = np.full((len(MEASURES), epochs, samples), np.nan, np.float32)
    return Dynamics(np.full(samples, MISSING, np.int32), *measures)


def _columns(store: Store, table: str) -> list[str]:
    """Columns to read; tables of earlier versions lack some (see migrations)."""
    existing = store.columns(table)
    return ["id", "epoch", "label", *(name for name in MEASURES if name in existing)]


def _epoch_blocks(frame: Frame, table: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the ids of each block and the epochs of the blocks, for a table with one block per
    epoch, each with the same ids in the same order. None for other tables."""

    store = frame.store

    def load() -> tuple[np.ndarray, np.ndarray] | None:
        ids = np.empty(0, np.int64)
        for batch in store.batches(table, ["id"], BLOCK_ROWS):
            ids = np.concatenate([ids, batch["id"].to_numpy()])
            falls = np.flatnonzero(np.diff(ids) <= 0)
            if len(falls):  # the next block begins
                ids = ids[: falls[0] + 1]
                break
        total = store.count(table)
        if not total or total % len(ids):
            return None
        starts = list(range(0, total, len(ids)))
        first = store.take(table, starts, ["id", "epoch", OFFSET]).sort_by(OFFSET)
        same = (first["id"].to_numpy() == ids[0]).all()
        return (ids, first["epoch"].to_numpy()) if same else None

    with frame.steady():
        return frame.cached((table, "blocks"), frame.stamp(table), load)
