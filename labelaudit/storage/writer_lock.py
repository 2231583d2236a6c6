"""The lock of a dataset's writers: a file lock on this machine and, in object storage, a lease."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import BusyError, StorageError
from . import lease, locks, paths

LOCK_SECONDS = 120


class WriterLock:
    """One writer of a dataset at a time, on all machines. Re-entrant within a thread."""

    def __init__(self, name: str, seconds: float | None = None) -> None:
        """seconds: how long to wait; None: LOCK_SECONDS."""
        self._name = name
        self._seconds = seconds
        self._file = locks.exclusive(paths.lock_path(name))
        self._lease = lease.Lease(paths.lease_uri(name)) if paths.is_remote() else None

    @contextmanager
    def hold(self) -> Iterator[bool]:
        """Hold the lock. Yields whether this is the outermost block of this thread.

        Raises BusyError if another process holds it for too long, and StorageError if the lock
        cannot be written.
        """
        self._acquire_file()
        try:
            outermost = self._file.lock_counter == 1
            if outermost and self._lease:
                self._acquire_lease()
            yield outermost
        finally:
            try:
                if self._lease and self._file.lock_counter == 1:
                    self._lease.release()
            finally:
                self._file.release()

    @property
    def is_held(self) -> bool:
        """Whether this thread holds the lock."""
        return self._file.is_locked

    @property
    def is_untouched(self) -> bool:
        """Whether nobody else has held it since this object did, so that nobody else has written.
        Only known in object storage, where it saves requests."""
        return self._lease is not None and self._lease.is_untouched

    @property
    def _patience(self) -> float:
        """How long to wait, in seconds."""
        return LOCK_SECONDS if self._seconds is None else self._seconds

    def check(self) -> None:
        """Raise BusyError if the lock was held here, but another machine may have taken it over."""
        if self._lease and self.is_held and not self._lease.is_sure:
            raise BusyError(
                f"the storage of dataset {self._name!r} could not be reached for too long, and "
                "others may write to it by now: check whether the change is there, and repeat it "
                "if not."
            )

    def _acquire_file(self) -> None:
        try:
            Path(self._file.lock_file).parent.mkdir(parents=True, exist_ok=True)
            self._file.acquire(timeout=self._patience)
        except TimeoutError as error:
            raise self._busy("another process") from error
        except OSError as error:
            raise StorageError(
                f"dataset {self._name!r} cannot be changed, because {self._file.lock_file} cannot "
                f"be written ({error.strerror}): free some space, or get write permission there."
            ) from error

    def _acquire_lease(self) -> None:
        try:
            self._lease.acquire(self._patience)
        except lease.HeldError as error:
            raise self._busy(error.holder) from error

    def _busy(self, holder: str) -> BusyError:
        return BusyError(
            f"dataset {self._name!r} has been written to by {holder} for over {self._patience:g} "
            "s: wait for it to finish, or end it, and try again."
        )
