"""A job as its folder shows it.

A job is running while its worker holds the lock `alive.lock`. The operating system releases the
lock however the process ends. So a job with a free lock and neither result nor error was ended
after a stop, or its process died.
"""

from __future__ import annotations

import string
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..core.errors import LabelAuditError
from ..core.plural import counted
from ..dataset.dataset import Dataset
from ..storage.locks import is_locked
from ..storage.schema import FINISHED
from . import launcher
from .files import (
    ALIVE_LOCK,
    DIED,
    DONE,
    ERROR,
    FAILED,
    LOG,
    PROGRESS,
    REQUEST,
    RESULT,
    RUN,
    RUNNING,
    STOP,
    STOPPED,
    read_json,
)
from .kinds import KINDS

STARTING_SECONDS = 60  # time for a new process to take its lock
LOCKING_SECONDS = 0.2  # time between creating the lock's file and holding the lock
POLL_SECONDS = 0.1
LOG_TAIL = 300  # characters of the log that are searched for the last line of a dead job

TRAINING, TRAINED = "training", "trained"  # where a job can be resumed


class _Counting(string.Formatter):
    """Formats "{samples:sample}" as a number with its noun: "1 sample", "2 samples"."""

    def format_field(self, value, format_spec: str) -> str:
        if format_spec.isalpha():
            return counted(value, format_spec)
        return super().format_field(value, format_spec)


@dataclass(frozen=True)
class Job:
    """A job by its folder. Every property reads the disk, so any process can hold one."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def kind(self) -> str:
        """Name of its kind, a key of KINDS."""
        return self._request["kind"]

    @property
    def dataset(self) -> str:
        return self._request["dataset"]

    @property
    def created(self) -> str:
        """When it was started: ISO 8601, UTC."""
        return self._request["created"]

    @property
    def options(self) -> dict:
        """The options of its kind's function, as JSON values."""
        return self._request["options"]

    @property
    def follows(self) -> str | None:
        """Id of the job that this one resumes or repeats."""
        return self._request.get("follows")

    @cached_property
    def _request(self) -> dict:
        return read_json(self.folder / REQUEST) or {}

    @property
    def run(self) -> dict | None:
        """The run that it writes, as `Run.marks`. None before the first report that names one (a
        resumed job names it from its start), and for a job that writes no run."""
        return read_json(self.folder / RUN)

    @property
    def run_name(self) -> str | None:
        """Name of the run that it writes, if known."""
        run = self.run
        return run["name"] if run else self.options.get("run")

    @property
    def action(self) -> str:
        """What it does, in lower case: "train digits"."""
        return f"{KINDS[self.kind].action} {self.dataset}"

    @property
    def title(self) -> str:
        """What it does, with the run's name: "Train digits, run-1"."""
        run = self.run_name
        return self.action[0].upper() + self.action[1:] + (f", {run}" if run else "")

    @property
    def progress(self) -> dict | None:
        """The latest report, as `Progress.to_dict`; an audit adds `overall`, see `Overall`. None
        before the first."""
        return read_json(self.folder / PROGRESS)

    @property
    def result(self) -> dict | None:
        """What its kind's function returned. None unless it is done."""
        return read_json(self.folder / RESULT)

    @property
    def error(self) -> str | None:
        """Why it failed, died or was stopped, in one sentence. None otherwise."""
        ending = read_json(self.folder / ERROR)
        if ending:
            return ending["message"]
        status = self.status
        if status == DIED:
            last_line = self.log[-LOG_TAIL:].strip().rpartition("\n")[2] or "the log is empty"
            return f"the process ended unexpectedly; last line of its log: {last_line}"
        if status == STOPPED:
            stage = (self.progress or {}).get("stage", "starting")
            if self.resume_point:
                return f"stopped during {stage}: the job can be resumed from what it had finished."
            return f"stopped during {stage}: nothing is stored."
        return None

    @property
    def stop_requested(self) -> bool:
        return (self.folder / STOP).exists()

    @property
    def summary(self) -> str:
        """How it ended, in one line. Empty while it runs."""
        result = self.result
        if result is None:
            return self.error or ""
        # the last report may lack it, or may not have been written
        planned = (self.progress or {}).get("epochs", result.get("epochs"))
        summary = _Counting().format(KINDS[self.kind].summary, **{"planned": planned, **result})
        return summary + (" (stopped early)" if result.get("stopped") else "")

    @property
    def seconds(self) -> float:
        """How long it took, or has taken until now. For a dead job, until its last write."""
        started = (self.folder / REQUEST).stat().st_mtime
        if self.status == RUNNING:
            return time.time() - started
        files = (RESULT, ERROR, STOP, PROGRESS, LOG)
        times = [path.stat().st_mtime for name in files if (path := self.folder / name).exists()]
        return max(times[0] - started, 0.0) if times else 0.0

    @property
    def finished_epochs(self) -> int:
        """Number of finished epochs of its training."""
        return len((self.progress or {}).get("curves") or ())

    @property
    def resumable(self) -> bool:
        """Whether `resume` can continue it."""
        return self.resume_point is not None

    @property
    def resume_point(self) -> str | None:
        """Where it can be resumed: TRAINING (after its last finished epoch), TRAINED (an audit
        that has not predicted and scored yet), or None."""
        run = self.run
        if not run or self.status in (RUNNING, DONE):
            return None
        checkpoint = Path(run["checkpoint"])
        if checkpoint.exists():
            return None if is_locked(checkpoint.with_suffix(".lock")) else TRAINING
        return TRAINED if self.kind == "audit" and self._is_trained() else None

    def _is_trained(self) -> bool:
        """Whether the run that it wrote is trained and not scored yet."""
        try:
            run = Dataset(self.dataset).find_run(self.run)
            return run is not None and run.state == FINISHED and not run.score_names()
        except LabelAuditError:
            return False

    @property
    def log(self) -> str:
        try:
            return (self.folder / LOG).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def status(self) -> str:
        """RUNNING, DONE, STOPPED, FAILED or DIED."""
        # The worker may write its ending and exit between the two checks: look for it again.
        status = self._ending() or (RUNNING if self._is_alive() else self._ending())
        return status or (STOPPED if self.stop_requested else DIED)

    def _ending(self) -> str | None:
        if (self.folder / RESULT).exists():
            return DONE
        ending = read_json(self.folder / ERROR)
        if not ending:
            return None
        return STOPPED if ending["stopped"] else FAILED

    def _is_alive(self) -> bool:
        lock = self.folder / ALIVE_LOCK
        if not lock.exists():
            if launcher.current.has_exited(self.folder):
                return False
            return abs(time.time() - self.folder.stat().st_mtime) < STARTING_SECONDS
        if is_locked(lock):
            return True
        with suppress(FileNotFoundError):  # the file is created a moment before it is locked
            return abs(time.time() - lock.stat().st_mtime) < LOCKING_SECONDS
        return False

    def is_over(self) -> bool:
        """Whether it has ended and will never run again, however the files change."""
        started = (self.folder / ALIVE_LOCK).exists() or self._ending() is not None
        return started and self.status != RUNNING

    def stop(self) -> None:
        """Ask it to end after its current step and to store what is finished. If it takes longer
        than two seconds, its process is ended."""
        if self.status == RUNNING:
            (self.folder / STOP).touch()

    def wait(self, seconds: float = 3600) -> Job:
        """Return this job when it has ended. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while self.status == RUNNING:
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {self.id} is still running after {seconds} s")
            time.sleep(POLL_SECONDS)
        return self
