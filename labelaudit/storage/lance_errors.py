"""Translates errors of LanceDB, which tell what happened only in their text."""

from __future__ import annotations

import re

from ..core.errors import LabelAuditError, StorageError
from . import object_store

# Messages of operating systems, as LanceDB passes them on.
_DISK_FULL = (
    "No space left",
    "os error 28",
    "Disk quota exceeded",
    "os error 122",
    "File too large",
    "os error 27",
)
_NOT_WRITABLE = ("Read-only file system", "os error 30", "Permission denied", "os error 13")


def is_missing_file(error: Exception) -> bool:
    """Return whether a file of a table does not exist any more."""
    return re.search(r"Not found: \S+\.(lance|manifest|arrow|idx)\b", str(error)) is not None


def write_error(error: Exception, table: str | None, dataset: str, uri: str) -> LabelAuditError:
    """Return the error to raise when a table, or a commit (None), could not be written."""
    text = str(error)
    if any(words in text for words in _DISK_FULL):
        reason = "no space left on the disk; free some and try again"
    elif any(words in text for words in _NOT_WRITABLE):
        reason = "the folder is not writable; get write permission, or copy it elsewhere"
    elif object_store.is_remote(uri):
        reason = str(object_store.translated(error, uri)).rstrip(".")
    else:
        reason = text
    what = f"dataset {dataset!r}" if table is None else f"table {table!r} of dataset {dataset!r}"
    return StorageError(
        f"could not write {what} under {uri}: {reason}. The earlier content is unchanged."
    )
