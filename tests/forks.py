"""New processes as forks of one that has imported everything: each starts in milliseconds, where a
new interpreter takes seconds to import torch and LanceDB."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver
from pathlib import Path

import pytest

CONTEXT = multiprocessing.get_context("forkserver")
IMPORTED = [
    "labelaudit.pipeline", "labelaudit.learn.first_look", "labelaudit.report",
    "labelaudit.review.apply", "labelaudit.jobs.worker",
    "torch._dynamo",  # torch.optim imports it when it is first used
]  # fmt: skip
STOP_SECONDS = 120  # a busy machine needs more than the 1.5 s that a job has to react to a stop


def warm_up() -> None:
    """Start the process that the others are forks of."""
    CONTEXT.set_forkserver_preload(IMPORTED)
    with pytest.MonkeyPatch.context() as patch:  # it finds what it imports by this only
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        patch.setenv("PYTHONWARNINGS", "ignore:lancedb fork:RuntimeWarning")
        forkserver.ensure_running()


class ForkLauncher:
    """Runs each job in a process of its own, as `ProcessLauncher` does, but forked.

    stop_seconds: time that a job has to react to a stop before it is killed.
    """

    def __init__(self, stop_seconds: float = STOP_SECONDS) -> None:
        warm_up()
        self.stop_seconds = stop_seconds
        self.processes: dict[Path, multiprocessing.Process] = {}  # by the job's folder

    def launch(self, folder: Path) -> None:
        arguments = (folder, dict(os.environ), self.stop_seconds)
        process = CONTEXT.Process(target=_work, args=arguments)
        process.start()
        self.processes[folder] = process

    def has_exited(self, folder: Path) -> bool:
        process = self.processes.get(folder)
        return process is not None and not process.is_alive()

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.join()
        self.processes.clear()


def _work(folder: Path, environment: dict[str, str], stop_seconds: float) -> None:
    from labelaudit.jobs import guard, worker
    from labelaudit.jobs.files import LOG

    guard.STOP_SECONDS = stop_seconds
    guard.SAVING_SECONDS = max(guard.SAVING_SECONDS, stop_seconds)
    os.environ.update(environment)
    os.setsid()
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.exit(worker.main(folder))


class Program:
    """A Python program in a process of its own: `python -c program arguments`, but forked.

    environment: variables that it has besides those of this process.
    """

    def __init__(self, program: str, *arguments, **environment) -> None:
        warm_up()
        theirs, self._in = CONTEXT.Pipe(duplex=False)
        self._out, printed = CONTEXT.Pipe(duplex=False)
        words, variables = list(map(str, arguments)), {**os.environ, **environment}
        self._process = CONTEXT.Process(
            target=_execute, args=(program, words, variables, theirs, printed)
        )
        self._process.start()
        self.pid = self._process.pid
        theirs.close()
        printed.close()
        self.stdin = os.fdopen(self._in.fileno(), "w", closefd=False)
        self.stdout = os.fdopen(self._out.fileno(), closefd=False)

    def communicate(self) -> str:
        """Wait for its end. Returns what it has printed."""
        self._in.close()
        printed = self.stdout.read()
        self.wait()
        return printed

    def wait(self) -> int:
        """Wait for its end. Returns its exit status; -9 if it was killed."""
        self._process.join(300)
        assert self._process.exitcode is not None, "it has not ended after 300 s"
        return self._process.exitcode

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait()


def _execute(program: str, arguments: list[str], environment: dict, stdin, stdout) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, pipe in ((0, stdin), (1, stdout)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.argv = ["-c", *arguments]
    exec(program, {"__name__": "__main__"})
