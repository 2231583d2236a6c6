"""Completes what was interrupted in a dataset of format 1, before its first snapshot is committed.

In format 1 the latest version of each table was valid. Changes of several tables were announced in
one of them, and settled by the next writer. A conversion that is killed leaves format 1 at each
step, and the next one continues.
"""

from __future__ import annotations

import json

import numpy as np

from ..storage import schema
from ..storage.schema import FINISHED
from . import edits
from .columns import Frame
from .history_log import write_meta
from .migrations import ADDING, PREDICTING

RANGES = 500  # of ids in one SQL condition


def complete(frame: Frame) -> None:
    """Settle interrupted changes and write the new format. Runs in a transaction of its own."""
    meta = frame.meta  # without classes of samples that were never added
    if ADDING in meta:
        meta = {key: value for key, value in meta.items() if key != ADDING}
        write_meta(frame.store, meta)
    _remove_interrupted_change(frame)
    _remove_lost_samples(frame)
    for table in _untagged(frame, meta.get(PREDICTING, {})):  # changes the stamp of `annotations`
        edits.tag_predicted(frame, table)
    write_meta(frame.store, {key: value for key, value in meta.items() if key != PREDICTING})


def _remove_interrupted_change(frame: Frame) -> None:
    """Delete an entry of the history that was written before a change that never happened."""
    last = max(frame.read_rows("history", ["id", "before"]), key=lambda r: r["id"], default=None)
    if last and last["before"] == json.dumps(frame.stamp("annotations")):
        frame.store.delete("changes", f"change = {last['id']}")
        frame.store.delete("history", f"id = {last['id']}")


def _remove_lost_samples(frame: Frame) -> None:
    """Delete rows of samples that were never added. Their ids will be used again."""
    rows = frame.read("samples", ["id"])
    lost = np.setdiff1d([] if rows is None else rows["id"].to_numpy(), frame.ids).astype(np.int64)
    if not len(lost):
        return
    breaks = np.flatnonzero(np.diff(lost) > 1)
    lows, highs = lost[np.append(0, breaks + 1)], lost[np.append(breaks, len(lost) - 1)]
    for start in range(0, len(lows), RANGES):
        part = slice(start, start + RANGES)
        ranges = zip(lows[part].tolist(), highs[part].tolist(), strict=True)
        where = " OR ".join(f"(id >= {low} AND id <= {high})" for low, high in ranges)
        frame.store.delete("samples", where)


def _untagged(frame: Frame, announced: dict[str, str]) -> list[str]:
    """Return the tables of finished runs that were written after they had been announced."""
    rows = frame.read_rows("runs", ["id"], f"state = '{FINISHED}'") if announced else []
    finished = {schema.table("predictions", row["id"]) for row in rows}
    return [
        table
        for table, stamp in announced.items()
        if table in finished and json.dumps(frame.stamp(table)) != stamp
    ]
