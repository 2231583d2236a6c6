"""Restricts paths that users of a shared app give: only some folders and prefixes may be read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import BadInputError
from .object_store import clean, is_remote

VARIABLE = "LABELAUDIT_ROOTS"
_SEPARATOR = re.escape(os.pathsep) + r"(?!//)"  # not the colon of a URI


def configured_roots() -> tuple[str, ...]:
    """Return the folders and object-storage prefixes (`s3://bucket/pets`) in LABELAUDIT_ROOTS.

    They are separated by ':' (';' on Windows); links are resolved. Raises BadInputError for a
    relative path, because it would depend on where the server was started.
    """
    parts = re.split(_SEPARATOR, os.environ.get(VARIABLE, ""))
    folders = [os.path.expanduser(part.strip()) for part in parts if part.strip()]
    relative = next((f for f in folders if not os.path.isabs(f) and not is_remote(f)), None)
    if relative is not None:
        raise BadInputError(
            f"{VARIABLE} names {relative!r}, which is not an absolute path: begin it with '/'."
        )
    return tuple(resolved(folder) for folder in folders)


def resolved(path: str | os.PathLike) -> str:
    """Return a path with links and '..' resolved; in a URI of object storage only '..'."""
    return clean(str(path)) if is_remote(path) else os.path.realpath(path)


def is_inside(path: str | os.PathLike, roots: Sequence[str]) -> bool:
    """Return whether a path is one of these resolved roots or inside one.

    Links and '..' are resolved. The path need not exist. A path with a NUL byte is never inside.
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
    """Return the path with links resolved. Raises BadInputError if it is outside of the roots."""
    if not is_inside(path, roots):
        raise BadInputError(
            f"{str(path)!r} lies outside of the folders that may be used here "
            f"({', '.join(roots) or 'none'}): give a path inside one of them, or ask the person "
            f"who started the app to change {VARIABLE}."
        )
    return resolved(path)
