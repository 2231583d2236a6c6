"""Keeps exports out of the folders that the images came from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..core.errors import LabelAuditError
from ..dataset.view import View
from ..storage.schema import FROM_FOLDER
from .content import stored_sizes


def check_outside(view: View, path: Path) -> None:
    """Raises LabelAuditError where something written at this path would lie among the images that
    the dataset was made of: it would be taken for some of them when they are loaded again."""
    real = Path(os.path.realpath(path))
    sources = source_folders(view)
    among = next((folder for folder in (real, *real.parents) if str(folder) in sources), None)
    if among is not None:
        raise LabelAuditError(
            f"{path} lies in {among}, where the source images are: name another place, or say "
            "into_source (--into-source)."
        )


def source_folders(view: View) -> set[str]:
    """Real paths of the folder that the dataset was loaded from, and of those that hold images."""
    frame = view.frame
    files = stored_sizes(view) < 0
    paths = frame.take("samples", np.flatnonzero(files), ["filepath"])["filepath"].to_pylist()
    folders = {os.path.dirname(path) for path in paths}
    source = frame.meta["source"] or ""
    if source.startswith(FROM_FOLDER):
        folders.add(source.removeprefix(FROM_FOLDER))
    return {os.path.realpath(folder) for folder in folders}
