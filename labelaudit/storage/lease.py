"""A lock that holds across machines: an object in the storage that says who writes.

It is only ever written on the condition that it is still what was read last (If-None-Match,
If-Match), so of several who want it one gets it. While it is held a thread writes it again and
again; who waits and sees it unchanged for EXPIRY seconds, by their own clock, takes it over, as the
holder must have died. No two clocks are ever compared.
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

from ..core.errors import LabelAuditError
from . import object_store

log = logging.getLogger(__name__)

EXPIRY = 30.0  # seconds unchanged after which a holder is taken for dead
RENEWALS = 4  # within that time
POLLS = (0.05, 1.0)  # seconds between two looks of who waits: at first, and in the end
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)  # also goes on while the machine sleeps


class HeldError(Exception):
    """Another holds it; the text says who."""


class Lease:
    """One dataset's lease as this process sees it. To be used by one thread at a time."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._me = uuid.uuid4().hex
        self._free: str | None = None  # ETag that it had when we gave it back
        self._held: str | None = None  # ETag while it is ours
        self._confirmed = 0.0  # when the last write that succeeded began
        self._renewer: threading.Thread | None = None
        self._over = threading.Event()

    def acquire(self, seconds: float) -> None:
        """Wait so long at most. Raises HeldError, and LabelAuditError where the storage fails."""
        deadline, pause = _now() + seconds, POLLS[0]
        if self._free is not None and self._take(self._free):
            return
        seen, since = None, 0.0
        while True:
            asked = _now()
            found = object_store.read(self.uri)
            etag, told = (None, {}) if found is None else (found[1], _parse(found[0]))
            if etag != seen:
                seen, since = etag, _now()
            # ours: a write whose answer was lost
            free = not told.get("held") or told.get("by") == self._me
            if (free or asked - since > told.get("expiry", EXPIRY)) and self._take(etag):
                return
            if _now() >= deadline:
                raise HeldError(told.get("who", "another"))
            time.sleep(random.uniform(0.5, 1) * pause)
            pause = min(pause * 1.5, POLLS[1])

    def release(self) -> None:
        """Give it back. Where that fails it expires by itself."""
        self._over.set()
        if self._renewer is not None:
            self._renewer.join()
            self._renewer = None
        held, self._held = self._held, None
        if held is None:
            return
        try:
            self._free = object_store.write_if(self.uri, self._body(held=False), held)
        except LabelAuditError as error:
            self._free = None
            log.warning("%s", error)

    @property
    def is_sure(self) -> bool:
        """Whether it is ours, and nobody can have taken it over."""
        return self._held is not None and _now() - self._confirmed < EXPIRY

    def _take(self, etag: str | None) -> bool:
        began = _now()
        taken = object_store.write_if(self.uri, self._body(), etag)
        if taken is None:
            return False
        self._begin(taken, began)
        return True

    def _begin(self, etag: str, confirmed: float) -> None:
        self._held, self._confirmed, self._free = etag, confirmed, None
        self._over = threading.Event()
        self._renewer = threading.Thread(target=self._renew, args=(self._over,), daemon=True)
        self._renewer.start()

    def _renew(self, over: threading.Event) -> None:
        while not over.wait(EXPIRY / RENEWALS):
            with suppress(LabelAuditError):  # not reached: tried again until it is too late
                if not self._write_again() and not self._write_again():
                    self._held = None
                    return

    def _write_again(self) -> bool:
        """False where it is another's by now, or an answer of ours was lost: then once more."""
        began = _now()
        etag = object_store.write_if(self.uri, self._body(), self._held)
        if etag is not None:
            self._held, self._confirmed = etag, began
            return True
        found = object_store.read(self.uri)
        if found is not None and _parse(found[0]).get("by") == self._me:
            self._held = found[1]
        return False

    def _body(self, held: bool = True) -> bytes:
        """Never the same twice: an ETag may be no more than a hash of it."""
        who = f"process {os.getpid()} on {socket.gethostname()}"
        told = {"held": held, "by": self._me, "who": who, "expiry": EXPIRY,
                "mark": uuid.uuid4().hex}  # fmt: skip
        return json.dumps(told).encode()


def is_held(uri: str) -> bool:
    """Whether somebody holds this lease, or died with it."""
    found = object_store.read(uri)
    return found is not None and bool(_parse(found[0]).get("held"))


def _parse(body: bytes) -> dict:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _now() -> float:
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
