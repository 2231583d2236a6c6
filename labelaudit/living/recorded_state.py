"""Reads out of a file, folder or zip of LabelAudit from which state of a dataset it was written."""

from __future__ import annotations

import json
import mmap
import os
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from ..core.errors import BadInputError, DamagedError
from ..core.files import file_hash
from ..export.provenance import DIGITS, KEY, LABELS, SUSPECTS, TREND, beside
from ..sources.manifest import SUFFIXES
from ..storage.schema import CLASS_LIST_SUFFIX, PROVENANCE_SUFFIX

TABLES = {".csv", ".jsonl", ".parquet"}
COCO = "instances*.json"
# The files of an export that say where it comes from; the first kind that exists is used.
MARKERS = (f"*{PROVENANCE_SUFFIX}", f"*{CLASS_LIST_SUFFIX}", COCO, "metadata.json", "README.*")
NEIGHBOURS = {"samples.json": "metadata.json", "tasks.json": "README.txt"}
# RuntimeError: an encrypted member, or (NotImplementedError) an unknown compression.
UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, RuntimeError)
RECORD_BYTES = 1 << 16  # more than a provenance ever has
_RECORD = re.compile(rf'\b{KEY}"?\s*:\s*(?={{)'.encode())
# The names of downloads, and what they are; a browser may add " (1)".
_DOWNLOAD = re.compile(rf"-(labels|suspects?|samples?|trend)-([0-9a-f]{{{DIGITS}}})(?: ?\(\d+\))?$")


@dataclass(frozen=True)
class Recorded:
    """What a target says about the state that it was written from."""

    fingerprint: str  # 64 digits; the first 12 if only the name of a download has it
    kind: str  # LABELS, SUSPECTS …
    has_content: bool  # whether it lists images with labels, which can be compared
    samples: int | None = None  # that it was written with; None if unknown
    of: int | None = None  # samples of the dataset in that state
    edited: bool = False  # whether it is known to have been changed since

    @property
    def is_part(self) -> bool:
        """Whether it was written with only some samples of the dataset."""
        is_smaller = self.samples is not None and self.of is not None and self.samples < self.of
        return self.kind == SUSPECTS or is_smaller


def recorded_state(target: str | os.PathLike) -> Recorded | None:
    """Return what a file, a folder or a zip says about its state; None if it says nothing.

    Raises BadInputError if it names several states, says that its state is not known, or is neither
    a file of LabelAudit nor a list of images; and DamagedError if it cannot be read.
    """
    path = Path(target).expanduser()
    try:
        if path.is_dir():
            return _joined(path, _in_folder(path))
        if not path.is_file():
            return None
        if path.suffix.lower() == ".zip":
            return _joined(path, _in_zip(path))
        return _of_file(Path(os.path.realpath(path)))
    except (*UNREADABLE, pa.ArrowInvalid) as error:
        raise DamagedError(f"{path} cannot be read: {error}.") from error


def _of_file(path: Path) -> Recorded | None:
    suffix, own = path.suffix.lower(), []
    if suffix == ".parquet":
        text = (parquet.read_schema(path).metadata or {}).get(KEY.encode())
        own = [] if text is None else [json.loads(text)]
    elif suffix != ".csv":
        own = _records_of(path)
    if own:
        is_marker = any(fnmatch(path.name, pattern) for pattern in MARKERS if pattern != COCO)
        is_list = suffix in TABLES or (suffix == ".json" and not is_marker)
        return _joined(path, own, is_list)
    for name in (beside(path.name), f"{path.stem}{CLASS_LIST_SUFFIX}", NEIGHBOURS.get(path.name)):
        other = name and path.with_name(name)
        if other and other.is_file():
            edited = name == beside(path.name) and _digest(other) != file_hash(str(path))
            return _joined(path, _records_of(other), True, edited)
    if suffix not in SUFFIXES:
        raise BadInputError(
            f"{path} has no fingerprint of LabelAudit, and is no list of images "
            f"({', '.join(sorted(SUFFIXES))}), folder or zip: give one of these, or a file that "
            "LabelAudit wrote."
        )
    found = _DOWNLOAD.search(path.stem) if suffix in TABLES else None
    if found is None:
        return None
    kind = {"labels": LABELS, "trend": TREND}.get(found[1], SUSPECTS)
    return Recorded(found[2], kind, kind in (LABELS, SUSPECTS))


def _records_of(path: Path) -> list[dict]:
    if not path.stat().st_size:
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _records(data)  # a list of images may be larger than the memory


def _records(data: bytes | mmap.mmap) -> list[dict]:
    """Return the provenances in a text, as they were written."""
    found, decoder = [], json.JSONDecoder()
    for match in _RECORD.finditer(data):
        text = data[match.end() : match.end() + RECORD_BYTES].decode("utf-8", "replace")
        try:
            value, _ = decoder.raw_decode(text)
        except ValueError:
            continue
        if "fingerprint" in value:
            found.append(value)
    return found


def _digest(path: Path) -> bytes | None:
    """Return the hash that the file beside a table has of it, if it is readable."""
    try:
        return bytes.fromhex(json.loads(path.read_bytes())["sha256"])
    except (ValueError, KeyError, TypeError):
        return None


def _joined(
    path: Path, found: list[dict], has_content: bool = True, edited: bool = False
) -> Recorded | None:
    """Return the records of one export as one."""
    if not found:
        return None
    states = {entry["fingerprint"] for entry in found}
    if len(states) > 1:
        listed = ", ".join(sorted(str(state or "unknown")[:DIGITS] for state in states))
        raise BadInputError(
            f"{path} names {len(states)} states of a dataset ({listed}): give a file that was "
            "written at once, or one of these fingerprints."
        )
    state = states.pop()
    if not isinstance(state, str):
        raise BadInputError(
            f"{path} was written when the hashes of the images were not known, so it names no "
            "state: load the dataset once more, and write it again."
        )
    samples = [entry.get("samples") for entry in found]
    kind = found[0].get("kind") or ""
    return Recorded(
        fingerprint=state,
        kind=kind,
        has_content=has_content and kind in (LABELS, SUSPECTS),
        samples=None if None in samples else sum(samples),
        of=found[0].get("of"),
        edited=edited,
    )


def _in_folder(folder: Path) -> list[dict]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _may_be_marker(entry.name) and entry.is_file()]
    return _of_markers(names, lambda name: _records_of(folder / name))


def _in_zip(path: Path) -> list[dict]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.count("/") < 2]
        names = [name for name in names if _may_be_marker(name.rpartition("/")[2])]
        return _of_markers(names, lambda name: _records(archive.read(name)))


def _may_be_marker(name: str) -> bool:
    """Whether a file may be one of MARKERS: a folder can have a million others."""
    return name.endswith(".json") or name.startswith("README")


def _of_markers(names: list[str], read: Callable[[str], list[dict]]) -> list[dict]:
    """Return the records of the files that say where an export comes from."""
    for pattern in MARKERS:
        chosen = [name for name in sorted(names) if fnmatch(name.rpartition("/")[2], pattern)]
        found = [entry for name in chosen for entry in read(name)]
        found = [entry for entry in found if entry.get("kind") == LABELS]
        if found:
            return found
    return []
