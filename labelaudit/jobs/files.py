"""The JSON files of a job's folder, and the words for how a job stands."""

from __future__ import annotations

import json
from pathlib import Path

RUNNING, DONE, STOPPED, FAILED, DIED = "running", "done", "stopped", "failed", "died"

# The files of a job's folder.
REQUEST = "job.json"  # what was asked for: kind, dataset, options
PROGRESS = "progress.json"  # the latest report, as `Progress.to_dict`
RUN = "run.json"  # the run that the job writes, as `Run.marks`
RESULT = "result.json"  # the job is done: what its kind's function returned
ERROR = "error.json"  # the job failed or was stopped: {"message": str, "stopped": bool}
STOP = "stop"  # someone asked the job to stop
ALIVE_LOCK = "alive.lock"  # locked by the worker as long as it lives
LOG = "log.txt"


def read_json(path: Path) -> dict | None:
    """The content of a JSON file. None if the file does not exist."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def write_json(path: Path, value: dict) -> None:
    """Replace a JSON file atomically: a reader sees the old content or the new content."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, default=lambda number: number.item()))
    partial.replace(path)
