"""Cache of image checks: a load that was interrupted does not check its files again."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..storage.paths import local_home

WRITE_SECONDS = 5.0  # work that a kill may lose; a shorter load writes no file
_TABLE = """create table if not exists checks (path text primary key, size int, changed int,
    width int, height int, fault text, grey text, sha256 blob)"""
FileState = tuple[int, int]  # size in bytes, time of the last change in ns
# Width, height, problem; of a grey image with more than 8 bits "depth least greatest"; SHA-256
CheckResult = tuple[int | None, int | None, str | None, str | None, bytes | None]


class CheckCache:
    """Check results by path. A result is valid while size and change time of the file are the same.

    Each source has its own file on this machine. If that file is damaged or cannot be written,
    every image is checked again.
    """

    def __init__(self, source: str) -> None:
        """source: the description of the source."""
        digest = hashlib.sha256(os.fsencode(source)).hexdigest()[:16]
        self._path: Path = local_home() / "checks" / f"{digest}.sqlite"
        self._pending: list[tuple] = []
        self._written = time.monotonic()
        self._exists = self._path.exists()

    def get(
        self, paths: Sequence[str], states: Sequence[FileState | None]
    ) -> list[CheckResult | None]:
        """Return the result for each file; None for a file that was not checked in this state."""
        if not self._exists:
            return [None] * len(paths)
        marks = ",".join("?" * len(paths))
        rows: list[tuple] = []
        with suppress(sqlite3.Error), self._connect() as database:
            query = f"select * from checks where path in ({marks})"
            rows = database.execute(query, paths).fetchall()
        results = {(path, size, changed): tuple(result) for path, size, changed, *result in rows}
        return [
            None if state is None else results.get((path, *state))
            for path, state in zip(paths, states, strict=True)
        ]

    def add(self, path: str, state: FileState, result: CheckResult) -> None:
        """Add a result; `write_if_due` or `write` stores it."""
        self._pending.append((path, *state, *result))

    def write_if_due(self) -> None:
        """Store the added results, at most every WRITE_SECONDS."""
        if self._pending and time.monotonic() - self._written >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Store the added results now."""
        with suppress(sqlite3.Error, OSError):
            self._path.parent.mkdir(exist_ok=True)
            with self._connect() as database:
                database.execute(_TABLE)
                values = "insert or replace into checks values (?, ?, ?, ?, ?, ?, ?, ?)"
                database.executemany(values, self._pending)
        self._pending.clear()
        self._written = time.monotonic()

    def delete(self) -> None:
        """Remove the cache: the source was read to its end."""
        self._pending.clear()
        self._path.unlink(missing_ok=True)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """Open a connection that commits and closes; sqlite3's own context manager only commits."""
        database = sqlite3.connect(self._path)
        try:
            yield database
            database.commit()
        finally:
            database.close()
