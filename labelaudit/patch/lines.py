"""What stands in a patch file: JSON lines, the header first, then one line a sample.

    {"format": "labelaudit-patch", "version": 1, "dataset": "pets", "made": "2026-03-01T…", …}
    {"file": "cat/7.jpg", "before": "cat", "change": "relabel", "after": "dog", "by": ["ann"], …}
    {"file": "dog/2.jpg", "before": "dog", "change": "remove", "by": ["bob"], …}

Lines are sorted by file, so that two versions differ in git where the decisions do. A file that git
merged line by line (`*.labels.jsonl merge=union` in .gitattributes) has two headers, and is read.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from .. import __version__
from ..core.errors import BadInputError, DamagedError
from ..dataset.ingest import UNPRINTABLE, natural_order
from ..dataset.verdict_log import REVIEWER_LENGTH
from ..export.tables import open_sink

FORMAT, VERSION = "labelaudit-patch", 1
SUFFIX = ".labels.jsonl"
RELABEL, REMOVE, KEEP = WORDS = ("relabel", "remove", "keep")
LINE_BYTES = 1 << 20  # a header with 10,000 class names takes a fifth of it
TEXT_LENGTH = 4096
SHOWN = 60  # characters of a wrong value in an error's text
_PIXELS = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Change:
    """What became of one sample. It is found again by `file`, `pixels` or, at last, `id`."""

    file: str | None  # path below the folder that all of the dataset's images lie in
    pixels: str | None  # 16 hexadecimal digits, a hash of all of them (`pictures.pixel_hash`)
    id: int | None
    before: str | None  # class as the dataset was loaded; None for no label
    change: str  # RELABEL, REMOVE or KEEP (looked at, and right)
    after: str | None  # class of RELABEL, and of KEEP, whose label before it is
    by: tuple[str, ...]  # who decided so, sorted
    at: str  # when: ISO 8601

    @property
    def outcome(self) -> tuple[str, str | None]:
        """Equal where two people want the same."""
        return (REMOVE, None) if self.change == REMOVE else (RELABEL, self.after)

    @property
    def key(self) -> tuple[str, str]:
        """Equal for lines that name the same sample in the same way."""
        if self.file is not None:
            return ("file", self.file)
        return ("pixels", self.pixels) if self.pixels else ("id", str(self.id))

    @property
    def name(self) -> str:
        """What a person would call the sample."""
        if self.file is not None:
            return self.file
        return f"pixels {self.pixels}" if self.pixels else f"id {self.id}"

    @property
    def words(self) -> str:
        """What is wanted, in a word or two."""
        return "removed" if self.change == REMOVE else (self.after or "no label")

    def order(self) -> tuple:
        """By it the lines of a file are sorted."""
        return (self.file is None, self.file or "", self.pixels or "", self.id or 0)

    def to_line(self) -> str:
        """As it stands in a patch file, without the line's end."""
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
    """Label changes of one dataset, at most one a sample, sorted by file."""

    changes: list[Change]
    dataset: str
    classes: list[str]
    made: str  # ISO 8601
    name: str = "the patch"  # of its file, for messages

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def by(self) -> list[str]:
        """Everybody who decided something in it, sorted."""
        return sorted({name for change in self.changes for name in change.by})

    @property
    def counts(self) -> dict[str, int]:
        """How many samples are relabelled, removed and kept."""
        found = Counter(change.change for change in self.changes)
        return {word: found[word] for word in WORDS}

    def to_lines(self) -> Iterator[str]:
        """The file's lines. Raises LabelAuditError for a class that no line can hold."""
        for name in self.classes:
            if UNPRINTABLE.search(name) or len(name) > TEXT_LENGTH:
                raise BadInputError(
                    f"class {_shown(name)} cannot stand in a patch: it has characters that cannot "
                    f"be printed, or more than {TEXT_LENGTH:,}; rename the class."
                )
        header = {
            "format": FORMAT, "version": VERSION, "dataset": self.dataset, "made": self.made,
            "by": self.by, "labelaudit": __version__, "counts": self.counts,
            "classes": self.classes,
        }  # fmt: skip
        yield json.dumps(header, ensure_ascii=False) + "\n"
        for change in sorted(self.changes, key=Change.order):
            yield change.to_line() + "\n"

    def to_bytes(self) -> bytes:
        """The file's contents, for a download."""
        return "".join(self.to_lines()).encode()

    def write(self, path: str | os.PathLike) -> None:
        """Write the file; it appears whole or not at all."""
        lines = list(self.to_lines())  # what is wrong is found before the file is there
        with open_sink(path) as sink:
            sink.writelines(line.encode() for line in lines)


def read_patch(path: str | os.PathLike) -> Patch:
    """The patch in a file. Raises LabelAuditError that names the line where one is malformed, and
    for a file of a newer version."""
    try:
        with open(path, "rb") as file:
            return parse_patch(file, os.path.basename(path))
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}.") from error


def parse_patch(source: bytes | io.BufferedIOBase, name: str) -> Patch:
    """What `read_patch` gives, of bytes or an open file. name: for messages."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    headers: list[dict] = []
    found: dict[tuple[str, str], tuple[int, Change]] = {}
    number = 0
    while line := file.readline(LINE_BYTES + 1):
        number += 1
        try:
            values = _object(line)
            if values is None:
                continue
            if "format" in values or not headers:
                headers.append(_header(values))
                classes = {name for header in headers for name in header["classes"]}
                continue
            change = _change(values, classes)
            first = found.setdefault(change.key, (number, change))
            found[change.key] = (first[0], _joined(first, change))
        except _BadLineError as error:
            raise BadInputError(f"{name}, line {number}: {error}.") from None
    if not headers:
        raise BadInputError(
            f"{name} is empty: write one with `labelaudit patch DATASET -o {name}`."
        )
    changes = sorted((change for _, change in found.values()), key=Change.order)
    return Patch(changes, headers[0]["dataset"], union([h["classes"] for h in headers]),
                 max(header["made"] for header in headers), name)  # fmt: skip


def _joined(first: tuple[int, Change], change: Change) -> Change:
    """One line for two of a sample, as git leaves them where two people want the same."""
    number, other = first
    if (other.before, other.outcome) != (change.before, change.outcome):
        _bad(f"{_shown(change.name)} has another outcome in line {number}; keep one of the two")
    by = tuple(sorted({*other.by, *change.by}))
    return replace(other, by=by, at=max(other.at, change.at))


def union(lists: list[list[str]]) -> list[str]:
    """Class names of several lists: as they are where all are the same, else sorted."""
    same = all(names == lists[0] for names in lists)
    return lists[0] if same else natural_order({name for names in lists for name in names})


class _BadLineError(Exception):
    """What is wrong with a line, and the fix."""


def _bad(reason: str) -> None:
    raise _BadLineError(reason)


def _shown(value) -> str:
    text = ascii(value)  # whatever a terminal would do with it
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _object(line: bytes) -> dict | None:
    """The JSON object of a line; None for a blank one."""
    if len(line) > LINE_BYTES:
        _bad(f"it is longer than {LINE_BYTES:,} bytes, which no line of a patch is")
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        _bad("it is not UTF-8; save the file as UTF-8")
    if not text:
        return None
    if text.startswith(("<<<<<<<", "=======", ">>>>>>>")):
        _bad("git left a conflict here; settle it, or merge the two files with `labelaudit "
             "merge-patches`")  # fmt: skip
    try:
        values = json.loads(text, parse_constant=_no_number, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError):
        _bad("it is no JSON; mend the line or delete it")
    if not isinstance(values, dict):
        _bad(f"{_shown(values)} is no JSON object; mend the line or delete it")
    return values


def _no_number(word: str) -> None:
    _bad(f"{word} is no JSON; mend the line or delete it")


def _no_repeats(pairs: list[tuple]) -> dict:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        _bad(f"{_shown(twice)} stands in it twice; keep one of the two")
    return values


def _header(values: dict) -> dict:
    if values.get("format") != FORMAT:
        _bad(f'the header is missing: the first line begins with {{"format": "{FORMAT}"')
    version = values.get("version")
    if type(version) is not int or version < 1:
        _bad(f"the version is {_shown(version)}; it must be a whole number, 1 or more")
    if version > VERSION:
        _bad(f"the patch is of version {version}, and this LabelAudit ({__version__}) reads up to "
             f"{VERSION}; update LabelAudit")  # fmt: skip
    classes = values.get("classes")
    if not isinstance(classes, list):
        _bad('"classes" is missing; it must list the class names')
    for name in classes:
        _text(name, "a class name")
    if len(set(classes)) < len(classes):
        _bad('"classes" has a name twice; keep one of the two')
    return {"dataset": _text(values.get("dataset"), '"dataset"'), "classes": classes,
            "made": _time(values.get("made"), '"made"')}  # fmt: skip


def _change(values: dict, classes: set[str]) -> Change:
    file, pixels, sample = (values.get(key) for key in ("file", "pixels", "id"))
    if file is not None and not is_clean_path(_text(file, '"file"')):
        _bad(f'"file" is {_shown(file)}; it must be a path below the dataset, like cat/7.jpg')
    if pixels is not None and not (isinstance(pixels, str) and _PIXELS.fullmatch(pixels)):
        _bad(f'"pixels" is {_shown(pixels)}; it must be 16 hexadecimal digits, or left out')
    if sample is not None and not (type(sample) is int and 0 <= sample < 2**63):
        _bad(f'"id" is {_shown(sample)}; it must be a whole number, 0 or more, or left out')
    if file is None and pixels is None and sample is None:
        _bad('it names no sample; give "file", "pixels" or "id"')
    word = values.get("change")
    if word not in WORDS:
        _bad(f'"change" is {_shown(word)}; it must be one of {", ".join(WORDS)}')
    before = _class(values, "before", classes)
    after = _class(values, "after", classes) if word == RELABEL else None
    if word == KEEP or (word == RELABEL and after == before):
        word, after = KEEP, before
    by = values.get("by")
    if not isinstance(by, list) or not by:
        _bad('"by" is missing; it must list the names of those who decided')
    for name in by:
        if len(_text(name, 'a name in "by"')) > REVIEWER_LENGTH:
            _bad(f'a name in "by" is longer than {REVIEWER_LENGTH} characters; shorten it')
    at = _time(values.get("at"), '"at"')
    return Change(file, pixels, sample, before, word, after, tuple(sorted(set(by))), at)


def _class(values: dict, key: str, classes: set[str]) -> str | None:
    if key not in values:
        _bad(f'"{key}" is missing; give a class name, or null for no label')
    name = values[key]
    if name is not None and (not isinstance(name, str) or name not in classes):
        _bad(f'"{key}" is {_shown(name)}, which is not among the classes of the header; correct '
             "one of the two")  # fmt: skip
    return name


def is_clean_path(path: str) -> bool:
    """Whether it can stand in a patch: it leads nowhere outside, and can be printed."""
    parts = path.split("/")
    return len(path) <= TEXT_LENGTH and not (
        UNPRINTABLE.search(path) or {"", ".", ".."} & set(parts) or "\\" in path
    )


def _text(value, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LENGTH:
        _bad(f"{what} is {_shown(value)}; it must be a text of 1 to {TEXT_LENGTH:,} characters")
    if UNPRINTABLE.search(value):
        _bad(f"{what} is {_shown(value)}; characters that cannot be printed must go")
    return value


def _time(value, what: str) -> str:
    try:
        datetime.fromisoformat(_text(value, what))
    except ValueError:
        _bad(f"{what} is {_shown(value)}; it must be a time like 2026-03-01T12:00:00+00:00")
    return value
