"""Writes files that readers see whole or not at all, and hashes files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

PARTIAL = ".partial"  # suffix of a file that is being written


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and move the file to `path` when the block succeeds.

    The temporary file lies beside `path`, with the suffix ".partial" instead of its own. If the
    block fails it is deleted and `path` keeps its earlier content. A process that is killed leaves
    it behind. Two writers of the same path must exclude each other.
    """
    partial = path.with_suffix(PARTIAL)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def file_hash(path: str) -> bytes | None:
    """Return the SHA-256 of a file, 32 bytes; None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file_digest(file, "sha256").digest()
    except (OSError, ValueError):
        return None
