"""Locks between the processes of one machine. They are released when the process dies.

There are two kinds:

- `exclusive(path)`: one holder at a time, others wait. `is_locked(path)` checks it.
- `UseMark(path)`: a file that exists while something is in use. Several processes may hold it. If
  they die the file stays, and shows that something must be cleaned up.

Dataset writers use `writer_lock`, which also works across machines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def exclusive(path: Path, seconds: float = -1, **options) -> FileLock:
    """Return a lock to be used as `with exclusive(path): ...`.

    Acquiring it raises TimeoutError after `seconds`; -1 waits without limit. A lock object is
    re-entrant within a thread. options: see filelock.FileLock.
    """
    return FileLock(path, timeout=seconds, **options)


def is_locked(path: Path) -> bool:
    """Return whether a process holds the exclusive lock at this path."""
    if not path.exists():
        return False
    if fcntl is None:
        try:
            with exclusive(path, seconds=0):
                return False
        except TimeoutError:
            return True
    # A shared lock: two processes that ask at the same time do not see each other.
    return _conflicts(path, fcntl.LOCK_SH)


class UseMark:
    """A file that this process holds while it uses something. Several processes may hold it.

    As a context manager it is removed at the end, unless another process holds it too. If the block
    fails the file stays, and shows that something must be cleaned up.

    It is held with a shared flock, so a clean-up asks for an exclusive one. Without flock (Windows,
    some network drives) no file ever counts as abandoned.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor: int | None = None  # while this object holds the file

    def acquire(self) -> None:
        """Create the file if necessary, and hold it. Raises OSError if that is impossible."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            if fcntl:
                with suppress(OSError):  # a file system without locks: nobody can clean up there
                    fcntl.flock(descriptor, fcntl.LOCK_SH)
            if self._is_at_path(descriptor):
                self.descriptor = descriptor
                return
            os.close(descriptor)  # a clean-up removed the file before the lock was set

    def release(self) -> None:
        """Stop holding the file, and remove it unless another process holds it."""
        try:
            if _lock_alone(self.descriptor) and self._is_at_path(self.descriptor):
                self.path.unlink(missing_ok=True)
        finally:
            self.close()

    def close(self) -> None:
        """Stop holding the file, and leave it."""
        os.close(self.descriptor)
        self.descriptor = None

    def __enter__(self) -> UseMark:
        self.acquire()
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.release()
        else:
            self.close()

    def is_held(self) -> bool:
        """Return whether any process holds the file. Can be True while others ask the same."""
        if fcntl is None:
            return is_locked(self.path)
        return self.path.exists() and _conflicts(self.path, fcntl.LOCK_EX)

    @contextmanager
    def cleaning_up(self) -> Iterator[bool]:
        """Yield whether the file exists and nobody holds it.

        If so, nobody can acquire it within the block, and it is removed at the end unless the block
        fails.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR)
        except OSError:
            yield False
            return
        try:
            abandoned = bool(fcntl) and _lock_alone(descriptor) and self._is_at_path(descriptor)
            yield abandoned
            if abandoned:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def _is_at_path(self, descriptor: int) -> bool:
        """Whether the path still leads to this open file."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(descriptor))
        except FileNotFoundError:
            return False


def _conflicts(path: Path, kind: int) -> bool:
    """Whether a lock of this kind cannot be had now because of another holder."""
    try:
        with path.open() as file:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
    except FileNotFoundError:  # removed in the meantime
        return False
    except BlockingIOError:
        return True
    return False


def _lock_alone(descriptor: int) -> bool:
    """Lock an open file exclusively. False if another process holds it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
