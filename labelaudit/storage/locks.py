"""Files that are held while something is being done, and found free once the one who did it died.

They are held by locks of the operating system that several may share (flock), so whoever wants to
clear up asks for the file alone. Where there are none (Windows) nothing is ever taken for left
behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def hold(path: Path) -> int:
    """Make this file, if it is not there, and hold it, beside others. Returns its descriptor.

    Raises OSError where that cannot be.
    """
    while True:
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if fcntl:
            with suppress(OSError):  # a file system without locks: nobody can clear up there
                fcntl.flock(held, fcntl.LOCK_SH)
        if _is(path, held):  # else it was taken for left behind before it was held
            return held
        os.close(held)


def let_go(path: Path, held: int) -> None:
    """The end of `hold`: the file goes, unless another process holds it too."""
    try:
        if _locks_alone(held) and _is(path, held):
            path.unlink(missing_ok=True)
    finally:
        os.close(held)


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """`hold` it while the body runs; where that fails the file is left behind."""
    held = hold(path)
    try:
        yield
    except BaseException:
        os.close(held)
        raise
    let_go(path, held)


@contextmanager
def left_behind(path: Path) -> Iterator[bool]:
    """Whether the file is there and nobody holds it. If so nobody can while the body runs, and
    unless that fails the file is removed."""
    try:
        held = os.open(path, os.O_RDWR)
    except OSError:
        yield False
        return
    try:
        dead = bool(fcntl) and _locks_alone(held) and _is(path, held)
        yield dead
        if dead:
            path.unlink(missing_ok=True)
    finally:
        os.close(held)


def _locks_alone(held: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is(path: Path, held: int) -> bool:
    """Whether the file of this descriptor still lies there."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(held))
    except FileNotFoundError:
        return False
