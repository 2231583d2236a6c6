"""Reads a whole table of any usual format. Cells are text where the format has no types."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from ..core.csv_format import CsvFormat
from ..core.errors import BadInputError, DamagedError, NotFoundError
from .matching import with_keys

SUFFIXES = ".csv, .tsv, .jsonl or .parquet"


def read_table(source: str | os.PathLike) -> pd.DataFrame:
    """Return the table in a file.

    Raises NotFoundError if it does not exist, DamagedError if it cannot be read, and BadInputError
    for another suffix.
    """
    path = Path(source).expanduser()
    try:
        match path.suffix.lower():
            case ".csv" | ".tsv":
                written = CsvFormat.of_file(path)
                table = pd.read_csv(
                    path,
                    sep=written.delimiter,
                    dtype=str,
                    keep_default_na=False,
                    encoding="utf-8-sig" if written.encoding == "utf8" else written.encoding,
                    skiprows=written.skipped,
                )
            case ".jsonl" | ".ndjson":
                table = pd.read_json(path, lines=True, dtype=False)
            case ".parquet":
                table = with_keys(pd.read_parquet(path))
            case suffix:
                raise BadInputError(
                    f"{path} ends in {suffix or 'nothing'!r}: give a {SUFFIXES} file."
                )
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist: check the path.") from error
    except (ValueError, OSError, pd.errors.ParserError) as error:
        words = " ".join(str(error).split())
        raise DamagedError(f"{path} cannot be read ({words}): write it again.") from error
    return table
