"""A run's files on this machine while it is not finished, and the locks on them."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from ..storage import paths
from ..storage.locks import FileLock, UseMark, exclusive, is_locked

# A process that only asks whether a lock is held may hold it for less than this.
PROBE_SECONDS = 0.5

_held: dict[Path, UseMark] = {}  # marks of the runs that this process has begun and not finished


class RunFiles:
    """The paths of one run. They differ from those of any other run, dataset or home."""

    def __init__(self, dataset: str, created: str, run_id: int) -> None:
        """created: when the dataset was created."""
        stem = f"{file_prefix(created)}{run_id}"
        self.checkpoint = paths.checkpoints(dataset) / f"{stem}.safetensors"
        self.recording = self.checkpoint.with_suffix(".recording")
        self.begun = self.checkpoint.with_suffix(".begun")  # held by the process that began the run
        self.lock = self.checkpoint.with_suffix(".lock")  # held by the process that trains it

    @property
    def is_resumable(self) -> bool:
        """Whether a training or a Recorder can continue from these files."""
        return self.checkpoint.exists() or self.recording.exists()

    @property
    def in_training(self) -> bool:
        """Whether a process on this machine trains the run now."""
        return is_locked(self.lock)

    def begin_training(self) -> FileLock:
        """Take the right to train the run. Raises TimeoutError if another process has it."""
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        lock = exclusive(self.lock, PROBE_SECONDS)
        lock.acquire()
        return lock

    def end_training(self, lock: FileLock) -> None:
        """Give the right back."""
        with suppress(OSError):
            self.lock.unlink()
        lock.release()

    def hold(self) -> None:
        """Protect the run from being cleaned up as long as this process lives."""
        self.begun.parent.mkdir(parents=True, exist_ok=True)
        mark = UseMark(self.begun)
        mark.acquire()
        _held[self.begun] = mark

    def release(self) -> None:
        """End the protection."""
        if self.begun in _held:
            _held.pop(self.begun).release()
        # if another process began the run and died, its mark is still there
        with UseMark(self.begun).cleaning_up():
            pass


def file_prefix(created: str) -> str:
    """Return the first part of the names of all files of a dataset that was created then."""
    return re.sub(r"\D", "", created) + "-"
