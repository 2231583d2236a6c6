"""Text cells of CSV files: protects spreadsheets against formulas, and removes the protection."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

TAG_SEPARATOR = ";"

# A spreadsheet runs a cell that begins with one of these. Plain numbers ("-1") are safe.
_FORMULA = r"^('*[=+\-@\t\r])"
_NUMBER = r"^[+\-]?[0-9]+(\.[0-9]+)?$"
_GUARDED = r"^'('*[=+\-@\t\r])"


def guard(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Put an apostrophe before each text that a spreadsheet would run as a formula."""
    guarded = pc.replace_substring_regex(values, _FORMULA, r"'\1")
    return pc.if_else(pc.match_substring_regex(values, _NUMBER), values, guarded)


def unguard(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Remove the apostrophes that `guard` added."""
    return pc.replace_substring_regex(values, _GUARDED, r"\1")
