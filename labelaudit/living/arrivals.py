"""Which samples were added to a dataset since when."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from ..core.errors import BadInputError
from ..dataset import history_log
from ..dataset.arrays import in_order
from ..dataset.columns import Frame
from ..dataset.target import Target, as_dataset
from .stored_files import TABLE

FIRST_LOAD = 0


def arrival_steps(frame: Frame) -> np.ndarray:
    """Return the change of the history that added each sample, int64 (n,); 0 for the first load,
    also for samples that no sync added."""
    rows = frame.read(TABLE, ["id", "sync"])
    steps = np.full(len(frame.ids), FIRST_LOAD, np.int64)
    if rows is not None:
        rows = in_order(rows, frame.ids)
        steps[frame.positions(rows["id"].to_numpy())] = rows["sync"].to_numpy()
    return steps


def added_since(dataset: Target, when: str) -> np.ndarray:
    """Return the ids of the samples that syncs added since then, int64 (n,), sorted.

    when: a date or time in ISO 8601, such as 2026-11-30; without a zone it is in UTC. Raises
    BadInputError for another text.
    """
    dataset = as_dataset(dataset, "added_since")
    try:
        start = datetime.fromisoformat(when)
    except ValueError as error:
        raise BadInputError(f"{when!r} is no date: write it as 2026-11-30.") from error
    start = start if start.tzinfo else start.replace(tzinfo=UTC)
    frame = dataset.view().frame
    with frame.steady():
        steps = [
            entry.id
            for entry in history_log.entries(frame)
            if entry.kind == history_log.SYNC and datetime.fromisoformat(entry.time) >= start
        ]
        return frame.ids[np.isin(arrival_steps(frame), steps)]
