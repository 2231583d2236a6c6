"""Predictions as arrays: in memory, in an .npy file (mapped, not read) or an .npz."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..core.errors import LabelAuditError
from .matching import IDS, PATHS
from .numbers import LOGITS, PROBABILITIES

BATCH_BYTES = 64 << 20

# What arrays and columns are called, here and elsewhere (pred_probs: cleanlab's).
NUMBERS = {
    "logits": LOGITS, "probabilities": PROBABILITIES, "probs": PROBABILITIES,
    "pred_probs": PROBABILITIES, "predictions": None,
}  # fmt: skip
CLASSES = ("classes", "class_names")
EMBEDDINGS = ("embeddings", "embedding")


@dataclass
class Brought:
    """Somebody's predictions as they lie there: `rows` rows of `width` numbers."""

    what: str  # for errors: the file's name
    rows: int
    width: int
    names: Sequence | None = None  # of the columns' classes
    kind: str | None = None  # said by the name of the array
    ids: np.ndarray | None = None  # int64 (rows,)
    paths: pa.Array | None = None  # (rows,)
    unused: list[str] = field(default_factory=list)  # columns or arrays that are not read
    embedded: int | None = None  # numbers of each embedding
    in_order: bool = True  # False: an index stands there that is not 0, 1, 2 …

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Rows in order: numbers, float (n, width), and embeddings, float (n, embedded)."""
        raise NotImplementedError

    @property
    def batch_rows(self) -> int:
        return max(BATCH_BYTES // (8 * (self.width + (self.embedded or 0))), 1)


@dataclass
class Arrays(Brought):
    values: np.ndarray | None = None
    embeddings: np.ndarray | None = None

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for start in range(0, self.rows, self.batch_rows):
            some = slice(start, start + self.batch_rows)
            yield self.values[some], None if self.embeddings is None else self.embeddings[some]


def of_array(values: np.ndarray, what: str) -> Arrays:
    """An array (n, C) without names."""
    _check_numbers(values, what)
    return Arrays(what, *values.shape, values=values)


def open_npy(path: Path) -> Arrays:
    return of_array(_load(path, "r"), path.name)


def open_npz(path: Path) -> Arrays:
    """Arrays of an .npz by their names; `NUMBERS` and the constants beside it list those."""
    what = path.name
    try:
        with _load(path, None) as stored:
            there = stored.files
            numbers = [name for name in there if name in NUMBERS]
            if len(numbers) != 1:
                raise LabelAuditError(
                    f"{what} has the arrays {', '.join(there) or 'none'}: one must be called "
                    "logits, probabilities or predictions."
                )
            parts = {
                part: next((name for name in names if name in there), None)
                for part, names in (
                    ("ids", IDS), ("paths", PATHS), ("classes", CLASSES), ("vectors", EMBEDDINGS)
                )
            }  # fmt: skip
            values = stored[numbers[0]]
            found = {part: stored[name] for part, name in parts.items() if name}
    except (ValueError, OSError, EOFError) as error:
        raise LabelAuditError(_unreadable(path, error)) from error
    source = of_array(values, what)
    source.kind = NUMBERS[numbers[0]]
    source.unused = [name for name in there if name not in (*numbers, *parts.values())]
    if "ids" in found:
        source.ids = whole_numbers(found["ids"], source.rows, what)
    if "paths" in found:
        source.paths = pa.array(_row_by_row(found["paths"], source.rows, "filepaths", what))
    if "classes" in found:
        source.names = found["classes"].tolist()
    if "vectors" in found:
        add_embeddings(source, found["vectors"])
    return source


def add_embeddings(source: Arrays, vectors: np.ndarray) -> None:
    _check_numbers(vectors, f"the embeddings of {source.what}")
    _row_by_row(vectors, source.rows, "embeddings", source.what)
    source.embeddings, source.embedded = vectors, vectors.shape[1]


def whole_numbers(values, rows: int, what: str) -> np.ndarray:
    """Ids, int64 (rows,)."""
    given = _row_by_row(np.asarray(values), rows, "ids", what)
    if given.dtype.kind not in "iu":
        raise LabelAuditError(f"{what}: the ids are {given.dtype}, and must be whole numbers.")
    return given.astype(np.int64)


def _row_by_row(values: np.ndarray, rows: int, name: str, what: str) -> np.ndarray:
    if len(values) != rows or (values.ndim != 1 and name != "embeddings"):
        raise LabelAuditError(
            f"{what}: the {name} have the shape {values.shape}, and there are {rows:,} rows: give "
            "one for each."
        )
    return values


def _check_numbers(values: np.ndarray, what: str) -> None:
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.shape[1]:
        raise LabelAuditError(
            f"{what} is an array of {values.dtype} {values.shape}: it must be numbers, a row for "
            "each sample and a column for each class."
        )


def _load(path: Path, mmap_mode: str | None):
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise LabelAuditError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    if any(words in str(error) for words in ("allow_pickle", "bject arrays", "Python objects")):
        return (
            f"{path.name} holds pickled objects, which are not read: save plain arrays of numbers."
        )
    return f"{path.name} cannot be read as {path.suffix[1:]}: {error}."
