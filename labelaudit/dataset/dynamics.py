"""Training dynamics: margin and p(label) of every sample after each epoch, in and out of sample.

While a run is trained, each epoch appends its rows to the table `dynamics-<run>`. When the run is
finished, they become one row for each sample, in the table `sample-dynamics-<run>`. Runs that
earlier versions finished have only the first table, which takes longer to read for one sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError
from ..scores.base import MEASURES
from ..storage import schema
from ..storage.tables import Store
from .arrays import MISSING, find, nullable
from .columns import Frame

# Values of `fold` besides the number of the model that was not trained on the sample.
HELD_OUT = -1  # no model was trained on the sample
EVERYONES = -2  # all models were
GATHERED_ROWS = 100_000  # written at once by `gather`


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
    run: int,
    epoch: int | np.ndarray,
    ids: np.ndarray,
    labels: np.ndarray,
    measures: Sequence[np.ndarray],
    fold: np.ndarray | None,
) -> None:
    """Store one epoch (a number) or several (int (n,)). run: its id, here and below.

    measures: float32 (n,) each, in the order of MEASURES; trailing ones may be left out. fold: int
    (n,), or None for a run without folds. Samples without any finite pair of margin and p(label)
    are left out. Raises BadInputError for a run that is finished.
    """
    if store.exists(_samples(run)):
        raise BadInputError(f"run {run} of dataset {store.name!r} is finished: record another one.")
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
    table = pa.table(columns, schema=schema.DYNAMICS)
    store.append(_epochs(run), table, schema.DYNAMICS)


def gather(store: Store, run: int) -> None:
    """Rearrange the rows of all epochs to one row per sample, in the transaction of this thread.

    For a sample that no epoch trained on, the out-of-sample values are also stored as its margin
    and p(label).
    """
    rows = store.read(_epochs(run), _columns(store, run)) if store.exists(_epochs(run)) else None
    if rows is None or not len(rows):
        return
    ids = np.unique(rows["id"].to_numpy())
    found, fold = _by_epoch(ids, rows), folds(store, run, ids)
    untrained = ~np.isfinite(found.margin).any(axis=0)
    found.margin[:, untrained] = found.out_margin[:, untrained]
    found.p_label[:, untrained] = found.out_p_label[:, untrained]
    measures = [name for name in MEASURES if np.isfinite(getattr(found, name)).any()]
    layout = schema.sample_dynamics(len(found.margin), measures)

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(ids), GATHERED_ROWS):
            part = slice(start, start + GATHERED_ROWS)
            lists = [_lists(getattr(found, name)[:, part]) for name in measures]
            fixed = [pa.array(ids[part]), nullable(found.labels[part]), pa.array(fold[part])]
            yield pa.record_batch([*fixed, *lists], schema=layout)

    store.overwrite(_samples(run), batches(), layout)
    store.drop(_epochs(run))


def _lists(values: np.ndarray) -> pa.FixedSizeListArray:
    """Convert measures (epochs, n) to one list per sample."""
    flat = pa.array(np.ascontiguousarray(values.T).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, len(values))


def folds(store: Store, run: int, ids: np.ndarray) -> np.ndarray:
    """Return the fold of each of these sorted ids, int8 (n,)."""
    return _of_samples(store, run, ids, "fold", np.int8(HELD_OUT))


def learned_labels(store: Store, run: int, ids: np.ndarray) -> np.ndarray:
    """Return the classes, int32 (n,), that these sorted ids had in training, or MISSING."""
    return _of_samples(store, run, ids, "label", np.int32(MISSING))


def _of_samples(
    store: Store, run: int, ids: np.ndarray, column: str, missing: np.integer
) -> np.ndarray:
    """Return a column that does not depend on the epoch, (n,), aligned to sorted ids."""
    values = np.full(len(ids), missing)
    rows = _first(store, run, column)
    if rows is not None:
        places, known = find(ids, rows["id"].to_numpy())
        values[places[known]] = rows[column].fill_null(int(missing)).to_numpy()[known]
    return values


def _first(store: Store, run: int, column: str) -> pa.Table | None:
    """Read a column that does not depend on the epoch, with `id`; None if there is none."""
    if store.exists(_samples(run)):
        return store.read(_samples(run), ["id", column])
    if column in store.columns(_epochs(run)):
        return store.read(_epochs(run), ["id", column], "epoch = 1")
    return None


def read(store: Store, run: int, ids: np.ndarray) -> Dynamics | None:
    """Return the dynamics of these sorted ids, by reading the whole table; None if it is empty."""
    if store.exists(_samples(run)):
        return _by_sample(ids, store.read(_samples(run), _columns(store, run)))
    rows = store.read(_epochs(run), _columns(store, run))
    return _by_epoch(ids, rows) if rows is not None and len(rows) else None


def read_some(frame: Frame, run: int, ids: np.ndarray) -> Dynamics | None:
    """Return the dynamics of these ids, in their order; of a finished run without reading the whole
    table."""
    store, (unique, order) = frame.store, np.unique(ids, return_inverse=True)
    if store.exists(_samples(run)):
        columns = [name for name in _columns(store, run) if name != "id"]
        some = _by_sample(unique, frame.take(_samples(run), frame.positions(unique), columns))
    elif store.count(_epochs(run)):
        epochs = np.unique(store.read(_epochs(run), ["epoch"])["epoch"].to_numpy())
        where = f"id in ({', '.join(map(str, unique.tolist()))})"
        some = _by_epoch(unique, store.read(_epochs(run), _columns(store, run), where), epochs)
    else:
        return None
    measures = (getattr(some, name)[:, order] for name in MEASURES)
    return Dynamics(some.labels[order], *measures)


def _by_epoch(ids: np.ndarray, rows: pa.Table, epochs: np.ndarray | None = None) -> Dynamics:
    """Arrange rows with one epoch of a sample each. epochs: all of them, if some lack in `rows`."""
    epoch = rows["epoch"].to_numpy()
    epochs = np.unique(epoch) if epochs is None else epochs
    some = _empty(len(ids), len(epochs))
    places, known = find(ids, rows["id"].to_numpy())
    places, at = places[known], np.searchsorted(epochs, epoch[known])
    for name in MEASURES:
        if name in rows.column_names:
            getattr(some, name)[at, places] = rows[name].fill_null(np.nan).to_numpy()[known]
    some.labels[places] = rows["label"].to_numpy()[known]
    return some


def _by_sample(ids: np.ndarray, rows: pa.Table) -> Dynamics:
    """Arrange rows with all epochs of a sample each."""
    measures = [name for name in MEASURES if name in rows.column_names]
    epochs = rows.schema.field(measures[0]).type.list_size
    some = _empty(len(ids), epochs)
    places, known = find(ids, rows["id"].to_numpy())
    for name in measures:
        column = rows[name].combine_chunks()
        known_rows = column.is_valid().to_numpy(zero_copy_only=False)  # `flatten` leaves out nulls
        values = np.full((len(rows), epochs), np.nan, np.float32)
        values[known_rows] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, epochs)
        getattr(some, name)[:, places[known]] = values[known].T
    some.labels[places[known]] = rows["label"].fill_null(MISSING).to_numpy()[known]
    return some


def _empty(samples: int, epochs: int) -> Dynamics:
    measures = np.full((len(MEASURES), epochs, samples), np.nan, np.float32)
    return Dynamics(np.full(samples, MISSING, np.int32), *measures)


def _columns(store: Store, run: int) -> list[str]:
    """Columns to read: measures that nothing was recorded for are left out."""
    table = _samples(run) if store.exists(_samples(run)) else _epochs(run)
    existing = store.columns(table)
    return [name for name in ("id", "epoch", "label", *MEASURES) if name in existing]


def _epochs(run: int) -> str:
    return schema.table("dynamics", run)


def _samples(run: int) -> str:
    return schema.table("sample-dynamics", run)
