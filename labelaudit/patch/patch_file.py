"""A patch in memory, and how it is written: JSON lines, a header and then one line per sample.

    {"format": "labelaudit-patch", "version": 1, "dataset": "pets", "made": "2026-03-01T…", …}
    {"file": "cat/7.jpg", "before": "cat", "change": "relabel", "after": "dog", "by": ["ann"], …}
    {"file": "dog/2.jpg", "before": "dog", "change": "remove", "by": ["bob"], …}

Lines are sorted by file, so that git shows two versions as different only where decisions differ.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .. import __version__
from ..core.errors import BadInputError
from ..dataset.ingest import UNPRINTABLE, natural_order
from ..export.provenance import KEY
from ..export.tables import open_sink

FORMAT, VERSION = "labelaudit-patch", 1
SUFFIX = ".labels.jsonl"
RELABEL, REMOVE, KEEP = KINDS = ("relabel", "remove", "keep")
MAX_TEXT = 4096  # characters of a name or path
MAX_SHOWN = 60  # characters of a wrong value in an error message


@dataclass(frozen=True)
class Change:
    """The decision about one sample. It is found by `file`, then by `pixels`, then by `id`."""

    file: str | None  # path below the common folder of all images in the dataset
    pixels: str | None  # hash of all pixels, 16 hexadecimal digits
    id: int | None
    before: str | None  # class as loaded; None for no label
    change: str  # RELABEL, REMOVE or KEEP (reviewed and right)
    after: str | None  # new class; for KEEP the same as `before`, for REMOVE None
    by: tuple[str, ...]  # who decided, sorted
    at: str  # time in ISO 8601

    @property
    def outcome(self) -> tuple[str, str | None]:
        """What is wanted; equal for two changes that want the same."""
        return (REMOVE, None) if self.change == REMOVE else (RELABEL, self.after)

    @property
    def key(self) -> tuple[str, str]:
        """The identification of the sample; equal for lines that name it in the same way."""
        if self.file is not None:
            return ("file", self.file)
        return ("pixels", self.pixels) if self.pixels else ("id", str(self.id))

    @property
    def name(self) -> str:
        """The sample as shown to users."""
        if self.file is not None:
            return self.file
        return f"pixels {self.pixels}" if self.pixels else f"id {self.id}"

    @property
    def words(self) -> str:
        """The wanted label, or "removed", as shown to users."""
        return "removed" if self.change == REMOVE else (self.after or "no label")

    def order(self) -> tuple:
        """Return the sort key of the lines of a file."""
        return (self.file is None, self.file or "", self.pixels or "", self.id or 0)

    def to_line(self) -> str:
        """Return the line of a patch file, without the line break."""
        values = {name: getattr(self, name) for name in ("file", "before", "change", "after")}
        if self.file is None:
            del values["file"]
        if self.change != RELABEL:
            del values["after"]
        values |= {"by": self.by, "at": self.at}
        values |= {} if self.pixels is None else {"pixels": self.pixels}
        values |= {} if self.id is None else {"id": self.id}
        return json.dumps(values, ensure_ascii=False)


@dataclass(frozen=True)
class Patch:
    """Label changes of one dataset, at most one per sample, sorted by file."""

    changes: list[Change]
    dataset: str
    classes: list[str]
    made: str  # ISO 8601
    name: str = "the patch"  # of its file, for error messages
    origin: dict | None = None  # the state that it was made from, see `verify`

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def by(self) -> list[str]:
        """The names of all who decided, sorted."""
        return sorted({name for change in self.changes for name in change.by})

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of samples that are relabelled, removed and kept."""
        found = Counter(change.change for change in self.changes)
        return {kind: found[kind] for kind in KINDS}

    def to_lines(self) -> Iterator[str]:
        """Yield the lines of the file. Raises BadInputError for an unprintable class name."""
        for name in self.classes:
            if UNPRINTABLE.search(name) or len(name) > MAX_TEXT:
                raise BadInputError(
                    f"class {printable(name)} cannot be written to a patch: its name has "
                    f"unprintable characters, or more than {MAX_TEXT:,}; rename the class."
                )
        header = {
            "format": FORMAT,
            "version": VERSION,
            "dataset": self.dataset,
            "made": self.made,
            "by": self.by,
            KEY: self.origin or {"made_by": f"labelaudit {__version__}"},
            "counts": self.counts,
            "classes": self.classes,
        }
        yield json.dumps(header, ensure_ascii=False) + "\n"
        for change in sorted(self.changes, key=Change.order):
            yield change.to_line() + "\n"

    def to_bytes(self) -> bytes:
        """Return the content of the file, for a download."""
        return "".join(self.to_lines()).encode()

    def write(self, path: str | os.PathLike) -> None:
        """Write the file atomically. Raises LabelAuditError if it cannot be written."""
        lines = list(self.to_lines())  # errors are raised before the file is created
        with open_sink(path) as sink:
            sink.writelines(line.encode() for line in lines)


def merge_class_names(lists: list[list[str]]) -> list[str]:
    """Merge lists of class names: unchanged if all are the same, else in natural order."""
    same = all(names == lists[0] for names in lists)
    return lists[0] if same else natural_order({name for names in lists for name in names})


def printable(value) -> str:
    """Return a value for an error message: escaped, and shortened to MAX_SHOWN characters."""
    text = ascii(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def is_clean_path(path: str) -> bool:
    """Whether a patch may contain a path: it is printable and stays below the dataset's folder."""
    parts = path.split("/")
    return len(path) <= MAX_TEXT and not (
        UNPRINTABLE.search(path) or {"", ".", ".."} & set(parts) or "\\" in path
    )
