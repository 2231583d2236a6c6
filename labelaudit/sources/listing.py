"""A file that lists images with their labels, whatever its format, and the source it makes."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import IO, Protocol

import pyarrow as pa

from ..core.errors import LabelAuditError
from .files import Files
from .source import Row, Source

SAY_LABEL = "label=… in Python, --label on the command line, Label column in the app"

# A file that is no table is held in memory, at ten times its size.
MAX_BYTES = 256 << 20
HEAD_BYTES = 1 << 20  # what is looked at to see what a file is

COLUMNS = pa.schema(
    [
        ("filepath", pa.string()),
        ("label", pa.string()),
        ("split", pa.string()),
        ("id", pa.int64()),
        ("tags", pa.list_(pa.string())),
    ]
)


ERROR_LENGTH = 300  # characters of a reader's own words, which may hold the whole row
_WORDS = (  # what readers say, and what it means to whoever has the file
    (r"straddling object", "a row is too long, or a quote is never closed"),
    (r"Row #(\d+): Expected (\d+) columns, got (\d+)", r"line \1 has \3 cells, and the header \2; "
     "mend the line, or close a quote"),
    (r"invalid UTF8|codec can't decode|invalid start byte", "it is not UTF-8; save it as UTF-8"),
    (r"surrogates not allowed", "it holds half a character (a lone surrogate); write it again"),
    (r"recursion depth", "it is nested too deeply"),
    (r"integer string conversion", "a number has thousands of digits"),
)  # fmt: skip


def reason(error: Exception) -> str:
    """Why a file cannot be read, in one line."""
    text = " ".join(str(error).split())
    for pattern, words in _WORDS:
        if match := re.search(pattern, text):
            return match.expand(words)
    return text[:ERROR_LENGTH].rstrip(". ") or type(error).__name__


class Rows(Protocol):
    """Rows as COLUMNS, that can be gone through more than once: a table, or a file's."""

    def __len__(self) -> int: ...

    def to_batches(self, rows: int) -> Iterator[pa.RecordBatch]: ...


@dataclass
class Listing:
    """A file that may list images. Its paths are relative to the folder `base` of `files`."""

    name: str  # what errors call it
    open: Callable[[], IO[bytes]]
    files: Files
    base: str = ""
    split: str | None = None  # of the split's folder that it lies in
    # the bytes of a file beside it, None where there is none
    beside: Callable[[str], bytes | None] = lambda name: None

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix.lower()

    @cached_property
    def head(self) -> bytes:
        """Its first bytes."""
        with self.open() as file:
            return self._read(file, HEAD_BYTES)

    @cached_property
    def content(self) -> bytes:
        """All of it. Raises LabelAuditError where that is more than fits into memory."""
        with self.open() as file:
            data = self._read(file, MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise LabelAuditError(
                f"{self.name} is larger than {MAX_BYTES >> 20} MiB: write it as CSV or Parquet "
                "with filepath and label, which are read piece by piece."
            )
        return data

    def _read(self, file: IO[bytes], size: int) -> bytes:
        try:
            return file.read(size)
        except Exception as error:  # zip readers raise many kinds on broken members
            raise LabelAuditError(f"{self.name} cannot be read: {error}.") from error

    @cached_property
    def json(self):
        """What stands in it, where it is JSON; lines of JSON are a list.

        Raises LabelAuditError where it cannot be read.
        """
        try:
            text = self.content.decode("utf-8-sig")
            if self.suffix == ".json" and text.lstrip()[:1] in ("[", "{"):
                try:
                    return json.loads(text)
                except json.JSONDecodeError as error:
                    if not error.msg.startswith("Extra data"):
                        raise
            # not splitlines(), which also parts at marks that may stand within a JSON string
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        except (ValueError, RecursionError) as error:
            raise LabelAuditError(
                f"{self.name} cannot be read as {self.suffix[1:]}: {reason(error)}."
            ) from error

    def forget(self) -> None:
        """What was read of it: it may be large, and is needed once."""
        self.__dict__.pop("head", None)
        self.__dict__.pop("content", None)
        self.__dict__.pop("json", None)

    def path_of(self, name: str) -> str:
        """A name that it gives, as one of `files`."""
        return posixpath.join(self.base, name)


@dataclass
class Listed:
    """What a listing says. `places`: where a file that it names may lie, likeliest first."""

    table: Rows
    classes: list[str]  # in the order of their indices
    left_out: Sequence[tuple[str, str]] = ()  # (image, why)
    places: Callable[[str], Sequence[str]] = lambda name: (name,)
    repeats: bool = False  # whether one file may be listed twice
    _seen: set[str] = field(default_factory=set)


def listed(rows: Sequence[Row], classes: Sequence[str], **options) -> Listed:
    """`rows` are mappings with some of COLUMNS."""
    return Listed(pa.Table.from_pylist(list(rows), COLUMNS), list(classes), **options)


def listing_source(title: str, listings: Sequence[tuple[Listing, Listed]]) -> Source:
    """The samples of one listing, or of one a split."""

    def rows() -> Iterator[Row]:
        for listing, content in listings:
            for file, why in content.left_out:
                source.skipped.add(file, why)
            for batch in content.table.to_batches(10_000):
                for row in batch.to_pylist():
                    row["filepath"] = path = _find(listing, content, row["filepath"])
                    row["split"] = row["split"] or listing.split
                    if content.repeats:
                        yield row
                    elif path in content._seen:
                        source.skipped.add(path, "is listed twice: its first label is taken")
                    else:
                        content._seen.add(path)
                        yield row

    first, files = listings[0][0], listings[0][0].files
    named = first.name if len(listings) == 1 else files.called("")
    total = sum(len(content.table) for _, content in listings)
    if not total:
        raise LabelAuditError(f"{named} lists no image that can be used{_why(listings)}.")
    classes = list(dict.fromkeys(name for _, content in listings for name in content.classes))
    source = Source(f"{title} {named}", classes, total, rows, load=files.load, fetch=files.fetch)
    return source


def _why(listings: Sequence[tuple[Listing, Listed]]) -> str:
    first = next((entry for _, content in listings for entry in content.left_out), None)
    return f" (the first one, {first[0]}: {first[1]})" if first else ""


def _find(listing: Listing, content: Listed, name: str) -> str:
    """Where the file lies; where it is nowhere, the place it should be."""
    places = [listing.path_of(place) for place in content.places(name)]
    held = (place for place in places if len(places) == 1 or listing.files.holds(place))
    return listing.files.locate(next(held, places[0]))
