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
from .find_image import ImageFinder, remote_reason
from .source import Row, Skipped, Source

HOW_TO_SET_LABEL = "label=… in Python, --label-column on the command line, Label column in the app"
HOW_TO_SET_PATH = (
    "path_column=… in Python, --path-column on the command line, Path column in the app"
)

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
    """Rows with the schema COLUMNS, and own fields, that can be read more than once, from memory or
    from a file."""

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
    path_column: str | None = None  # named by the user
    near: str | None = None  # split in whose folders images are searched first
    in_source: str = ""  # its name in `files`
    # columns that become own fields, and their kinds (None: to be found out); see `own_columns`
    fields: dict[str, str | None] = field(default_factory=dict)
    _finder: ImageFinder | None = None

    @property
    def finder(self) -> ImageFinder:
        """Finds the images of the list. All lists of a source may share one."""
        self._finder = self._finder or ImageFinder(self.files)
        return self._finder

    def share(self, finder: ImageFinder) -> None:
        self._finder = finder

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
    mentioned: Sequence[str] = ()  # names in the source of further images that `skipped` is about
    entries: Sequence[int] | None = None  # of each row its entry in the file; None: the same
    fields: dict[str, str] = field(default_factory=dict)  # kinds of the own fields in the rows
    label_column: str | None = None  # of a table
    _seen: set[str] = field(default_factory=set)

    @classmethod
    def from_rows(cls, rows: Sequence[Row], classes: Sequence[str], **options) -> ImageList:
        """Create a list from mappings with some of COLUMNS. options: further fields."""
        return cls(pa.Table.from_pylist(list(rows), COLUMNS), list(classes), **options)


def open_lists(
    title: str, lists: Sequence[tuple[ListFile, ImageList]], images: Sequence[str] = ()
) -> Source:
    """Create a source from one image list, or from one list per split.

    title: of the format. images: names in the source of all images, if it is a folder; those that
    no list has are reported. Raises LabelAuditError if no image can be used.
    """

    def rows() -> Iterator[Row]:
        used: set[str] = set()
        for file, listed in lists:
            for name, reason in listed.skipped:
                source.skipped.add(name, reason, reason.split(" (")[0])
                used.add(find_path(file, listed, name)[0])
            used.update(map(files.filepath, listed.mentioned))
            yield from _rows(file, listed, source.skipped, used)
        for name in images:
            if files.filepath(name) not in used:
                source.skipped.add(files.filepath(name), f"is not listed in {names}")

    first, files = lists[0][0], lists[0][0].files
    names = ", ".join(PurePosixPath(file.name).name for file, _ in lists[:3])
    name = first.name if len(lists) == 1 else files.display_name("")
    total = sum(len(listed.table) for _, listed in lists)
    if not total:
        raise BadInputError(f"{name} lists no usable image{_first_reason(lists)}.")
    classes = list(dict.fromkeys(name for _, listed in lists for name in listed.classes))
    source = Source.of_files(files, f"{title} {name}", classes, total, rows)
    source.format, source.lists = title, lists
    for file, listed in lists:
        for field_name, kind in listed.fields.items():
            if source.fields.setdefault(field_name, kind) != kind:
                raise BadInputError(
                    f"{file.name}: field {field_name!r} is a {kind} here and a "
                    f"{source.fields[field_name]} in another list: give its kind "
                    f"(fields={{{field_name!r}: …}})."
                )
    for text in (note for _, listed in lists for note in listed.notes):
        source.skipped.note(text)
    return source


def _rows(file: ListFile, listed: ImageList, skipped: Skipped, used: set[str]) -> Iterator[Row]:
    """Yield the usable rows of a list. used: gets the paths of all images that the list has."""
    elsewhere, example = 0, ""
    for batch in listed.table.to_batches(BATCH_ROWS):
        for row in batch.to_pylist():
            given = row["filepath"]
            path, problem, is_elsewhere = find_path(file, listed, given)
            row["filepath"] = path
            row["split"] = row["split"] or file.split
            used.add(path)
            if problem:
                skipped.add(path, problem)
                continue
            if is_elsewhere:
                elsewhere += 1
                example = example or f"{given} is {path}"
            if listed.allow_repeats:
                yield row
            elif path in listed._seen:
                skipped.add(path, "is listed twice: its first label is used")
            else:
                listed._seen.add(path)
                yield row
    if elsewhere:
        skipped.note(
            f"{elsewhere:,} of the images were found by name, because they are not exactly where "
            f"{PurePosixPath(file.name).name} says: {example}."
        )


def _first_reason(lists: Sequence[tuple[ListFile, ImageList]]) -> str:
    first = next((entry for _, images in lists for entry in images.skipped), None)
    return f" (the first one, {first[0]}: {first[1]})" if first else ""


def find_path(file: ListFile, images: ImageList, name: str) -> tuple[str, str | None, bool]:
    """Return the filepath of an image, the problem if there is one, and whether it is elsewhere.

    If the image is nowhere, the path is that of the most likely place. On a disk and in object
    storage this is no problem yet: whoever opens the image reports it.
    """
    problem: str | None = None
    if file.files.kind != "bucket":
        problem = remote_reason(name)
        if problem:
            return name, problem, False
    places = [file.relative_path(place) for place in images.candidates(name)]
    existing = next((place for place in places if file.files.exists(place)), None)
    if existing is not None:
        return file.files.filepath(existing), None, False
    found, reason = file.finder.find(name, file.base, file.near)
    if found is not None:
        return file.files.filepath(found), None, True
    if reason.startswith("may be"):
        problem = reason
    elif file.files.kind == "archive":
        problem = "there is no such file in the archive"
    return file.files.filepath(places[0]), problem, False
