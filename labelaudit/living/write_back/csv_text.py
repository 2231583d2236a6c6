"""Replaces cells of a CSV file and leaves every other byte as it is."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

from ...core.csv_format import CsvFormat
from ...core.errors import BadInputError


def edit_csv(data: bytes, column: int, changes: Mapping[int, str], name: str) -> bytes:
    """Return the file with other cells in one column.

    column: its number, from 0. changes: new texts by row, which is counted from 0 without the
    header and without empty lines, as the reader counts. The new cell is quoted if the old one was,
    or if it has to be. Raises BadInputError if a row does not have the cell.
    """
    found = CsvFormat.of(data[: 1 << 20])
    bom, encoding = _bom(data, found.encoding)
    text = data[len(bom) :]
    if encoding != "utf8":
        text = text.decode(encoding).encode()
    record, cell = _patterns(found.delimiter.encode())
    parts, done, row = [], 0, -1 - found.skipped
    for match in record.finditer(text):
        if not match[1]:
            continue  # readers pass empty lines over
        row += 1
        if row <= 0 or row - 1 not in changes:
            continue
        span = _cell(text, cell, match, column)
        if span is None:
            raise BadInputError(f"{name}: row {row} has no cell in the column of the labels.")
        parts += [
            text[done : span[0]],
            _quoted(changes[row - 1], text[slice(*span)], found.delimiter),
        ]
        done = span[1]
    new = b"".join([*parts, text[done:]])
    return bom + (new if encoding == "utf8" else new.decode().encode(encoding))


def _bom(data: bytes, encoding: str) -> tuple[bytes, str]:
    """Return the byte order mark, and the encoding of what follows."""
    for mark, exact in (
        (codecs.BOM_UTF8, "utf8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            return mark, exact
    return b"", encoding


def _patterns(delimiter: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return patterns of a record, whose first group is its content, and of a cell.

    A quote begins a quoted cell only at its beginning.
    """
    mark = re.escape(delimiter)
    cell = rb'(?:"(?:[^"]++|"")*+"[^%b\r\n]*+|[^"%b\r\n][^%b\r\n]*+|)' % (mark, mark, mark)
    record = rb"(%b(?:%b%b)*+)(?:\r\n|\n|\r|\Z)" % (cell, mark, cell)
    return re.compile(record), re.compile(cell)


def _cell(
    text: bytes, cell: re.Pattern[bytes], record: re.Match[bytes], column: int
) -> tuple[int, int] | None:
    at, end = record.span(1)
    for _ in range(column):
        at = cell.match(text, at, end).end() + 1  # after the delimiter
        if at > end:
            return None
    return cell.match(text, at, end).span()


def _quoted(value: str, old: bytes, delimiter: str) -> bytes:
    needs = set(value) & {delimiter, '"', "\n", "\r"} or value != value.strip()
    text = '"' + value.replace('"', '""') + '"' if needs or old.startswith(b'"') else value
    return text.encode()
