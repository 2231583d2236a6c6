"""The CSV of suspected wrong labels."""

from __future__ import annotations

import io
import os
from functools import partial

import pandas as pd
import pyarrow as pa

from ..dataset.target import Target, as_view
from ..dataset.view import View
from ..dataset.view_table import OWN
from .provenance import SUSPECTS, provenance, write_with_provenance
from .tables import as_text, column, csv_writer, write_view

BEFORE_SCORES = ["id", "filepath", "split", "ground_truth", "predicted", "confidence"]
# If the run has suspicion, and if the image quality was measured.
OPTIONAL = ["suggested", "suggested_p", "finding", "image_issues"]


def write_suspects(
    view: Target, target: str | os.PathLike | io.IOBase, *, bom: bool = False
) -> int:
    """Write a view as CSV, in its order. Returns the number of rows.

    Columns: id … confidence, suggested, suggested_p and finding if the run has suspicion,
    image_issues if the image quality was measured, own fields, every score, tags. Text cells that a
    spreadsheet would run as a formula begin with an apostrophe. A file is written atomically, and
    `<name>.provenance.json` beside it tells `verify` the state of the dataset. bom: begin with a
    byte order mark, so that Excel shows letters such as "é".
    """
    view = as_view(view)
    writer = partial(csv_writer, bom=bom)
    with view.steady():
        origin = provenance(view, SUSPECTS, len(view))
        return write_with_provenance(
            target, origin, lambda sink: write_view(view, sink, _table, writer)
        )


def suspects_csv(view: View) -> bytes:
    """Return the CSV of `write_suspects` as bytes, for a download."""
    buffer = io.BytesIO()
    write_suspects(view, buffer)
    return buffer.getvalue()


def _table(frame: pd.DataFrame) -> pa.Table:
    before = [*BEFORE_SCORES, *(name for name in OPTIONAL if name in frame.columns)]
    before += frame.attrs[OWN]
    numbers = [name for name in frame.columns if frame[name].dtype.kind == "f"]
    names = [*before, *(name for name in numbers if name not in before), "tags"]
    return as_text(pa.table({name: column(frame, name) for name in names}))
