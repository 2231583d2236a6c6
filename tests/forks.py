"""New processes as forks of one that has imported everything: each starts in milliseconds, where a
new interpreter takes seconds to import torch and LanceDB."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from pathlib import Path

import pytest

from labelaudit.jobs import worker
from labelaudit.jobs.files import LOG

CONTEXT = multiprocessing.get_context("forkserver")
IMPORTED = [
    "labelaudit.pipeline", "labelaudit.learn.first_look", "labelaudit.report",
    "labelaudit.review.apply", "labelaudit.jobs.worker",
    "torch._dynamo",  # torch.optim imports it when it is first used
]  # fmt: skip


def warm_up() -> None:
    """Start the process that the others are forks of."""
    CONTEXT.set_forkserver_preload(IMPORTED)
    with pytest.MonkeyPatch.context() as patch:  # it finds what it imports by this only
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        patch.setenv("PYTHONWARNINGS", "ignore:lancedb fork:RuntimeWarning")
        forkserver.ensure_running()


class ForkLauncher:
    """Runs each job in a process of its own, as `ProcessLauncher` does, but forked."""

    def __init__(self) -> None:
        warm_up()
        self.processes: dict[Path, multiprocessing.Process] = {}  # by the job's folder

    def launch(self, folder: Path) -> None:
        process = CONTEXT.Process(target=_work, args=(folder, dict(os.environ)))
        process.start()
        self.processes[folder] = process

    def has_exited(self, folder: Path) -> bool:
        process = self.processes.get(folder)
        return process is not None and not process.is_alive()

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.join()


def _work(folder: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    os.setsid()
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.exit(worker.main(folder))
