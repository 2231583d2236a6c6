"""How a CSV file is written: its encoding, its delimiter and its decimal sign."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
from pyarrow import csv

SNIFFED_BYTES = 1 << 20  # read from the start of a file
SNIFFED_LINES = 50  # in which numbers are looked for
_COMMA_NUMBER = re.compile(r"\s*\"?[+-]?\d+,\d+([eE][+-]?\d+)?\"?\s*")
_POINT_NUMBER = re.compile(r"\s*\"?[+-]?\d*\.\d+([eE][+-]?\d+)?\"?\s*")


@dataclass(frozen=True)
class CsvFormat:
    """The format of a CSV file. skipped: lines before the header. decimal: "." or ","."""

    encoding: str
    delimiter: str
    skipped: int
    decimal: str

    @classmethod
    def of(cls, head: bytes) -> CsvFormat:
        """Detect the format from the beginning of a file."""
        encoding = _encoding(head)
        lines = head.decode(encoding, errors="replace").lstrip("\ufeff").split("\n")
        # Excel reads the delimiter from a first line such as `sep=;`
        if match := re.fullmatch(r"\"?sep=(.)\"?", lines[0].strip(), re.IGNORECASE):
            delimiter, skipped = match[1], 1
        else:
            delimiter, skipped = max(",;\t|", key=lines[0].count), 0
        return cls(encoding, delimiter, skipped, _decimal(lines[skipped + 1 :], delimiter))

    @classmethod
    def of_file(cls, path: Path) -> CsvFormat:
        """Detect the format of a file."""
        with path.open("rb") as file:
            return cls.of(file.read(SNIFFED_BYTES))

    def open(
        self,
        source: IO[bytes] | Path,
        block_bytes: int,
        types: Mapping[str, pa.DataType] | None = None,
        columns: Sequence[str] | None = None,
        texts_may_be_null: bool = False,
    ) -> csv.CSVStreamingReader:
        """Open a file of this format, to be read in blocks; no row can be longer than one.

        types: of columns, by default inferred. columns: which to read, by default all.
        texts_may_be_null: whether an empty cell of text is null. Then only empty cells are.
        """
        nulls = {"strings_can_be_null": True, "null_values": [""]} if texts_may_be_null else {}
        return csv.open_csv(
            source,
            # with threads, errors do not contain the line number
            read_options=csv.ReadOptions(
                use_threads=False,
                block_size=block_bytes,
                encoding=self.encoding,
                skip_rows=self.skipped,
            ),
            parse_options=csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=types, include_columns=columns, decimal_point=self.decimal, **nulls
            ),
        )


def _encoding(head: bytes) -> str:
    """Return the encoding of a text: UTF-8 if nothing speaks against it."""
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    start = head[:2000]
    zeros = [start[i::2].count(0) for i in (0, 1)]  # UTF-16 of Latin letters has every second
    if min(zeros) == 0 and max(zeros) > len(start) / 5:
        return "utf-16-le" if zeros[1] else "utf-16-be"
    return "utf8"


def _decimal(lines: Sequence[str], delimiter: str) -> str:
    """Return "," if numbers are written with a decimal comma, as in many languages, else "."."""
    if delimiter == ",":
        return "."
    cells = [cell for line in lines[:SNIFFED_LINES] for cell in line.rstrip("\r").split(delimiter)]
    commas = any(map(_COMMA_NUMBER.fullmatch, cells))
    return "," if commas and not any(map(_POINT_NUMBER.fullmatch, cells)) else "."
