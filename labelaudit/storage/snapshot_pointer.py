"""Where a dataset's tables lie in object storage, which can rename nothing.

Its folder has an object `current` that names the one folder in it whose tables count. A dataset
is built beside the one there is, and takes its place as `current` is written: killed before that,
the old one is whole, after it the new one. Tables that lie in the folder itself, as when a local
dataset was copied there, count where there is no such object.
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
GONE = "none"  # what `current` names while a dataset is being deleted
_BUILT = re.compile("[0-9a-f]{12}")  # names of folders that `new_uri` gives


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
    object_store.delete(f"{folder}/{CURRENT}")


def clear(folder: str) -> None:
    """Under the dataset's lock: delete what does not count."""
    folders, objects = _left(folder)
    for name in folders:
        object_store.delete_below(f"{folder}/{name}")
    for name in objects:
        object_store.delete(f"{folder}/{name}")


def has_leftovers(folder: str) -> bool:
    """Whether something lies there that does not count, or that is being built now."""
    return any(_left(folder))


def _left(folder: str) -> tuple[list[str], list[str]]:
    """Names of folders and objects that do not count. Where nothing says what counts these are only
    the folders that were built here: the rest may be a copy that is not yet whole."""
    named = _named(folder)
    folders, objects = object_store.level_below(folder)
    if named is None:
        return [name for name in folders if _BUILT.fullmatch(name)], []
    return [name for name in folders if name != named], [n for n in objects if n != CURRENT]


def _named(folder: str) -> str | None:
    found = object_store.read(f"{folder}/{CURRENT}")
    return None if found is None else json.loads(found[0])["tables"]


def _name(folder: str, tables: str) -> None:
    object_store.write(f"{folder}/{CURRENT}", json.dumps({"tables": tables}).encode())
