"""Which recordings of a dataset were cut short here, and which are under way."""

from __future__ import annotations

from ..core.errors import BusyError
from ..dataset.columns import Frame
from ..dataset.run_files import PROBE_SECONDS
from ..dataset.runs import Run
from ..storage.locks import FileLock, exclusive
from ..storage.schema import GONE


def recordings(frame: Frame, name: str | None = None) -> list[Run]:
    """Runs of this name (None: of any) whose recording was cut short on this machine after a whole
    epoch or more, oldest first."""
    runs = [run for run in _runs(frame, name) if run.recording.exists()]
    return [run for run in runs if not _held_elsewhere(run)]


def refuse_second_recording(frame: Frame, name: str) -> None:
    """Raises LabelAuditError where another process on this machine makes a run of this name."""
    for run in _runs(frame, name):
        if _held_elsewhere(run):
            raise BusyError(taken_elsewhere(name, frame))


def _runs(frame: Frame, name: str | None) -> list[Run]:
    rows = frame.read_rows("runs", ["id", "name"], f"state != '{GONE}'")
    return [Run(frame, i) for i in sorted(row["id"] for row in rows if name in (None, row["name"]))]


def lock_of(run: Run) -> FileLock:
    """The run's training lock. A process may take it again: a notebook's cell that was interrupted
    has left a Recorder behind."""
    path = run.checkpoint.with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    return exclusive(path, PROBE_SECONDS, is_singleton=True, thread_local=False)


def _held_elsewhere(run: Run) -> bool:
    return run.in_training and not lock_of(run).is_locked


def taken_elsewhere(name: str, frame: Frame) -> str:
    return (
        f"run {name!r} of dataset {frame.name!r} is being recorded or trained by another "
        "process: wait for it, end it, or give this one another name."
    )
