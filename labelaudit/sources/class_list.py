"""The file beside a manifest that keeps what a manifest cannot: `<its name>.classes.json`."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from ..storage.schema import CLASS_LIST_SUFFIX
from .files import Files

LARGEST = 256 << 20  # bytes that are read of such a file: a million long names


def class_list_of(listing: str) -> str:
    """The name of the file that goes with a manifest of this name."""
    return str(PurePosixPath(listing).with_suffix("")) + CLASS_LIST_SUFFIX


def read_beside(files: Files, name: str) -> bytes | None:
    """A small file of a folder or an archive; None where there is none."""
    if not files.holds(name):
        return None
    with files.open(name) as file:
        return file.read(LARGEST)


def parse_class_list(data: bytes) -> dict | None:
    """classes: names in their order; of class folders also what each folder stands for. None where
    it is somebody else's file."""
    try:
        told = json.loads(data)
    except ValueError:
        return None
    if not isinstance(told, dict) or not str(told.get("made_by", "")).startswith("labelaudit"):
        return None
    names = told.get("classes")
    return told if isinstance(names, list) and all(isinstance(n, str) for n in names) else None
