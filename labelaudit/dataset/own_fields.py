"""Fields of the user: further labels, numbers, text, yes or no, and dates of samples.

Each field has a table of its own with the columns id and value, so that changing one rewrites
nothing else. `meta` lists the fields: id (names the table), name and kind.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from numbers import Real

import numpy as np
import pandas as pd
import pyarrow as pa

from ..core.errors import BadInputError, NotFoundError
from ..core.plural import counted
from ..scores import SCORES
from ..storage import schema
from .arrays import MISSING, as_ids
from .columns import SHOWN_CLASSES, Frame
from .history_log import write_meta

LABEL, NUMBER, TEXT, BOOL, DATE = KINDS = ("label", "number", "text", "bool", "date")
TRUTH = ["False", "True"]  # names of the codes of a bool
# Types of the values of new samples, by kind.
INPUT_TYPES = {
    LABEL: pa.string(),
    NUMBER: pa.float64(),
    TEXT: pa.string(),
    BOOL: pa.bool_(),
    DATE: pa.timestamp("us"),
}

_NAME = re.compile(r"[^\W\d]([\w .-]{0,62}\w)?")
TAKEN = {
    "id", "filepath", "image", "split", "label", "ground_truth", "original_label", "tags",
    "prediction", "predicted", "predictions", "confidence", "scores", "suggested", "suggested_p",
    "finding", "image_issues", "image_issue", "width", "height", "file", "run", "tag", "untag",
    "set_label", "set_field", "add_prediction", "logits", "embedding", "wrong", "self", "save",
    "keys",
}  # fmt: skip


class NoFieldError(NotFoundError, AttributeError):
    """A sample has no such field. Also an AttributeError, so that `hasattr` works."""


@dataclass(frozen=True)
class FieldInfo:
    """A field of the user. kind: one of KINDS."""

    id: int
    name: str
    kind: str

    @property
    def table(self) -> str:
        """The name of its table."""
        return f"field-{self.id}"


def own_fields(frame: Frame) -> dict[str, FieldInfo]:
    """Return the user's fields by name, oldest first."""
    return {field["name"]: FieldInfo(**field) for field in frame.meta.get("fields", ())}


def find(frame: Frame, name: str) -> FieldInfo:
    """Return a field. Raises NotFoundError if the dataset has none of this name."""
    known = own_fields(frame)
    if name not in known:
        listed = f"its own fields are {', '.join(known)}" if known else "it has no own fields yet"
        raise NotFoundError(
            f"dataset {frame.name!r} has no field {name!r}: {listed}; add one with "
            f"dataset.add_field({name!r}, kind), kind being {', '.join(KINDS)}."
        )
    return known[name]


def add(frame: Frame, name: str, kind: str) -> FieldInfo:
    """Add an empty field; an existing one of the same kind is returned. See Dataset.add_field."""
    check_definition(name, kind)
    with frame.transaction():
        known = own_fields(frame)
        if name in known:
            if known[name].kind != kind:
                raise BadInputError(
                    f"field {name!r} of dataset {frame.name!r} is a {known[name].kind} already, "
                    f"not a {kind}: use another name, or drop it first (drop_field)."
                )
            return known[name]
        field = FieldInfo(_next_id(frame.meta), name, kind)
        _write(frame, {**known, name: field}, field.id)
    return field


def drop(frame: Frame, name: str) -> None:
    """Delete a field with its values. Raises NotFoundError if there is none of this name."""
    with frame.transaction():
        field, known = find(frame, name), own_fields(frame)
        del known[name]
        _write(frame, known, frame.meta["last_field"])
        frame.store.drop(field.table)


def set_values(frame: Frame, name: str, ids: Sequence[int] | np.ndarray, values) -> int:
    """Set values of a field; see Dataset.set_values. Returns the number of samples."""
    if frame.pending is not None:
        return frame.pending.set_values(name, ids, spread(values, len(ids)))
    ids, field = as_ids(ids), find(frame, name)
    if len(np.unique(ids)) != len(ids):
        raise BadInputError("an id is given twice: give each id once.")
    column = to_arrow(frame, field, spread(values, len(ids)))
    frame.positions(ids)  # raises NotFoundError
    write_values(frame, field, ids, column)
    return len(ids)


def write_values(frame: Frame, field: FieldInfo, ids: np.ndarray, column: pa.Array) -> None:
    """Store checked values (see `to_arrow`) of these ids."""
    if len(ids):
        columns = schema.field_values(column.type)
        frame.upsert(field.table, pa.table([pa.array(ids), column], schema=columns), columns)


def first_fields(kinds: Mapping[str, str]) -> dict:
    """Return the entries of `meta` for a new dataset with these fields."""
    if not kinds:
        return {}
    for name, kind in kinds.items():
        check_definition(name, kind)
    fields = [FieldInfo(number, *entry) for number, entry in enumerate(kinds.items(), 1)]
    return {"fields": [asdict(field) for field in fields], "last_field": len(fields)}


def append_values(frame: Frame, found: Iterable[tuple[str, np.ndarray, pa.Array]]) -> None:
    """Store values of new samples: field, ids and stored values (see SampleReader.own_values)."""
    known = own_fields(frame)
    for name, ids, values in found:
        columns = schema.field_values(values.type)
        frame.append(known[name].table, pa.table([pa.array(ids), values], schema=columns), columns)


def spread(values, count: int) -> Sequence:
    """Return one value for each of `count` samples. Raises BadInputError for another number."""
    if values is None or isinstance(values, str) or not hasattr(values, "__len__"):
        return [values] * count
    if isinstance(values, pd.Series):
        values = values.astype(object).where(values.notna(), None).tolist()
    if isinstance(values, pa.Array | pa.ChunkedArray):
        values = values.to_pylist()
    if len(values) != count:
        given = f"{counted(count, 'id')}, but {counted(len(values), 'value')}"
        raise BadInputError(f"{given}: give one each.")
    return values


def check_definition(name: str, kind: str) -> None:
    """Raise BadInputError for a name or a kind that a field cannot have."""
    if kind not in KINDS:
        raise BadInputError(f"kind={kind!r}: a field is one of {', '.join(KINDS)}.")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadInputError(
            f"{name!r} cannot be the name of a field: use 1 to 64 letters, digits, '_', '-', '.' "
            "and blanks, with a letter or '_' first."
        )
    if name.casefold() in TAKEN or name in SCORES:
        raise BadInputError(f"{name!r} is a field of every sample: use another name.")


# --- reading ---


def coded(frame: Frame, field: FieldInfo) -> tuple[np.ndarray, list[str] | None]:
    """Return all values as codes (n,) and the names that they index, or as float64 (n,) and None.

    MISSING and NaN are null. Dates are POSIX seconds in UTC.
    """
    if field.kind == TEXT:
        return _texts(frame, field)
    if field.kind in (NUMBER, DATE):
        return frame.number(field.table, "value", np.nan), None
    codes = frame.number(field.table, "value", MISSING)
    return codes, frame.classes if field.kind == LABEL else TRUTH


def values(frame: Frame, field: FieldInfo, positions: np.ndarray) -> np.ndarray:
    """Return the values at these positions: objects (None for null) for labels, text and bool,
    float64 (NaN) for numbers, datetime64[us] (NaT) for dates."""
    codes, names = coded(frame, field)
    if field.kind == DATE:
        seconds = codes[positions]
        micro = np.round(np.nan_to_num(seconds) * 1e6).astype("datetime64[us]")
        return np.where(np.isnan(seconds), np.datetime64("NaT", "us"), micro)
    if names is None:
        return codes[positions]
    known = [False, True] if field.kind == BOOL else names
    return np.array([*known, None], object)[codes[positions]]


def loaded(field: FieldInfo, value, classes: Sequence[str]):
    """Return one stored value as `values` gives it; None for null in each kind."""
    if value is None:
        return None
    if field.kind == LABEL:
        return classes[value]
    if field.kind == DATE:
        return from_seconds(value)
    return bool(value) if field.kind == BOOL else value


def from_seconds(seconds: float) -> datetime:
    """Return POSIX seconds as a date in UTC without a time zone."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def shown(field: FieldInfo, value) -> str:
    """Return a value as text: for cards, filters and tables without types."""
    if value is None or value != value or (isinstance(value, np.datetime64) and np.isnat(value)):
        return ""
    if field.kind == DATE:
        return str(np.datetime64(value, "s")).removesuffix("T00:00:00").replace("T", " ")
    return f"{value:,.6g}" if field.kind == NUMBER else str(value)


def _texts(frame: Frame, field: FieldInfo) -> tuple[np.ndarray, list[str]]:
    def load() -> tuple[np.ndarray, list[str]]:
        rows = frame.store.read(field.table, ["value"])
        if rows is None:
            return np.full(len(frame.ids), MISSING, np.int32), []
        column = rows["value"].combine_chunks().dictionary_encode()
        codes = column.indices.fill_null(MISSING).to_numpy()
        return frame.align(field.table, codes, MISSING), column.dictionary.to_pylist()

    return frame.derived((field.table, "text"), [field.table, "annotations"], load)


# --- checking ---


def to_arrow(frame: Frame, field: FieldInfo, values: Sequence) -> pa.Array:
    """Return values (n,) of a field as they are stored. Raises BadInputError for one that does not
    fit its kind, and for a label that is not a class."""
    check = checker(field.name, field.kind, frame.classes, frame.name)
    if field.kind == NUMBER and isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        numbers = values.astype(np.float64)
        if not np.isinf(numbers).any():  # else the loop finds which
            return pa.array(numbers, from_pandas=True)
    return pa.array([check(value) for value in values], stored_type(field.kind))


def stored_type(kind: str) -> pa.DataType:
    """Return the Arrow type of a field's stored values."""
    return {LABEL: pa.int32(), TEXT: pa.string(), BOOL: pa.int8()}.get(kind, pa.float64())


def checker(name: str, kind: str, classes: Sequence[str], dataset: str) -> Callable:
    """Return a function that returns a value as it is stored; None, NaN and NaT are null."""
    index: Mapping[str, int] = {}
    if kind == LABEL:
        index = {name: code for code, name in enumerate(classes)}

    def refuse(value, wanted: str) -> BadInputError:
        return BadInputError(
            f"{value!r} ({type(value).__name__}) does not fit field {name!r}: give {wanted}."
        )

    def label(value):
        code = index.get(value) if isinstance(value, str) else None
        if code is None:
            listed = ", ".join(classes[:SHOWN_CLASSES])
            raise BadInputError(
                f"field {name!r}: {value!r} is not a class of dataset {dataset!r}: its classes are "
                f"{listed}{' …' if len(classes) > SHOWN_CLASSES else ''}."
            )
        return code

    def number(value):
        if isinstance(value, bool | np.bool_) or not isinstance(value, Real | np.number):
            raise refuse(value, "a number")
        if math.isinf(value):
            raise refuse(value, "a finite number")
        return float(value)

    def text(value):
        if not isinstance(value, str):
            raise refuse(value, "text")
        return value

    def boolean(value):
        if not isinstance(value, bool | np.bool_):
            raise refuse(value, "True or False")
        return int(value)

    convert = {LABEL: label, NUMBER: number, TEXT: text, BOOL: boolean}.get(kind)
    if convert is None:

        def convert(value):
            seconds = to_seconds(value)
            if seconds is None:
                raise refuse(value, "a date, a datetime or ISO text such as 2026-01-31")
            return seconds

    def check(value):
        is_null = value is None or value is pd.NA or value is pd.NaT
        if is_null or (isinstance(value, float | np.floating) and math.isnan(value)):
            return None
        return convert(value)

    return check


def to_seconds(value) -> float | None:
    """Return a date as POSIX seconds in UTC; None if it is not one. Without a time zone it is taken
    as UTC."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        if isinstance(value, np.datetime64):
            value = value.astype("datetime64[us]").item()
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if not isinstance(value, datetime):
            return None
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _next_id(meta: Mapping) -> int:
    return meta.get("last_field", 0) + 1  # ids are not used again: another field may have had one


def _write(frame: Frame, fields: Mapping[str, FieldInfo], last: int) -> None:
    entries = [asdict(field) for field in fields.values()]
    write_meta(frame.store, {**frame.meta, "fields": entries, "last_field": last})
