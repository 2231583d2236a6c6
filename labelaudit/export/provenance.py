"""What a written file says about its origin: the state of the dataset, the version, the settings.

JSON files have it under "labelaudit", Parquet files in the metadata of the schema, text files in a
line. CSV and JSON lines have no place that every reader skips, so it is in a file beside them,
`<name>.provenance.json`, with the SHA-256 of the file. `labelaudit.verify` reads it.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import IO

import pyarrow as pa

from .. import __version__
from ..dataset.state_fingerprint import dataset_fingerprint
from ..dataset.view import View
from ..storage.schema import FIRST_LOOK, PROVENANCE_SUFFIX, REMOVED
from .tables import open_sink

KEY = "labelaudit"
# What a file is. LABELS has all labels that were exported, SHARD is one file of several, and
# SUSPECTS lists samples of a view, which may be removed.
LABELS, SHARD, SUSPECTS, DUPLICATES, TREND, CONSENSUS, REPORT, CHECK, PATCH = (
    "labels", "shard", "suspects", "duplicates", "trend", "consensus", "report", "check", "patch",
)  # fmt: skip
DIGITS = 12  # of a fingerprint in the name of a download


def provenance(view: View, kind: str, samples: int | None = None) -> dict:
    """Return what a file says about its origin, as JSON values.

    kind: what the file is, such as LABELS. samples: how many the file lists; None if it lists none.
    """
    frame = view.frame
    with view.steady():
        run = view.fields.run_or_none() or {}
        look = run.get(FIRST_LOOK) or {}
        settings = run.get("config") or {key: look[key] for key in ("features", "penalty") if look}
        return record(
            kind,
            frame.name,
            dataset_fingerprint(frame),
            run.get("name"),
            settings,
            samples=samples,
            of=int((~frame.tagged(REMOVED)).sum()),
        )


def record(
    kind: str,
    dataset: str,
    fingerprint: str | None,
    run: str | None,
    settings: dict,
    samples: int | None = None,
    of: int | None = None,
) -> dict:
    """Return the JSON values of a provenance. of: the number of samples of the state."""
    return {
        "made_by": f"labelaudit {__version__}",
        "kind": kind,
        "dataset": dataset,
        "fingerprint": fingerprint,
        "samples": samples,
        "of": of,
        "run": run,
        "settings": settings,
    }


def as_line(origin: dict) -> str:
    """Return a provenance as one line of text that may be in a comment of HTML or XML."""
    line = f"{KEY}: {json.dumps(origin)}"
    for text, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("--", "-\\u002d")):
        line = line.replace(text, escaped)
    return line


def with_metadata(schema: pa.Schema, origin: dict) -> pa.Schema:
    """Return an Arrow schema that also stores a provenance."""
    return schema.with_metadata({**(schema.metadata or {}), KEY: json.dumps(origin)})


def beside(name: str) -> str:
    """Return the name of the file with the provenance of a CSV or JSON lines file."""
    return f"{name}{PROVENANCE_SUFFIX}"


def file_beside(name: str, digest: str, origin: dict) -> bytes:
    """Return the content of that file. digest: the SHA-256 of the file called `name`."""
    return json.dumps({"file": name, "sha256": digest, KEY: origin}, indent=1).encode()


class HashingSink(io.RawIOBase):
    """Forwards bytes to another sink and hashes them."""

    def __init__(self, sink: IO[bytes] | io.IOBase) -> None:
        self._sink, self._hash, self._written = sink, sha256(), 0

    @property
    def digest(self) -> str:
        """The SHA-256 of all bytes, 64 hexadecimal digits."""
        return self._hash.hexdigest()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self._sink.write(data)
        self._hash.update(data)
        self._written += memoryview(data).nbytes
        return memoryview(data).nbytes

    def tell(self) -> int:
        return self._written


def write_with_provenance(
    target: str | os.PathLike | io.IOBase, origin: dict, write: Callable[[io.IOBase], int]
) -> int:
    """Write a CSV file, and its provenance beside it. Returns the result of `write`.

    An open sink, a pipe and a device get no provenance. If the process is killed between the two
    files, the old provenance does not fit the hash of the new file.
    """
    # before it is replaced: a link such as /dev/stdout then leads to a deleted file
    path = None if hasattr(target, "write") else Path(os.path.realpath(target))
    with open_sink(target) as opened:
        sink = HashingSink(opened)
        result = write(sink)
    if path is not None and path.is_file():
        with open_sink(beside(str(path))) as out:
            out.write(file_beside(path.name, sink.digest, origin))
    return result


def download_name(view: View, stem: str, suffix: str) -> str:
    """Return a file name for a download of a table, which has no file beside it: it contains the
    first digits of the dataset's fingerprint."""
    fingerprint = dataset_fingerprint(view.frame)
    return f"{stem}-{fingerprint[:DIGITS]}{suffix}" if fingerprint else f"{stem}{suffix}"
