"""Which folder in object storage holds a dataset's tables. Object storage cannot rename folders.

The dataset's folder has an object `current` that names the one subfolder with the valid tables. A
new dataset is built beside the old one, and replaces it when `current` is written: after a kill
before that the old one is complete, after it the new one. Without that object the tables in the
folder itself are valid, as when a local dataset was copied there.
"""

from __future__ import annotations

import json
import logging
import re
import uuid

from ..core.errors import LabelAuditError
from . import object_store

log = logging.getLogger(__name__)

CURRENT = "current"
DELETED = "none"  # named by `current` while the dataset is being deleted
_BUILT = re.compile("[0-9a-f]{12}")  # names of folders that `new_uri` gives


def tables_uri(folder: str) -> str:
    """Return where the dataset's tables are now."""
    current = _current(folder)
    return folder if current is None else f"{folder}/{current}"


def new_uri(folder: str) -> str:
    """Return a new, unique place to build a dataset in."""
    return f"{folder}/{uuid.uuid4().hex[:12]}"


def replace(folder: str, tables: str) -> None:
    """Make these tables the valid ones and delete the others. Needs the dataset's lock."""
    _set_current(folder, tables.rpartition("/")[2])
    try:
        remove_leftovers(folder)
    except LabelAuditError as error:  # the new tables are valid; the next load removes the rest
        log.warning("%s", error)


def delete(folder: str) -> None:
    """Delete the dataset. Readers no longer see it from the first step on."""
    _set_current(folder, DELETED)
    remove_leftovers(folder)
    object_store.delete(f"{folder}/{CURRENT}")


def remove_leftovers(folder: str) -> None:
    """Delete everything except the valid tables. Needs the dataset's lock."""
    folders, objects = _leftovers(folder)
    for name in folders:
        object_store.delete_below(f"{folder}/{name}")
    for name in objects:
        object_store.delete(f"{folder}/{name}")


def has_leftovers(folder: str) -> bool:
    """Return whether there is more than the valid tables. It may also be a build under way."""
    return any(_leftovers(folder))


def _leftovers(folder: str) -> tuple[list[str], list[str]]:
    """Names of folders and objects that are not part of the dataset.

    Without `current` these are only the folders that were built here: the rest may be a copy that
    is not complete yet.
    """
    current = _current(folder)
    folders, objects = object_store.level_below(folder)
    if current is None:
        return [name for name in folders if _BUILT.fullmatch(name)], []
    return [name for name in folders if name != current], [n for n in objects if n != CURRENT]


def _current(folder: str) -> str | None:
    found = object_store.read(f"{folder}/{CURRENT}")
    return None if found is None else json.loads(found[0])["tables"]


def _set_current(folder: str, tables: str) -> None:
    object_store.write(f"{folder}/{CURRENT}", json.dumps({"tables": tables}).encode())
