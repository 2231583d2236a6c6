"""`<name>.classes.json`: the file next to an exported manifest that stores the class order."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from ..storage.schema import CLASS_LIST_SUFFIX
from .files import Files

MAX_BYTES = 256 << 20  # enough for a million long names


def class_list_name(manifest: str) -> str:
    """Return the name of the class list that belongs to a manifest."""
    return str(PurePosixPath(manifest).with_suffix("")) + CLASS_LIST_SUFFIX


def read_small_file(files: Files, name: str) -> bytes | None:
    """Return the content of a small file; None if it does not exist."""
    if not files.exists(name):
        return None
    with files.open(name) as file:
        return file.read(MAX_BYTES)


def parse_class_list(data: bytes) -> dict | None:
    """Return the content of a class list; None if LabelAudit did not write it.

    `classes` lists the class names in their order. For exported class folders, `class_folders` and
    `split_folders` map folder names to class and split names.
    """
    try:
        content = json.loads(data)
    except ValueError:
        return None
    if not isinstance(content, dict) or not str(content.get("made_by", "")).startswith(
        "labelaudit"
    ):
        return None
    names = content.get("classes")
    is_valid = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return content if is_valid else None
