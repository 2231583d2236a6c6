"""What a load that was cut short has seen of its files: the next one goes on from there."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..storage.paths import local_home

WRITE_SECONDS = 5.0  # work that a kill may lose; a load that takes less leaves no file
_TABLE = """create table if not exists checked
    (path text primary key, size int, changed int, width int, height int, fault text)"""
Stat = tuple[int, int]  # size in bytes, time of the last change in ns
Finding = tuple[int | None, int | None, str | None]  # width, height, what is wrong with it


class Checked:
    """Findings by path, which hold as long as size and time of change of the file are the same.

    Kept in a file of its own for each source, on this machine; where it cannot be written, or was
    damaged, every image is opened again.
    """

    def __init__(self, source: str) -> None:
        digest = hashlib.sha256(os.fsencode(source)).hexdigest()[:16]
        self._path: Path = local_home() / "checks" / f"{digest}.sqlite"
        self._waiting: list[tuple] = []
        self._written = time.monotonic()
        self._there = self._path.exists()

    def known(self, paths: Sequence[str], stats: Sequence[Stat | None]) -> list[Finding | None]:
        """What was found of each of these files; None for one that was not looked at as it is."""
        if not self._there:
            return [None] * len(paths)
        marks = ",".join("?" * len(paths))
        rows: list[tuple] = []
        with suppress(sqlite3.Error), self._open() as file:
            rows = file.execute(f"select * from checked where path in ({marks})", paths).fetchall()
        found = {(path, size, changed): finding for path, size, changed, *finding in rows}
        return [
            None if stat is None or (finding := found.get((path, *stat))) is None
            else tuple(finding)
            for path, stat in zip(paths, stats, strict=True)
        ]  # fmt: skip

    def add(self, path: str, stat: Stat, finding: Finding) -> None:
        self._waiting.append((path, *stat, *finding))

    def keep(self) -> None:
        """Write what was added, now and then."""
        if self._waiting and time.monotonic() - self._written >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what was added."""
        with suppress(sqlite3.Error, OSError):
            self._path.parent.mkdir(exist_ok=True)
            with self._open() as file:
                file.execute(_TABLE)
                values = "insert or replace into checked values (?, ?, ?, ?, ?, ?)"
                file.executemany(values, self._waiting)
        self._waiting.clear()
        self._written = time.monotonic()

    def forget(self) -> None:
        """The source is read to its end."""
        self._waiting.clear()
        self._path.unlink(missing_ok=True)

    def _open(self) -> _Closing:
        return _Closing(self._path)


class _Closing:
    """A connection that commits and closes: sqlite3's own only commits."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path)

    def __enter__(self) -> sqlite3.Connection:
        return self._file

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self._file.commit()
        self._file.close()
