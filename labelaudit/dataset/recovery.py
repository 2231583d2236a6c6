"""What killed processes leave behind, and the one rule of clearing it away: never what another
process is still at.

Half-written tables are cleared by `Store.writing`, whoever writes next. Here is the rest.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from ..storage import paths, schema
from ..storage.locks import left_behind
from .columns import BEGUN, GONE, Frame

RANGES = 500  # of ids in one condition
RESUMABLE = (".safetensors", ".recording")  # what a training, or a Recorder, goes on from
TABLES = ("predictions", "dynamics", "scores")  # of a run


def clear_folders() -> None:
    """Remove what is left of loads, replacements and deletions that were killed, of any dataset."""
    for name in paths.leftover_names():
        try:
            with paths.locked(name, seconds=0):
                paths.clear_away(name)
        except OSError:  # a process is at it, or nothing may be changed here
            continue


def clear_samples(frame: Frame) -> None:
    """Under the dataset's lock: delete the rows of samples that were about to be added when that
    was killed. Their ids will be given again."""
    if frame.store.count("samples") == len(frame.ids):
        return
    stored = np.sort(frame.store.read("samples", ["id"])["id"].to_numpy())
    lost = np.setdiff1d(stored, frame.ids)
    if not len(lost):
        return
    breaks = np.flatnonzero(np.diff(lost) > 1)
    lows, highs = lost[np.append(0, breaks + 1)], lost[np.append(breaks, len(lost) - 1)]
    for start in range(0, len(lows), RANGES):
        some = slice(start, start + RANGES)
        ranges = zip(lows[some].tolist(), highs[some].tolist(), strict=True)
        where = " OR ".join(f"(id >= {low} AND id <= {high})" for low, high in ranges)
        frame.store.delete("samples", where)


def clear_runs(frame: Frame, checkpoints: str) -> None:
    """Under the dataset's lock: take back runs that were begun on this machine by a process that
    died before there was something to resume, and remove what belongs to no run.

    checkpoints: what the names of this dataset's files in `home.checkpoints` begin with, before
    the run's id.
    """
    rows = frame.store.read("runs", ["id", "name", "created", "state"])
    runs = {} if rows is None else {row["id"]: row for row in rows.to_pylist()}
    folder = paths.checkpoints(frame.store.name)
    dead = []
    for run in [run for run in runs.values() if run["state"] == BEGUN]:
        begun = folder / f"{checkpoints}{run['id']}.begun"
        resumable = any(begun.with_suffix(suffix).exists() for suffix in RESUMABLE)
        if resumable or paths.is_held(begun.with_suffix(".lock")):
            continue
        with left_behind(begun) as is_dead:
            if is_dead:
                run["state"] = GONE
                dead.append(gone_run(run))
    if dead:
        table = pa.Table.from_pylist(dead, schema=schema.RUNS)
        frame.store.upsert("runs", table, schema.RUNS)
    _clear_tables(frame, {run["id"] for run in runs.values() if run["state"] != GONE})
    begun = {run["id"] for run in runs.values() if run["state"] == BEGUN}
    _clear_files(folder, {f"{checkpoints}{run}" for run in begun})


def gone_run(run: dict) -> dict:
    """The row that stays of a run: it keeps its id from being used again."""
    return {"id": run["id"], "name": run["name"], "created": run["created"], "state": GONE,
            "info": "{}", "weights": None}  # fmt: skip


def _clear_tables(frame: Frame, kept: set[int]) -> None:
    for table in frame.store.tables():
        kind, _, run = table.rpartition("-")
        if kind not in TABLES or not run.isdigit() or int(run) in kept:
            continue
        if not frame.store.is_being_written(table):  # else its writer sees that the run is gone
            frame.store.drop(table)


def _clear_files(folder: Path, kept: set[str]) -> None:
    """Checkpoints, finished or half-written, and locks of runs that are not under way."""
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.stem not in kept and not paths.is_held(path.with_suffix(".lock")):
            path.unlink(missing_ok=True)
