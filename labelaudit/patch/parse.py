"""Read a patch file: see `patch_file.py`.

Two headers are allowed: git leaves them when it merges line by line (`*.labels.jsonl merge=union`
in .gitattributes).
"""

from __future__ import annotations

import io
import json
import os
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import NoReturn

from .. import __version__
from ..core.errors import BadInputError, DamagedError
from ..dataset.ingest import UNPRINTABLE
from ..dataset.verdict_log import REVIEWER_LENGTH
from .patch_file import (
    FORMAT,
    KEEP,
    KINDS,
    MAX_TEXT,
    RELABEL,
    VERSION,
    Change,
    Patch,
    is_clean_path,
    merge_class_names,
    printable,
)

MAX_LINE_BYTES = 1 << 20  # a header with 10,000 class names has a fifth of it
_PIXELS = re.compile(r"[0-9a-f]{16}")


def read_patch(path: str | os.PathLike) -> Patch:
    """Read a patch file.

    Raises BadInputError that names the line if it is malformed, DamagedError if it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return parse_patch(file, os.path.basename(path))
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}.") from error


def parse_patch(source: bytes | io.BufferedIOBase, name: str) -> Patch:
    """Parse a patch from bytes or an open file, like `read_patch`. name: for error messages."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    headers: list[dict] = []
    changes: dict[tuple[str, str], tuple[int, Change]] = {}  # by key: first line number, change
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        try:
            values = _parse_line(line)
            if values is None:
                continue
            if "format" in values or not headers:
                headers.append(_parse_header(values))
                classes = {name for header in headers for name in header["classes"]}
                continue
            change = _parse_change(values, classes)
            first = changes.setdefault(change.key, (number, change))
            changes[change.key] = (first[0], _join(first, change))
        except _BadLineError as error:
            raise BadInputError(f"{name}, line {number}: {error}.") from None
    if not headers:
        raise BadInputError(
            f"{name} is empty: create a patch with `labelaudit patch DATASET -o {name}`."
        )
    return Patch(
        sorted((change for _, change in changes.values()), key=Change.order),
        headers[0]["dataset"],
        merge_class_names([header["classes"] for header in headers]),
        max(header["made"] for header in headers),
        name,
    )


def _join(first: tuple[int, Change], change: Change) -> Change:
    """Join two lines of a sample, which git keeps if two people want the same."""
    number, other = first
    if (other.before, other.outcome) != (change.before, change.outcome):
        _bad(f"{printable(change.name)} has another outcome in line {number}; keep one of them")
    by = tuple(sorted({*other.by, *change.by}))
    return replace(other, by=by, at=max(other.at, change.at))


class _BadLineError(Exception):
    """A malformed line: the problem and the fix."""


def _bad(reason: str) -> NoReturn:
    raise _BadLineError(reason)


def _parse_line(line: bytes) -> dict | None:
    """Return the JSON object of a line; None for a blank line."""
    if len(line) > MAX_LINE_BYTES:
        _bad(f"it is longer than {MAX_LINE_BYTES:,} bytes, the limit; delete it")
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        _bad("it is not UTF-8; save the file as UTF-8")
    if not text:
        return None
    if text.startswith(("<<<<<<<", "=======", ">>>>>>>")):
        _bad(
            "git left a merge conflict here; resolve it, or merge the two files with `labelaudit "
            "merge-patches`"
        )
    try:
        values = json.loads(
            text, parse_constant=_reject_constant, object_pairs_hook=_reject_repeats
        )
    except (ValueError, RecursionError):
        _bad("it is not JSON; correct the line or delete it")
    if not isinstance(values, dict):
        _bad(f"{printable(values)} is not a JSON object; correct the line or delete it")
    return values


def _reject_constant(word: str) -> None:
    _bad(f"{word} is not JSON; correct the line or delete it")


def _reject_repeats(pairs: list[tuple]) -> dict:
    values = dict(pairs)
    if len(values) < len(pairs):
        repeated = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        _bad(f"{printable(repeated)} occurs twice; keep only one")
    return values


def _parse_header(values: dict) -> dict:
    if values.get("format") != FORMAT:
        _bad(f'the header is missing: the first line begins with {{"format": "{FORMAT}"')
    version = values.get("version")
    if type(version) is not int or version < 1:
        _bad(f"the version is {printable(version)}; it must be a whole number of at least 1")
    if version > VERSION:
        _bad(
            f"the patch has the format version {version}, but this LabelAudit ({__version__}) "
            f"reads only up to {VERSION}; update LabelAudit"
        )
    classes = values.get("classes")
    if not isinstance(classes, list):
        _bad('"classes" is missing; it must list the class names')
    for name in classes:
        _text(name, "a class name")
    if len(set(classes)) < len(classes):
        _bad('"classes" contains a name twice; keep only one')
    return {
        "dataset": _text(values.get("dataset"), '"dataset"'),
        "classes": classes,
        "made": _time(values.get("made"), '"made"'),
    }


def _parse_change(values: dict, classes: set[str]) -> Change:
    file, pixels, sample = (values.get(key) for key in ("file", "pixels", "id"))
    if file is not None and not is_clean_path(_text(file, '"file"')):
        _bad(f'"file" is {printable(file)}; it must be a relative path like cat/7.jpg')
    if pixels is not None and not (isinstance(pixels, str) and _PIXELS.fullmatch(pixels)):
        _bad(f'"pixels" is {printable(pixels)}; it must be 16 hexadecimal digits, or left out')
    if sample is not None and not (type(sample) is int and 0 <= sample < 2**63):
        _bad(f'"id" is {printable(sample)}; it must be a whole number of at least 0, or left out')
    if file is None and pixels is None and sample is None:
        _bad('it names no sample; give "file", "pixels" or "id"')
    kind = values.get("change")
    if kind not in KINDS:
        _bad(f'"change" is {printable(kind)}; it must be one of {", ".join(KINDS)}')
    before = _class(values, "before", classes)
    after = _class(values, "after", classes) if kind == RELABEL else None
    if kind == KEEP or (kind == RELABEL and after == before):
        kind, after = KEEP, before
    by = values.get("by")
    if not isinstance(by, list) or not by:
        _bad('"by" is missing; it must list the names of the people who decided')
    for name in by:
        if len(_text(name, 'a name in "by"')) > REVIEWER_LENGTH:
            _bad(f'a name in "by" is longer than {REVIEWER_LENGTH} characters; shorten it')
    at = _time(values.get("at"), '"at"')
    return Change(file, pixels, sample, before, kind, after, tuple(sorted(set(by))), at)


def _class(values: dict, key: str, classes: set[str]) -> str | None:
    if key not in values:
        _bad(f'"{key}" is missing; give a class name, or null for no label')
    name = values[key]
    if name is not None and (not isinstance(name, str) or name not in classes):
        _bad(
            f'"{key}" is {printable(name)}, which is not among the classes in the header; correct '
            "one of them"
        )
    return name


def _text(value, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        _bad(f"{what} is {printable(value)}; it must be text of 1 to {MAX_TEXT:,} characters")
    if UNPRINTABLE.search(value):
        _bad(f"{what} is {printable(value)}; remove the unprintable characters")
    return value


def _time(value, what: str) -> str:
    try:
        datetime.fromisoformat(_text(value, what))
    except ValueError:
        _bad(f"{what} is {printable(value)}; it must be a time like 2026-03-01T12:00:00+00:00")
    return value
