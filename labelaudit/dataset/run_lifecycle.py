"""Begins runs and finds them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pyarrow as pa

from ..core.errors import BusyError
from ..storage import paths, schema
from ..storage.schema import BEGUN, GONE
from . import recovery
from .columns import Frame
from .runs import Run


def begin_run(frame: Frame, name: str | None = None) -> Run:
    """Begin a run with this name, or with the first of `run-1`, `run-2` … that is free."""
    if name is not None:
        paths.check_name(name, "run")
    recovery.clean_up_runs(frame)
    with frame.transaction():
        known = frame.read_rows("runs", ["id", "name", "state"])
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
        run._files.hold()  # first, because a run that is not held may be cleaned up
        frame.upsert("runs", pa.Table.from_pylist([row], schema=schema.RUNS), schema.RUNS)
    return run


def find_run(frame: Frame, marks: Mapping) -> Run | None:
    """Return the run, begun or finished, that had these `Run.marks`; None if it is gone."""
    ids = {row["id"] for row in frame.read_rows("runs", ["id"], f"state != '{GONE}'")}
    run = Run(frame, marks["id"])
    return run if run.id in ids and str(run.checkpoint) == marks["checkpoint"] else None


def refuse_second_training(frame: Frame, name: str) -> None:
    """Raise BusyError if a process on this machine is training a run with this name."""
    for row in frame.read_rows("runs", ["id", "name"], f"state = '{BEGUN}'"):
        if row["name"] == name and Run(frame, row["id"]).in_training:
            raise BusyError(
                f"run {name!r} of dataset {frame.name!r} is being trained already: wait for it, "
                "stop it, or give this one another name."
            )
