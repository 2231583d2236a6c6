"""What is checked before an export is written: the target, the space, and the source folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from ..core.errors import BadInputError, NotFoundError, StorageError
from ..dataset.view import View
from ..storage.schema import FROM_FOLDER
from .samples import stored_sizes


def check_target(target: Path) -> None:
    """Raise LabelAuditError if a new folder cannot be created at this path."""
    above = next((path for path in target.parents if path.exists()), None)
    if above is not None and not above.is_dir():
        raise BadInputError(
            f"{target} cannot be created because {above} is a file: choose another folder."
        )
    if not target.parent.is_dir():
        raise NotFoundError(f"{target.parent} does not exist: create that folder first.")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise BadInputError(f"{target} already exists: choose a new folder.")
    if target.is_dir() and any(target.iterdir()):
        raise BadInputError(
            f"{target} already exists and is not empty: choose a new folder, or empty it."
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise StorageError(f"{target.parent} is not writable: choose another folder.")


def check_space(target: Path, needed: int) -> None:
    """Raise LabelAuditError if fewer than `needed` bytes are free."""
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise StorageError(
            f"{target} needs {format_bytes(needed)}, but only {format_bytes(free)} are free: free "
            "some space, or choose another place."
        )


def check_outside_sources(view: View, path: Path) -> None:
    """Raise LabelAuditError if a path is inside a folder of the dataset's source images.

    An export there would be loaded as source images the next time.
    """
    real = Path(os.path.realpath(path))
    sources = source_folders(view)
    inside = next((folder for folder in (real, *real.parents) if str(folder) in sources), None)
    if inside is not None:
        raise BadInputError(
            f"{path} is inside {inside}, where the source images are: choose another place, or set "
            "into_source (--into-source)."
        )


def source_folders(view: View) -> set[str]:
    """Return the real paths of the loaded folder and of all folders that contain images."""
    frame = view.frame
    files = stored_sizes(view) < 0
    paths = frame.take("samples", np.flatnonzero(files), ["filepath"])["filepath"].to_pylist()
    folders = {os.path.dirname(path) for path in paths}
    source = frame.meta["source"] or ""
    if source.startswith(FROM_FOLDER):
        folders.add(source.removeprefix(FROM_FOLDER))
    return {os.path.realpath(folder) for folder in folders}


def format_bytes(count: int) -> str:
    """Format a number of bytes for users, such as "1.5 GB"."""
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    has_no_decimals = units[0] == "bytes" or value >= 100
    return f"{value:,.0f} {units[0]}" if has_no_decimals else f"{value:.1f} {units[0]}"
