"""Which folders of this machine, and prefixes of object storage, may be read, where paths come from
others than its own user."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import LabelAuditError
from .object_store import clean, is_remote

VARIABLE = "LABELAUDIT_ROOTS"
_PARTED = re.escape(os.pathsep) + r"(?!//)"  # the colon of a URI parts nothing


def configured_roots() -> tuple[str, ...]:
    """The folders that LABELAUDIT_ROOTS names, parted by ':' (';' on Windows), links resolved; and
    prefixes of object storage, `s3://bucket/pets`.

    Raises LabelAuditError for one that is not absolute: where the server was started is chance.
    """
    given = re.split(_PARTED, os.environ.get(VARIABLE, ""))
    folders = [os.path.expanduser(part.strip()) for part in given if part.strip()]
    odd = next((f for f in folders if not os.path.isabs(f) and not is_remote(f)), None)
    if odd is not None:
        raise LabelAuditError(
            f"{VARIABLE} names {odd!r}, which is no absolute path: write it from '/' on."
        )
    return tuple(resolved(folder) for folder in folders)


def resolved(path: str | os.PathLike) -> str:
    """A path with links and '..' followed; of a URI of object storage '..' alone."""
    return clean(str(path)) if is_remote(path) else os.path.realpath(path)


def is_inside(path: str | os.PathLike, roots: Sequence[str]) -> bool:
    """Whether a path leads into one of these resolved folders, or is one, links and '..' followed.

    It need not be there. One with a NUL byte, which no file system has, leads nowhere.
    """
    if is_remote(path):
        uri = clean(str(path))
        return any(is_remote(root) and f"{uri}/".startswith(f"{root}/") for root in roots)
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
    return resolved(path)
