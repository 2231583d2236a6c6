"""Ways out: the CSV of suspected mistakes, and the labels as they are now."""

from __future__ import annotations

import glob
import io
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from .cells import TAG_SEPARATOR, guard
from .errors import LabelAuditError
from .holding import hold, left_behind
from .schema import REMOVED
from .view import View

BEFORE_SCORES = ["id", "filepath", "split", "ground_truth", "predicted", "confidence"]
SUGGESTIONS = ["suggested", "suggested_p", "finding"]  # of a run with suspicion
PARTIAL = ".partial"  # suffix of a file that is being written
LABEL_COLUMNS = ["id", "filepath", "label", "split", "tags"]


def write_suspects(view: View, target: str | os.PathLike | io.IOBase) -> int:
    """Write a view as CSV, in its order, with the columns of `View.to_pandas`. Returns the rows.

    target: a path, or a binary stream. Text cells that a spreadsheet would run as a formula begin
    with an apostrophe. A file appears whole or not at all.
    Raises LabelAuditError for a path that cannot be written.
    """
    return _write(view, target, _suspects_table, _csv_writer)


def suspects_csv(view: View) -> bytes:
    """What `write_suspects` writes, in memory (for a download)."""
    buffer = io.BytesIO()
    write_suspects(view, buffer)
    return buffer.getvalue()


def labels_csv(view: View) -> bytes:
    """What `write_labels` writes as CSV, in memory (for a download)."""
    buffer = io.BytesIO()
    _write(view.exclude_tag(REMOVED), buffer, lambda frame: _labels_table(frame, True), _csv_writer)
    return buffer.getvalue()


def write_labels(view: View, path: str | os.PathLike) -> int:
    """Write the labels as they are now as a manifest that `load_dataset` reads. Returns the rows.

    The suffix says the format: .csv, .jsonl or .parquet. Columns: id, filepath, label, split,
    tags. Samples with the tag `removed` are left out. Images that are kept inside the dataset have
    no file; their names are written.
    Raises LabelAuditError for another suffix, and where the file cannot be written.
    """
    writers = {".csv": _csv_writer, ".jsonl": _jsonl_writer, ".parquet": _parquet_writer}
    suffix = Path(path).suffix.lower()
    if suffix not in writers:
        raise LabelAuditError(
            f"{path} ends in {suffix or 'nothing'!r}: name it {', '.join(writers)} "
            "for the format that you want."
        )
    as_text = suffix == ".csv"
    kept = view.exclude_tag(REMOVED)
    return _write(kept, path, lambda frame: _labels_table(frame, as_text), writers[suffix])


def write_table(table: pa.Table, target: str | os.PathLike | io.IOBase) -> int:
    """Write a table as CSV, in the manner of `write_suspects`. Returns the rows."""
    table = _as_text(table)
    with whole_file(target) as sink, _csv_writer(sink, table.schema) as out:
        out.write_table(table)
    return len(table)


def _suspects_table(frame: pd.DataFrame) -> pa.Table:
    before = [*BEFORE_SCORES, *(name for name in SUGGESTIONS if name in frame.columns)]
    numbers = [name for name in frame.columns if frame[name].dtype.kind == "f"]
    names = [*before, *(name for name in numbers if name not in before), "tags"]
    return _as_text(pa.table({name: _column(frame, name) for name in names}))


def _labels_table(frame: pd.DataFrame, as_text: bool) -> pa.Table:
    frame = frame.rename(columns={"ground_truth": "label"})
    table = pa.table({name: _column(frame, name) for name in LABEL_COLUMNS})
    return _as_text(table) if as_text else table


_TYPES = {"id": pa.int64(), "tags": pa.list_(pa.string())} | dict.fromkeys(
    ["filepath", "split", "ground_truth", "predicted", "label", "suggested", "finding"], pa.string()
)


def _column(frame: pd.DataFrame, name: str) -> pa.Array:
    return pa.array(frame[name], _TYPES.get(name, pa.float64()), from_pandas=True)


def _as_text(table: pa.Table) -> pa.Table:
    """Tags joined, texts guarded: as a CSV holds them."""
    for i, name in enumerate(table.column_names):
        column = table[name]
        if pa.types.is_list(column.type):
            column = pc.binary_join(column, TAG_SEPARATOR)
        if pa.types.is_string(column.type):
            table = table.set_column(i, name, guard(column))
    return table


def _write(view: View, target, to_table: Callable, writer: Callable) -> int:
    chunks: Iterator[pa.Table] = (to_table(frame) for frame in view.chunks())
    first = next(chunks)
    rows = 0
    with whole_file(target) as sink, writer(sink, first.schema) as out:
        for table in (first, *chunks):
            out.write_table(table)
            rows += len(table)
    return rows


@contextmanager
def whole_file(target) -> Iterator[io.IOBase]:
    """The open target; a path gets a file that is put in place only when it is complete."""
    if hasattr(target, "write"):
        yield target
        return
    path = Path(os.path.realpath(target))  # a link stays, and what it names is replaced
    if path.exists() and not path.is_file():  # a pipe or a device is written to as it is
        try:
            with path.open("wb") as sink:
                yield sink
        except OSError as error:
            raise LabelAuditError(f"{path} cannot be written: {error.strerror}.") from error
        return
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        for other in path.parent.glob(f".{glob.escape(path.name)}.????????{PARTIAL}"):
            with left_behind(other):  # by a process that was killed: it goes
                pass
        held = hold(partial)
    except OSError as error:
        raise LabelAuditError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(os.dup(held), "wb") as sink:
            yield sink
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except OSError as error:
        raise LabelAuditError(f"{path} could not be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
        os.close(held)


def _csv_writer(sink: io.IOBase, schema: pa.Schema) -> csv.CSVWriter:
    return csv.CSVWriter(sink, schema, write_options=csv.WriteOptions(quoting_style="needed"))


def _parquet_writer(sink: io.IOBase, schema: pa.Schema) -> parquet.ParquetWriter:
    return parquet.ParquetWriter(sink, schema)


class _jsonl_writer:  # noqa: N801 (stands beside the two library writers)
    def __init__(self, sink: io.IOBase, schema: pa.Schema) -> None:
        self._sink = sink

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        return None

    def write_table(self, table: pa.Table) -> None:
        text = table.to_pandas().to_json(orient="records", lines=True, force_ascii=False)
        self._sink.write(text.encode())
