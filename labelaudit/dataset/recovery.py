"""Cleans up what killed processes leave behind, but never what another process still uses.

`Store.transaction` cleans up half-written tables. The rest is here.
"""

from __future__ import annotations

from contextlib import ExitStack

import pyarrow as pa

from ..core.errors import BusyError, StorageError
from ..storage import paths, schema
from ..storage.locks import UseMark, is_locked
from ..storage.schema import BEGUN, GONE
from ..storage.writer_lock import WriterLock
from .columns import Frame
from .run_files import RunFiles, file_prefix

RUN_TABLES = ("predictions", "dynamics", "sample-dynamics", "scores")  # kinds of tables of a run


def clean_up_folders() -> None:
    """Remove what interrupted imports, replacements and deletions of any dataset left."""
    for name in paths.leftover_names():
        try:
            with WriterLock(name, seconds=0).hold():
                paths.remove_leftovers(name)
        except (OSError, BusyError, StorageError):  # in use, or nothing may be written here
            continue


def clean_up_runs(frame: Frame) -> None:
    """Abandon dead runs, and remove tables and files of no run.

    A run is dead if it was begun on this machine by a process that died before there was anything
    to resume.
    """
    with ExitStack() as marks:  # they are removed after the commit: until then a run is dead
        with frame.transaction():
            rows = frame.read_rows("runs", ["id", "name", "created", "state"])
            runs, created = {row["id"]: row for row in rows}, frame.meta["created"]
            dead = []
            for run in [run for run in runs.values() if run["state"] == BEGUN]:
                files = RunFiles(frame.name, created, run["id"])
                if files.is_resumable or files.in_training:
                    continue
                if marks.enter_context(UseMark(files.begun).cleaning_up()):
                    run["state"] = GONE
                    dead.append(gone_run(run))
            if dead:
                frame.upsert("runs", pa.Table.from_pylist(dead, schema=schema.RUNS), schema.RUNS)
            _drop_tables(frame, {run["id"] for run in runs.values() if run["state"] != GONE})
        begun = {run["id"] for run in runs.values() if run["state"] == BEGUN}
        _remove_files(frame, {f"{file_prefix(created)}{run}" for run in begun})


def gone_run(run: dict) -> dict:
    """Return the row that remains of a run, to reserve its id."""
    return {
        "id": run["id"],
        "name": run["name"],
        "created": run["created"],
        "state": GONE,
        "info": "{}",
        "weights": None,
    }


def _drop_tables(frame: Frame, runs: set[int]) -> None:
    """Drop the tables of all other runs."""
    for table in frame.store.tables():
        kind, _, run = table.rpartition("-")
        if kind not in RUN_TABLES or not run.isdigit() or int(run) in runs:
            continue
        frame.store.drop(table)


def _remove_files(frame: Frame, stems: set[str]) -> None:
    """Remove checkpoints (also half-written ones) and locks, except those with these stems."""
    folder = paths.checkpoints(frame.name)
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.stem not in stems and not is_locked(path.with_suffix(".lock")):
            path.unlink(missing_ok=True)
