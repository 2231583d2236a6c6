"""Which recordings of a dataset are unfinished on this machine, and which are in progress."""

from __future__ import annotations

from ..core.errors import BusyError
from ..dataset.columns import Frame
from ..dataset.run_files import PROBE_SECONDS
from ..dataset.runs import Run
from ..storage.locks import FileLock, exclusive
from ..storage.schema import GONE


def unfinished_recordings(frame: Frame, name: str | None = None) -> list[Run]:
    """Return the runs of this name (None: of any name) with an unfinished recording on this machine
    of at least one whole epoch, oldest first. Recordings in progress elsewhere are left out."""
    runs = [run for run in _runs(frame, name) if run.recording.exists()]
    return [run for run in runs if not _locked_elsewhere(run)]


def refuse_second_recording(frame: Frame, name: str) -> None:
    """Raise LabelAuditError if another process on this machine writes a run of this name."""
    for run in _runs(frame, name):
        if _locked_elsewhere(run):
            raise BusyError(run_in_use(name, frame))


def _runs(frame: Frame, name: str | None) -> list[Run]:
    rows = frame.read_rows("runs", ["id", "name"], f"state != '{GONE}'")
    return [Run(frame, i) for i in sorted(row["id"] for row in rows if name in (None, row["name"]))]


def training_lock(run: Run) -> FileLock:
    """Return the run's training lock. The process that holds it may take it again: an interrupted
    notebook cell leaves a Recorder behind."""
    path = run.checkpoint.with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    return exclusive(path, PROBE_SECONDS, is_singleton=True, thread_local=False)


def _locked_elsewhere(run: Run) -> bool:
    return run.in_training and not training_lock(run).is_locked


def run_in_use(name: str, frame: Frame) -> str:
    """Return the error message for a run that another process writes."""
    return (
        f"run {name!r} of dataset {frame.name!r} is being recorded or trained by another "
        "process: wait for it, end it, or give this one another name."
    )
