"""A lock that works across machines: an object in the storage that names the current writer.

The object is only written on the condition that it is still what was read last (If-None-Match,
If-Match), so one of several candidates gets it. While it is held, a thread rewrites it regularly.
A waiting process that sees it unchanged for EXPIRY seconds by its own clock takes it over, because
the holder must have died. The clocks of two machines are never compared.
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import threading
import time
import uuid
from contextlib import suppress

from ..core.errors import BusyError, LabelAuditError
from . import object_store

log = logging.getLogger(__name__)

EXPIRY = 30.0  # seconds without a change after which the holder counts as dead
RENEWALS = 4  # rewrites within EXPIRY
POLLS = (0.05, 1.0)  # shortest (first) and longest pause between two attempts, in seconds
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)  # continues while the machine sleeps


class HeldError(BusyError):
    """Another process holds the lease: `holder` says which."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"the lease is held by {holder}.")
        self.holder = holder


class Lease:
    """One dataset's lease as this process sees it. To be used by one thread at a time."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._id = uuid.uuid4().hex
        self._free_etag: str | None = None  # since we released it
        self.is_untouched = False  # whether nobody else has had it since we did
        self._held_etag: str | None = None  # while we hold it
        self._confirmed = 0.0  # when the last successful write began
        self._renewer: threading.Thread | None = None
        self._released = threading.Event()

    def acquire(self, seconds: float) -> None:
        """Wait at most this long for the lease.

        Raises HeldError after that, and StorageError if the storage fails.
        """
        deadline, pause = _now() + seconds, POLLS[0]
        self.is_untouched = self._free_etag is not None and self._take(self._free_etag)
        if self.is_untouched:
            return
        seen, since = None, 0.0
        while True:
            asked = _now()
            found = object_store.read(self.uri)
            etag, state = (None, {}) if found is None else (found[1], _parse(found[0]))
            if etag != seen:
                seen, since = etag, _now()
            # it may already be ours, if the answer to a write was lost
            free = not state.get("held") or state.get("by") == self._id
            if (free or asked - since > state.get("expiry", EXPIRY)) and self._take(etag):
                return
            if _now() >= deadline:
                raise HeldError(state.get("who", "another process"))
            time.sleep(random.uniform(0.5, 1) * pause)
            pause = min(pause * 1.5, POLLS[1])

    def release(self) -> None:
        """Release the lease. If the storage fails, it expires later."""
        self._released.set()
        if self._renewer is not None:
            self._renewer.join()
            self._renewer = None
        held, self._held_etag = self._held_etag, None
        if held is None:
            return
        try:
            self._free_etag = object_store.write_if(self.uri, self._body(held=False), held)
        except LabelAuditError as error:
            self._free_etag = None
            log.warning("%s", error)

    @property
    def is_sure(self) -> bool:
        """Whether we hold it, and nobody can have taken it over."""
        return self._held_etag is not None and _now() - self._confirmed < EXPIRY

    def _take(self, etag: str | None) -> bool:
        """Try to acquire it in the state that this ETag stands for."""
        began = _now()
        taken = object_store.write_if(self.uri, self._body(), etag)
        if taken is None:
            return False
        self._held_etag, self._confirmed, self._free_etag = taken, began, None
        self._released = threading.Event()
        self._renewer = threading.Thread(target=self._renew, args=(self._released,), daemon=True)
        self._renewer.start()
        return True

    def _renew(self, released: threading.Event) -> None:
        while not released.wait(EXPIRY / RENEWALS):
            with suppress(LabelAuditError):  # not reached: the next attempt may succeed
                if not self._write_again() and not self._write_again():
                    self._held_etag = None
                    return

    def _write_again(self) -> bool:
        """False if another process holds it, or an answer to us was lost: then try once more."""
        began = _now()
        etag = object_store.write_if(self.uri, self._body(), self._held_etag)
        if etag is not None:
            self._held_etag, self._confirmed = etag, began
            return True
        found = object_store.read(self.uri)
        if found is not None and _parse(found[0]).get("by") == self._id:
            self._held_etag = found[1]
        return False

    def _body(self, held: bool = True) -> bytes:
        """The object's content, different each time: an ETag may be a hash of the content."""
        return json.dumps(
            {
                "held": held,
                "by": self._id,
                "who": f"process {os.getpid()} on {socket.gethostname()}",
                "expiry": EXPIRY,
                "mark": uuid.uuid4().hex,
            }
        ).encode()


def _parse(body: bytes) -> dict:
    try:
        state = json.loads(body)
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


def _now() -> float:
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
