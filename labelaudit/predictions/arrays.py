"""Predictions as arrays: in memory, in an .npy file (memory-mapped), or in an .npz file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError, DamagedError
from . import keys
from .numbers import LOGITS, PROBABILITIES

BATCH_BYTES = 64 << 20

# Names of arrays and columns of numbers, with their kind (pred_probs is cleanlab's).
NUMBERS = {
    "logits": LOGITS,
    "probabilities": PROBABILITIES,
    "probs": PROBABILITIES,
    "pred_probs": PROBABILITIES,
    "predictions": None,
}
CLASSES = ("classes", "class_names")
EMBEDDINGS = ("embeddings", "embedding")
PICKLE_ERRORS = ("allow_pickle", "bject arrays", "Python objects")  # parts of NumPy's messages


@dataclass
class Source:
    """Predictions in their own format: `rows` rows of `width` numbers."""

    what: str  # for errors: the name of the file
    rows: int
    width: int
    names: Sequence | None = None  # class of each column
    kind: str | None = None  # if the name of the array says it
    ids: np.ndarray | None = None  # int64 (rows,)
    paths: pa.Array | None = None  # (rows,)
    unused: list[str] = field(default_factory=list)  # columns or arrays that are not read
    embedded: int | None = None  # length of the embeddings
    in_order: bool = True  # False: there is an index that is not 0, 1, 2 …
    ambiguous: str | None = None  # name of a column of ids that may be file names

    def set_keys(self, found: keys.Keys) -> None:
        """Set ids and paths."""
        self.ids, self.paths, self.ambiguous = found.ids, found.paths, found.ambiguous

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield rows in order: numbers, float (n, width), and embeddings, float (n, embedded)."""
        raise NotImplementedError

    @property
    def batch_rows(self) -> int:
        """Rows of a batch that fits BATCH_BYTES."""
        return max(BATCH_BYTES // (8 * (self.width + (self.embedded or 0))), 1)


@dataclass(kw_only=True)
class Arrays(Source):
    """Predictions in arrays: values, (rows, width), and embeddings, (rows, embedded)."""

    values: np.ndarray
    embeddings: np.ndarray | None = None

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for start in range(0, self.rows, self.batch_rows):
            some = slice(start, start + self.batch_rows)
            yield self.values[some], None if self.embeddings is None else self.embeddings[some]


def from_array(values: np.ndarray, what: str) -> Arrays:
    """Return an array (n, C) without names as a source."""
    _check_numbers(values, what)
    rows, width = values.shape
    return Arrays(what, rows, width, values=values)


def open_npy(path: Path) -> Arrays:
    """Map an .npy file. Raises LabelAuditError if it is not an array of numbers (n, C)."""
    return from_array(_load(path, "r"), path.name)


def open_npz(path: Path, known: Mapping[str, str | None] = NUMBERS) -> Arrays:
    """Open the arrays of an .npz file by their names: those in `known`, and the others above.

    known: names of the array that is read, with their kind. Raises LabelAuditError if not exactly
    one has such a name, or if shapes do not fit.
    """
    what = path.name
    try:
        with _load(path, None) as stored:
            names = stored.files
            numbers = [name for name in names if name in known]
            if len(numbers) != 1:
                wanted = "logits, probabilities or predictions"
                raise BadInputError(
                    f"{what} has the arrays {', '.join(names) or 'none'}: one must be called "
                    f"{wanted if known is NUMBERS else ' or '.join(known)}."
                )
            others = [name for name in names if name not in numbers]
            usual = {"classes": CLASSES, "embeddings": EMBEDDINGS}
            parts = {
                part: next((name for name in known_names if name in others), None)
                for part, known_names in usual.items()
            }
            key_names = keys.key_columns(others)
            values = stored[numbers[0]]
            found = {part: stored[name] for part, name in parts.items() if name}
            found_keys = {name: stored[name] for name in key_names.names}
    except (ValueError, OSError, EOFError) as error:
        raise DamagedError(_unreadable(path, error)) from error
    source = from_array(values, what)
    source.kind = known[numbers[0]]
    read = (*numbers, *parts.values(), *found_keys)
    source.unused = [name for name in names if name not in read]
    columns = {}
    for name, array in found_keys.items():
        _check_rows(array, source.rows, "ids" if name == key_names.id else "filepaths", what)
        array = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        columns[name] = pa.chunked_array([pa.array(array)])
    if key_names.index is None:
        source.set_keys(keys.read_keys(key_names, columns, what))
    if "classes" in found:
        source.names = found["classes"].tolist()
    if "embeddings" in found:
        add_embeddings(source, found["embeddings"])
    return source


def add_embeddings(source: Arrays, embeddings: np.ndarray) -> None:
    """Add embeddings, (rows, D). Raises LabelAuditError if their shape does not fit."""
    _check_numbers(embeddings, f"the embeddings of {source.what}")
    _check_rows(embeddings, source.rows, "embeddings", source.what)
    source.embeddings, source.embedded = embeddings, embeddings.shape[1]


def whole_numbers(values, rows: int, what: str) -> np.ndarray:
    """Return ids as int64 (rows,). Raises LabelAuditError if they are not whole numbers."""
    given = _check_rows(np.asarray(values), rows, "ids", what)
    if given.dtype.kind not in "iu":
        raise BadInputError(f"{what}: the ids are {given.dtype}, and must be whole numbers.")
    return given.astype(np.int64)


def _check_rows(values: np.ndarray, rows: int, name: str, what: str) -> np.ndarray:
    """Return the values. Raises LabelAuditError unless there is one for each row."""
    if len(values) != rows or (values.ndim != 1 and name != "embeddings"):
        raise BadInputError(
            f"{what}: the {name} have the shape {values.shape}, but the number of rows is "
            f"{rows:,}: give one for each row."
        )
    return values


def _check_numbers(values: np.ndarray, what: str) -> None:
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.shape[1]:
        raise BadInputError(
            f"{what} is an array of {values.dtype} {values.shape}: it must be numbers, with a row "
            "for each sample and a column for each class."
        )


def _load(path: Path, mmap_mode: str | None):
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DamagedError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    if any(words in str(error) for words in PICKLE_ERRORS):
        return f"{path.name} holds pickled objects, which are not read: save plain numeric arrays."
    return f"{path.name} cannot be read as {path.suffix[1:]}: {error}."
