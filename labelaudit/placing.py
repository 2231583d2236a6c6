"""Where a dataset's tables lie in object storage, which can rename nothing.

Its folder has an object `current` that names the one folder in it whose tables count. A dataset
is built beside the one there is, and takes its place as `current` is written: killed before that,
the old one is whole, after it the new one. Tables that lie in the folder itself, as when a local
dataset was copied there, count where there is no such object.
"""

from __future__ import annotations

import json
import logging
import uuid

from . import storage
from .errors import LabelAuditError

log = logging.getLogger(__name__)

CURRENT = "current"
GONE = "none"  # what `current` names while a dataset is being deleted


def tables_uri(folder: str) -> str:
    """Where its tables lie now."""
    named = _named(folder)
    return folder if named is None else f"{folder}/{named}"


def new_uri(folder: str) -> str:
    """A place of its own for a dataset that is to be built."""
    return f"{folder}/{uuid.uuid4().hex[:12]}"


def put_in_place(folder: str, tables: str) -> None:
    """From now on these tables count; the others go. Under the dataset's lock."""
    _name(folder, tables.rpartition("/")[2])
    try:
        clear(folder)
    except LabelAuditError as error:  # it is in place; the next load clears the rest
        log.warning("%s", error)


def take_away(folder: str) -> None:
    """Delete the dataset, of which nothing is left to see from the first moment on."""
    _name(folder, GONE)
    clear(folder)
    storage.delete(f"{folder}/{CURRENT}")


def clear(folder: str) -> None:
    """Under the dataset's lock: delete what does not count."""
    named = _named(folder)
    if named == GONE:
        named = None
    elif named is None and _has_tables(folder):
        return _clear_built(folder)
    folders, objects = storage.level_below(folder)
    for name in folders:
        if name != named:
            storage.delete_below(f"{folder}/{name}")
    for name in objects:
        if name != CURRENT:
            storage.delete(f"{folder}/{name}")
    return None


def has_leftovers(folder: str) -> bool:
    """Whether something lies there that does not count, or that is being built now."""
    named = _named(folder)
    folders, _ = storage.level_below(folder)
    if named is None:
        plain = any(name == "meta.lance" for name in folders)
        return any(not (plain and name.endswith(".lance")) for name in folders)
    return any(name != named for name in folders)


def _clear_built(folder: str) -> None:
    """Beside tables that lie in the folder itself."""
    for name in storage.level_below(folder)[0]:
        if not name.endswith(".lance"):
            storage.delete_below(f"{folder}/{name}")


def _has_tables(folder: str) -> bool:
    return storage.has_below(f"{folder}/meta.lance/_versions")


def _named(folder: str) -> str | None:
    found = storage.read(f"{folder}/{CURRENT}")
    return None if found is None else json.loads(found[0])["tables"]


def _name(folder: str, tables: str) -> None:
    storage.write(f"{folder}/{CURRENT}", json.dumps({"tables": tables}).encode())
