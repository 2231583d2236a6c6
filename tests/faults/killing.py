"""Runs operations in separate processes and kills these: at a random moment, or just before the
n-th time that something is written, renamed or removed."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import operations
import torch
from forks import CONTEXT

import labelaudit
from labelaudit import Dataset
from labelaudit.storage import local_store, paths, snapshot
from labelaudit.storage.tables import Staging, Store

COMMITS, COMMITTED = "commits", "committed"  # the moments before and after `current` is replaced
WAIT = 300  # seconds, for a machine that is busy with other things


@dataclass
class Outcome:
    """How a process ended."""

    killed: bool
    said: list = field(default_factory=list)  # acknowledged before it ended
    seconds: float = 0.0  # of the operation
    points: list[str] = field(
        default_factory=list
    )  # what happens at each, where it could be killed
    error: str | None = None


def run(
    folder: Path, name: str, at: int | None = None, after: float | None = None,
    limit: int | None = None,
) -> Outcome:  # fmt: skip
    """Do this operation on a home, in another process. at: the point at which it is killed (1 is
    the first). after: seconds after which it is. limit: bytes that no file may be larger than."""
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_work, args=(str(folder), name, at, limit, there))
    process.start()
    there.close()
    outcome = Outcome(killed=False)
    try:
        while True:
            if not here.poll(WAIT):
                process.kill()
                raise TimeoutError(f"{name} has not ended after {WAIT} s")
            word, value = here.recv()
            if word == "begins" and after is not None:
                time.sleep(after)
                process.kill()
            elif word == "said":
                outcome.said.append(value)
            elif word == "done":
                outcome.seconds, outcome.points = value
            elif word == "failed":
                outcome.error = value
    except EOFError:
        pass
    process.join(WAIT)
    outcome.killed = process.exitcode == -signal.SIGKILL
    assert outcome.killed or process.exitcode == 0, f"{name} ended with {process.exitcode}"
    return outcome


def _work(folder: str, name: str, at: int | None, limit: int | None, pipe) -> None:
    os.environ["LABELAUDIT_HOME"] = folder
    torch.set_num_threads(1)
    if name in ("prepare", "tidy"):
        getattr(operations, name)()
        return
    dataset = Dataset(operations.NAME) if operations.NAME in labelaudit.list_datasets() else None
    points = _Points(at)
    points.install()
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    pipe.send(("begins", None))
    begin = time.monotonic()
    try:
        operations.OPERATIONS[name].do(dataset, lambda value: pipe.send(("said", value)))
        pipe.send(("done", (time.monotonic() - begin, points.names)))
    except labelaudit.LabelAuditError as error:
        pipe.send(("failed", str(error)))


class _Points:
    """Counts what writes; the process dies of it at one of these, with nothing done of it. The
    replacement of a dataset's `current` has another point, COMMITTED, with all of it done."""

    def __init__(self, at: int | None) -> None:
        self.at, self.names = at, []

    def install(self) -> None:
        for owner, names in (
            (
                Store,
                ("_hold", "_create", "_once", "_written", "_swap", "_remove_files", "_release"),
            ),
            (Staging, ("upsert", "publish")),
            (snapshot.Pointer, ("swap", "remove_leftovers")),
            (local_store, ("delete_below", "delete")),
            (os, ("replace", "rename", "unlink")),
            (paths, ("remove",)),
        ):
            for name in names:
                setattr(owner, name, self._counted(getattr(owner, name), name))

    def _counted(self, function, name: str):
        def counted(*arguments, **options):
            commits = name == "replace" and Path(arguments[1]).name == snapshot.POINTER
            self._passed(COMMITS if commits else name)
            result = function(*arguments, **options)
            if commits:
                self._passed(COMMITTED)
            return result

        return counted

    def _passed(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def copy(prepared: Path, folder: Path) -> Path:
    """A home like the prepared one, in place of what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copytree(prepared / "datasets", folder / "datasets")
    for path in prepared.glob("*.jsonl"):
        shutil.copy(path, folder)
    return folder
