"""Ends a worker that does not react to a stop.

Everything that a worker writes is replaced atomically, so it may be ended at any moment.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..cluster import RAY
from .files import PROGRESS, REQUEST, STOP, read_json

STOP_SECONDS = 1.5  # time to end after a stop was requested
SAVING_SECONDS = 10.0  # the same while a trained model is saved
CLUSTER_SECONDS = 30.0  # the same for a job that has to end the workers of a cluster
POLL_SECONDS = 0.05


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """End this process if the body goes on for too long after a stop was requested.

    The guard is a process, not a thread: importing torch from a cold disk can hold the interpreter
    for three seconds. Windows cannot fork, so there it is a thread.
    """
    if not hasattr(os, "fork"):
        over = threading.Event()
        arguments = (folder, lambda: not over.is_set(), lambda: os._exit(1))
        threading.Thread(target=watch, args=arguments, daemon=True).start()
        try:
            yield
        finally:
            over.set()
        return
    worker = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            watch(folder, lambda: os.getppid() == worker, lambda: os.kill(worker, signal.SIGKILL))
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def watch(folder: Path, is_alive: Callable[[], bool], end: Callable[[], None]) -> None:
    """Call `end` if the worker is still alive when its time to stop is over."""
    requested = None
    while is_alive():
        if requested is None and (folder / STOP).exists():
            requested = time.monotonic()
        if requested is not None and time.monotonic() - requested > patience(folder):
            return end()
        time.sleep(POLL_SECONDS)


def patience(folder: Path) -> float:
    """Seconds that this job may take to end after a stop was requested."""
    if (read_json(folder / REQUEST) or {}).get("options", {}).get("on") == RAY:
        return CLUSTER_SECONDS
    saving = (read_json(folder / PROGRESS) or {}).get("stage") == "saving"
    return SAVING_SECONDS if saving else STOP_SECONDS
