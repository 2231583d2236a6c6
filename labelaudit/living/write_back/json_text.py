"""Places of values in JSON text, so that one can be replaced without touching the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_VALUE = json.JSONDecoder()


def skip_space(text: str, at: int) -> int:
    """Return the place of the next character that is no blank."""
    return _SPACE.match(text, at).end()


def value_end(text: str, at: int) -> tuple[Any, int]:
    """Return the value that begins here, and where it ends."""
    return _VALUE.raw_decode(text, at)


def members(text: str, at: int) -> Iterator[tuple[str, Any, int, int]]:
    """Yield (key, value, start, end of the value) of the object that begins at `at`."""
    at = skip_space(text, at + 1)
    while text[at] == '"':
        key, at = value_end(text, at)
        at = skip_space(text, skip_space(text, at) + 1)  # after the colon
        value, end = value_end(text, at)
        yield key, value, at, end
        at = skip_space(text, end)
        if text[at] == ",":
            at = skip_space(text, at + 1)


def elements(text: str, at: int) -> Iterator[tuple[Any, int, int]]:
    """Yield (value, start, end) of each element of the array that begins at `at`."""
    at = skip_space(text, at + 1)
    while text[at] != "]":
        value, end = value_end(text, at)
        yield value, at, end
        at = skip_space(text, end)
        if text[at] == ",":
            at = skip_space(text, at + 1)


def member(text: str, at: int, key: str) -> tuple[Any, int, int] | None:
    """Return (value, start, end) of a key of the object at `at`; None if it does not have it.

    The last one counts if a key is repeated, as for every reader.
    """
    found = None
    for name, value, start, end in members(text, at):
        if name == key:
            found = value, start, end
    return found


def objects(text: str) -> Iterator[tuple[Any, int, int]]:
    """Yield the elements of a document that is one array, or the values of JSON lines."""
    at = skip_space(text, 0)
    if text[at : at + 1] == "[":
        yield from elements(text, at)
        return
    while at < len(text):
        value, end = value_end(text, at)
        yield value, at, end
        at = skip_space(text, end)


def as_json(value: object, text: str) -> str:
    """Return a value as JSON, with other letters escaped if the text has none unescaped."""
    return json.dumps(value, ensure_ascii=text.isascii())


def replace_spans(text: str, edits: list[tuple[int, int, str]]) -> str:
    """Return the text with each span (start, end) replaced."""
    parts, at = [], 0
    for start, end, new in sorted(edits):
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])
