"""Files that were uploaded, for jobs to read. Their size is bounded by server.maxUploadSize."""

from __future__ import annotations

import re
import shutil
import time
import uuid

from ..core.errors import LabelAuditError
from ..storage.paths import local_home

KEPT_SECONDS = 24 * 3600  # a job that failed may be run again meanwhile
NAME_LENGTH = 120


def keep(upload, folder: str | None = None) -> str:
    """Write an upload into a folder of its own, so that no other takes its place. Returns the path.

    folder: its name, where the same upload may come again; else a new one.

    Of its name only what is harmless stays: it names a file here. Raises LabelAuditError where it
    cannot be written.
    """
    root = local_home() / "uploads"
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        _remove_old(root)
        place = root / (folder or uuid.uuid4().hex)
        place.mkdir(mode=0o700, exist_ok=folder is not None)
        path = place / safe_name(upload.name)
        path.write_bytes(upload.getbuffer())
    except OSError as error:
        raise LabelAuditError(
            f"the upload could not be kept under {root}: {error.strerror}."
        ) from error
    return str(path)


def safe_name(name: str) -> str:
    """The last part of a name, without what no file is called; its suffix says what it is."""
    last = re.split(r"[/\\]", name)[-1]
    stem, dot, suffix = re.sub(r"[^\w. -]", "_", last).lstrip(". ").rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    return (stem[:NAME_LENGTH] or "upload") + dot + suffix[:20]


def _remove_old(root) -> None:
    for folder in root.iterdir():
        if time.time() - folder.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
