"""The state of a dataset is one small object: which version of which table is valid, and where.

The object `current` in the dataset's folder names the subfolder with the tables and the version of
each table. It is replaced in one step: after a kill before that, everything is as before; after it,
all changes are there. What LanceDB has written beyond these versions does not exist for readers.

    {"tables": "5c1f0a9e2b77", "versions": {"annotations": [12, "9f3a01bc"], ...}, "commit": "..."}

The text beside a version is new at each change, so both together identify a table's content. The
tables of a dataset that an earlier LabelAudit wrote (format 1) may lie in the dataset's folder
itself, and the object, if there is one, has no versions.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ..core.errors import BusyError, DamagedError
from . import local_store, object_store

# In object storage it takes a request to read the object. So other processes' commits are seen up
# to this many seconds late. This process's own are seen at once.
FRESH_SECONDS = 2.0

POINTER = "current"
DELETED = "none"  # instead of a subfolder, while the dataset is being deleted
_BUILT = re.compile("[0-9a-f]{12}")  # names that `new_folder` gives

Stamp = tuple[int, str]


@dataclass(frozen=True)
class Snapshot:
    """One state of a dataset. tables: version and stamp text by name; None in format 1.

    tag: of the object that was read; the condition for replacing it.
    """

    folder: str
    tables: Mapping[str, Stamp] | None
    tag: str | None = field(default=None, compare=False)


def backend(uri: str):
    """Return the module with the functions for this place: `object_store` or `local_store`."""
    return object_store if object_store.is_remote(uri) else local_store


def new_folder() -> str:
    """Return a new name for a subfolder to build a dataset in."""
    return uuid.uuid4().hex[:12]


class Pointer:
    """The object that names a dataset's current snapshot."""

    # By URI: when it was read (or written here), its bytes, and what they say.
    _known: ClassVar[dict[str, tuple[float, bytes | None, Snapshot]]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, folder: str) -> None:
        """folder: the dataset's folder, local or in object storage."""
        self.folder, self.uri = folder, f"{folder}/{POINTER}"
        self._backend = backend(folder)

    def read(self, now: bool = False, unchanged: bool = False) -> Snapshot:
        """Return the current snapshot.

        now: also see what other processes committed within FRESH_SECONDS. unchanged: whether none
        did since it was last read. Raises DamagedError if the object is unreadable.
        """
        known = self._known.get(self.uri)
        if known and unchanged:
            return known[2]
        is_remote = self._backend is object_store
        if is_remote and not now and known and time.monotonic() - known[0] < FRESH_SECONDS:
            return known[2]
        asked = time.monotonic()
        found = self._backend.read(self.uri)
        data, tag = found if found else (None, None)
        if known and known[1] == data and known[2].tag == tag:
            snapshot = known[2]
        else:
            snapshot = self._parse(data, tag)
        with self._lock:
            if self._known.get(self.uri) is not known:  # this process committed meanwhile
                return self._known[self.uri][2] if self.uri in self._known else snapshot
            self._known[self.uri] = asked, data, snapshot
        return snapshot

    def forget(self) -> None:
        """Make the next `read` see what other processes committed."""
        with self._lock:
            self._known.pop(self.uri, None)

    def swap(self, old: Snapshot, folder: str, tables: Mapping[str, Stamp]) -> Snapshot:
        """Replace the snapshot `old` by this one: the commit of a transaction. Needs the lock.

        Raises BusyError if another process has replaced it: then nothing is committed.
        """
        content = {"tables": folder, "versions": tables, "commit": uuid.uuid4().hex}
        data = json.dumps(content).encode()
        tag = self._backend.write_if(self.uri, data, old.tag)
        if tag is None:  # or the answer to the first attempt was lost
            found = self._backend.read(self.uri)
            if found is None or found[0] != data:
                self.forget()
                raise BusyError(
                    f"another process took over the lock of {self.folder} and changed the dataset, "
                    "so this change was not made: repeat it."
                )
            tag = found[1]
        snapshot = Snapshot(folder, dict(tables), tag)
        with self._lock:
            self._known[self.uri] = time.monotonic(), data, snapshot
        return snapshot

    def tables_uri(self, folder: str) -> str:
        """Return the URI of a snapshot's folder."""
        return f"{self.folder}/{folder}" if folder else self.folder

    # --- what belongs to no snapshot; all of this needs the lock ---

    def delete(self) -> None:
        """Delete the dataset. Readers no longer see it from the first step on."""
        self.swap(self.read(now=True), DELETED, {})
        self.remove_leftovers()
        self.forget()

    def remove_leftovers(self) -> None:
        """Delete everything except the tables of the snapshot."""
        folders, files = self._leftovers()
        for name in folders:
            self._backend.delete_below(f"{self.folder}/{name}")
        for name in files:
            self._backend.delete(f"{self.folder}/{name}")
        if self.read(now=True).folder == DELETED:
            self._backend.delete(self.uri)
            self.forget()
        if self._backend is local_store:
            local_store.delete_empty(self.folder)

    def has_leftovers(self) -> bool:
        """Return whether `remove_leftovers` would delete something; it may be a build under way."""
        return any(self._leftovers()) or self.read(now=True).folder == DELETED

    def _leftovers(self) -> tuple[list[str], list[str]]:
        """Names of folders and files. Without a pointer only those that were built here: the rest
        may be a copy that is not complete yet."""
        snapshot = self.read(now=True)
        folders, files = self._backend.level_below(self.folder)
        files = [name for name in files if name.startswith(POINTER) and name != POINTER]
        if snapshot.folder == DELETED:
            return folders, files
        return [
            name
            for name in folders
            if name != snapshot.folder
            and (_BUILT.fullmatch(name) or (snapshot.folder and name.endswith(".lance")))
        ], files

    def _parse(self, data: bytes | None, tag: str | None) -> Snapshot:
        if data is None:
            return Snapshot("", None, None)
        try:
            found = json.loads(data)
            tables = found.get("versions")
            if tables is not None:
                tables = {name: (int(at), str(text)) for name, (at, text) in tables.items()}
            return Snapshot(str(found["tables"]), tables, tag)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(
                f"{self.uri} is damaged: restore {self.folder} from a copy, or delete that folder."
            ) from error
