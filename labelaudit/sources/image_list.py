"""Files that list images with their labels, and the sources they become."""

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

from ..core.errors import BadInputError, DamagedError
from .files import Files
from .source import Row, Source

HOW_TO_SET_LABEL = "label=… in Python, --label on the command line, Label column in the app"

# A file that is not a table is held in memory, at ten times its size.
MAX_BYTES = 256 << 20
HEAD_BYTES = 1 << 20  # read to detect the format
BATCH_ROWS = 10_000
MAX_ERROR_TEXT = 300  # characters of a reader's message, which may contain the whole row

COLUMNS = pa.schema(
    [
        ("filepath", pa.string()),
        ("label", pa.string()),
        ("split", pa.string()),
        ("id", pa.int64()),
        ("tags", pa.list_(pa.string())),
    ]
)

# Messages of the readers of Arrow and json, and what they mean for the owner of the file.
_MEANINGS = (
    (r"straddling object", "a row is too long, or a quote is never closed"),
    (
        r"Row #(\d+): Expected (\d+) columns, got (\d+)",
        r"line \1 has \3 cells, but the header has \2; correct the line, or close a quote",
    ),
    (r"invalid UTF8|codec can't decode|invalid start byte", "it is not UTF-8; save it as UTF-8"),
    (r"surrogates not allowed", "it contains half a character (a lone surrogate); write it again"),
    (r"recursion depth", "it is nested too deeply"),
    (r"integer string conversion", "a number has thousands of digits"),
)


def explain(error: Exception) -> str:
    """Say in one line why a reader could not read a file."""
    text = " ".join(str(error).split())
    for pattern, meaning in _MEANINGS:
        if match := re.search(pattern, text):
            return match.expand(meaning)
    return text[:MAX_ERROR_TEXT].rstrip(". ") or type(error).__name__


class RowTable(Protocol):
    """Rows with the schema COLUMNS that can be read more than once, from memory or from a file."""

    def __len__(self) -> int: ...

    def to_batches(self, rows: int) -> Iterator[pa.RecordBatch]: ...


@dataclass
class ListFile:
    """A file that may list images. Its paths are relative to the folder `base` of `files`."""

    name: str  # what error messages call it
    open: Callable[[], IO[bytes]]
    files: Files
    base: str = ""
    split: str | None = None  # if it is in the folder of a split
    # returns the bytes of a file in the same folder, or None if it does not exist
    read_sibling: Callable[[str], bytes | None] = lambda name: None

    @property
    def suffix(self) -> str:
        """The file name's suffix in lower case, such as ".json"."""
        return PurePosixPath(self.name).suffix.lower()

    @cached_property
    def head(self) -> bytes:
        """The first HEAD_BYTES bytes."""
        with self.open() as file:
            return self._read(file, HEAD_BYTES)

    @cached_property
    def content(self) -> bytes:
        """All bytes. Raises LabelAuditError if there are more than MAX_BYTES."""
        with self.open() as file:
            data = self._read(file, MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadInputError(
                f"{self.name} is larger than {MAX_BYTES >> 20} MiB: write it as CSV or Parquet "
                "with filepath and label, which are read in batches."
            )
        return data

    def _read(self, file: IO[bytes], size: int) -> bytes:
        try:
            return file.read(size)
        except Exception as error:  # zip readers raise many types on broken members
            raise DamagedError(f"{self.name} cannot be read: {error}.") from error

    @cached_property
    def json(self):
        """The parsed JSON; JSON lines become a list. Raises LabelAuditError if it is not JSON."""
        try:
            text = self.content.decode("utf-8-sig")
            if self.suffix == ".json" and text.lstrip()[:1] in ("[", "{"):
                try:
                    return json.loads(text)
                except json.JSONDecodeError as error:
                    if not error.msg.startswith("Extra data"):
                        raise
            # not splitlines(), which also splits at characters that a JSON string may contain
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        except (ValueError, RecursionError) as error:
            raise DamagedError(
                f"{self.name} cannot be read as {self.suffix[1:]}: {explain(error)}."
            ) from error

    @property
    def json_document(self):
        """The parsed JSON of a file that ends in .json; None for any other file."""
        return self.json if self.suffix == ".json" else None

    def release(self) -> None:
        """Free what was read: it may be large, and is needed only once."""
        for name in ("head", "content", "json"):
            self.__dict__.pop(name, None)

    def relative_path(self, name: str) -> str:
        """Return a name in this file as a name in `files`."""
        return posixpath.join(self.base, name)


@dataclass
class ImageList:
    """The content of a file that lists images."""

    table: RowTable
    classes: list[str]  # in the order of their indices
    skipped: Sequence[tuple[str, str]] = ()  # (image, reason)
    # where a file that is named in the list may be, most likely place first
    candidates: Callable[[str], Sequence[str]] = lambda name: (name,)
    allow_repeats: bool = False  # whether a file may be listed twice
    notes: Sequence[str] = ()  # sentences for the user
    _seen: set[str] = field(default_factory=set)

    @classmethod
    def from_rows(cls, rows: Sequence[Row], classes: Sequence[str], **options) -> ImageList:
        """Create a list from mappings with some of COLUMNS. options: further fields."""
        return cls(pa.Table.from_pylist(list(rows), COLUMNS), list(classes), **options)


def open_lists(title: str, lists: Sequence[tuple[ListFile, ImageList]]) -> Source:
    """Create a source from one image list, or from one list per split.

    title: of the format. Raises LabelAuditError if no image can be used.
    """

    def rows() -> Iterator[Row]:
        for file, images in lists:
            for name, reason in images.skipped:
                source.skipped.add(name, reason)
            for batch in images.table.to_batches(BATCH_ROWS):
                for row in batch.to_pylist():
                    row["filepath"] = path = _find(file, images, row["filepath"])
                    row["split"] = row["split"] or file.split
                    if images.allow_repeats:
                        yield row
                    elif path in images._seen:
                        source.skipped.add(path, "is listed twice: its first label is used")
                    else:
                        images._seen.add(path)
                        yield row

    first, files = lists[0][0], lists[0][0].files
    name = first.name if len(lists) == 1 else files.display_name("")
    total = sum(len(images.table) for _, images in lists)
    if not total:
        raise BadInputError(f"{name} lists no usable image{_first_reason(lists)}.")
    classes = list(dict.fromkeys(name for _, images in lists for name in images.classes))
    source = Source.of_files(files, f"{title} {name}", classes, total, rows)
    for text in (note for _, images in lists for note in images.notes):
        source.skipped.note(text)
    return source


def _first_reason(lists: Sequence[tuple[ListFile, ImageList]]) -> str:
    first = next((entry for _, images in lists for entry in images.skipped), None)
    return f" (the first one, {first[0]}: {first[1]})" if first else ""


def _find(file: ListFile, images: ImageList, name: str) -> str:
    """Return the filepath of an image; if no candidate exists, that of the most likely place."""
    places = [file.relative_path(place) for place in images.candidates(name)]
    existing = (place for place in places if len(places) == 1 or file.files.exists(place))
    return file.files.filepath(next(existing, places[0]))
