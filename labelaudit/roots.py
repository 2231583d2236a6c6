"""Which folders of this machine may be read, where paths come from others than its own user."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .errors import LabelAuditError

VARIABLE = "LABELAUDIT_ROOTS"


def configured_roots() -> tuple[str, ...]:
    """The folders that LABELAUDIT_ROOTS names, parted by ':' (';' on Windows), links resolved.

    Raises LabelAuditError for one that is not absolute: where the server was started is chance.
    """
    given = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part.strip()]
    folders = [os.path.expanduser(part.strip()) for part in given]
    odd = next((part for part in folders if not os.path.isabs(part)), None)
    if odd is not None:
        raise LabelAuditError(
            f"{VARIABLE} names {odd!r}, which is no absolute path: write it from '/' on."
        )
    return tuple(os.path.realpath(folder) for folder in folders)


def is_inside(path: str | os.PathLike, roots: Sequence[str]) -> bool:
    """Whether a path leads into one of these resolved folders, or is one, links and '..' followed.

    It need not be there. One with a NUL byte, which no file system has, leads nowhere.
    """
    try:
        real = Path(os.path.realpath(path))
    except (ValueError, OSError):
        return False
    return any(real.is_relative_to(root) for root in roots)


def check_inside(path: str | os.PathLike, roots: Sequence[str]) -> str:
    """The path, with links resolved. Raises LabelAuditError where it leads elsewhere."""
    if not is_inside(path, roots):
        raise LabelAuditError(
            f"{str(path)!r} lies outside of the folders that may be used here "
            f"({', '.join(roots) or 'none'}): give a path in one of them, or have {VARIABLE} "
            "changed by whoever started the app."
        )
    return os.path.realpath(path)
