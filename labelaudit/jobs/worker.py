"""Runs one job: does the work and stores its progress, log and result in the job's folder.

`python -m labelaudit.jobs.worker FOLDER` is the process that `ProcessLauncher` starts.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from ..core.errors import LabelAuditError, StoppedError
from ..core.progress import Progress, Task
from ..storage.locks import exclusive
from .files import ALIVE_LOCK, ERROR, PROGRESS, REQUEST, RESULT, RUN, STOP, read_json, write_json
from .guard import guarded
from .kinds import KINDS
from .overall import Overall

NICENESS = 5  # the app that shows the job has priority

log = logging.getLogger(__name__)


def main(folder: Path) -> int:
    """Run the job of a folder as the only task of this process. Returns the exit code."""
    with guarded(folder):  # forks, and the fork must not inherit the job's lock
        faulthandler.enable()  # a crash in native code writes a traceback to the log
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
        )
        if hasattr(os, "nice"):
            os.nice(NICENESS)
        return 0 if run_job(folder) else 1


def run_job(folder: Path) -> bool:
    """Run the job of a folder, and store how it ended. Returns whether it is done."""
    with exclusive(folder / ALIVE_LOCK):
        try:
            write_json(folder / RESULT, _run(folder))
            return True
        except LabelAuditError as error:
            log.info("%s", error)
            write_error(folder, str(error), stopped=isinstance(error, StoppedError))
        except Exception as error:
            traceback.print_exc()
            write_error(folder, f"{type(error).__name__}: {error}")
        return False


def _run(folder: Path) -> dict:
    request = read_json(folder / REQUEST)
    is_stopped = (folder / STOP).exists
    if is_stopped():
        raise StoppedError("stopped before it started: nothing is stored.")
    resumed = {"resumed": request["resumes"]} if request.get("resumes") else {}
    function = KINDS[request["kind"]].function
    overall = None
    if request["kind"] == "audit":
        options = request["options"]
        trains = any(options.get(name) for name in ("train", "run", "config")) or bool(resumed)
        overall = Overall(trains, bool(resumed))
    task = Task(Reporter(folder, overall), is_stopped)
    return function(request["dataset"], task, **request["options"], **resumed)


def write_error(folder: Path, message: str, stopped: bool = False) -> None:
    """Store why the job ended, also on a full disk."""
    ending = {"message": message, "stopped": stopped}
    try:
        write_json(folder / ERROR, ending)
    except OSError:  # the disk is full: delete the last report to make space for the reason
        for name in ("error.partial", "progress.partial", PROGRESS):
            (folder / name).unlink(missing_ok=True)
        write_json(folder / ERROR, ending)


class Reporter:
    """Stores each report and the run that is written in the folder. Logs one line per stage.

    overall: adds to each report how far the whole job is; None if the job has one stage.
    """

    def __init__(self, folder: Path, overall: Overall | None = None) -> None:
        self._folder, self._overall = folder, overall
        self._run: dict | None = None
        self._line: str | None = None

    def __call__(self, report: Progress) -> None:
        if report.run not in (None, self._run):
            write_json(self._folder / RUN, report.run)
            self._run = report.run
        with suppress(OSError):  # a full disk fails the work itself, where it loses something
            whole = {"overall": self._overall(report)} if self._overall else {}
            write_json(self._folder / PROGRESS, report.to_dict() | whole)
        line = report.stage
        if report.epoch:
            line += f", epoch {report.epoch} of {report.epochs}"
        if line != self._line:
            log.info(line)
            self._line = line


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
