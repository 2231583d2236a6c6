"""Starts the worker of a job. Tests replace `current` to run jobs in their own process."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

from ..core.subprocess_env import command, environment
from .files import LOG


class Launcher(Protocol):
    def launch(self, folder: Path) -> None:
        """Start a worker on the job of this folder, and return without waiting for it."""

    def has_exited(self, folder: Path) -> bool:
        """Whether this launcher started the job's worker and knows that it has ended."""


class ProcessLauncher:
    """Runs each job in a process of its own, which outlives the process that started it."""

    def __init__(self) -> None:
        self.processes: dict[Path, subprocess.Popen] = {}  # by the job's folder

    def launch(self, folder: Path) -> None:
        for process in self.processes.values():
            process.poll()  # an ended process stays a zombie until it is polled
        with (folder / LOG).open("wb") as log:
            self.processes[folder] = subprocess.Popen(
                command("jobs.worker", str(folder)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment(),
            )

    def has_exited(self, folder: Path) -> bool:
        process = self.processes.get(folder)
        return process is not None and process.poll() is not None


current: Launcher = ProcessLauncher()
