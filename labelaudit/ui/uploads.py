"""Stores uploaded files for jobs to read. server.maxUploadSize limits their size."""

from __future__ import annotations

import re
import shutil
import time
import uuid

from ..core.errors import StorageError
from ..storage.paths import local_home

STORED_SECONDS = 24 * 3600  # so that a failed job can be run again
NAME_LENGTH = 120


def store(upload, folder: str | None = None) -> str:
    """Store an upload in a folder of its own, under a safe version of its name. Returns the path.

    folder: name of the folder if the same upload may come again; a new one by default. Raises
    LabelAuditError if the file cannot be written.
    """
    root = local_home() / "uploads"
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        _remove_old(root)
        parent = root / (folder or uuid.uuid4().hex)
        parent.mkdir(mode=0o700, exist_ok=folder is not None)
        path = parent / safe_name(upload.name)
        stored = folder is not None and path.exists() and path.stat().st_size == upload.size
        if not stored:  # the page may ask for the same upload again and again
            path.write_bytes(upload.getbuffer())
    except OSError as error:
        raise StorageError(
            f"the upload could not be stored in {root}: {error.strerror}."
        ) from error
    return str(path)


def safe_name(name: str) -> str:
    """Return the last part of the name without unsafe characters; the suffix stays."""
    last = re.split(r"[/\\]", name)[-1]
    stem, dot, suffix = re.sub(r"[^\w. -]", "_", last).lstrip(". ").rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    return (stem[:NAME_LENGTH] or "upload") + dot + suffix[:20]


def _remove_old(root) -> None:
    for folder in root.iterdir():
        if time.time() - folder.stat().st_mtime > STORED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
