"""Views that are stored with the dataset under a name: their steps, not their samples."""

from __future__ import annotations

import json

import pyarrow as pa

from ..core.errors import BadInputError, NotFoundError
from ..storage import paths, schema
from .columns import Frame
from .condition import Combined
from .expression import Comparison
from .formula import Calculated, Calculation, Named
from .view import View

TABLE = "views"


def names(frame: Frame) -> list[str]:
    """Return the names of the saved views, oldest first."""
    _ = frame.meta  # raises NotFoundError for a dataset that was deleted
    rows = frame.read_rows(TABLE, ["id", "name"])
    return [row["name"] for row in sorted(rows, key=lambda row: row["id"])]


def save(frame: Frame, name: str, view: View, overwrite: bool) -> None:
    """Save a view; see Dataset.save_view."""
    paths.check_name(name, "view")
    if not isinstance(view, View) or view.uri != frame.uri:
        raise BadInputError(f"only a view of dataset {frame.name!r} can be saved in it.")
    len(view)  # raises the error of a name that does not exist
    content = json.dumps({"run": view.run, "steps": _packed(view.steps)})
    with frame.transaction():
        rows = frame.read_rows(TABLE, ["id", "name", "info"])
        if any(row["name"] == name for row in rows) and not overwrite:
            raise BadInputError(
                f"dataset {frame.name!r} has a view {name!r} already: use another name, or "
                "overwrite=True."
            )
        last = max((row["id"] for row in rows), default=0)
        rows = [row for row in rows if row["name"] != name]
        _write(frame, [*rows, {"id": last + 1, "name": name, "info": content}])


def load(frame: Frame, name: str) -> View:
    """Return a saved view. Raises NotFoundError if there is none of this name."""
    for row in frame.read_rows(TABLE, ["name", "info"]):
        if row["name"] == name:
            content = json.loads(row["info"])
            return View(frame, _unpacked(content["steps"]), content["run"])
    raise _missing(frame, name)


def delete(frame: Frame, name: str) -> None:
    """Delete a saved view. Raises NotFoundError if there is none of this name."""
    with frame.transaction():
        rows = frame.read_rows(TABLE, ["id", "name", "info"])
        rest = [row for row in rows if row["name"] != name]
        if len(rest) == len(rows):
            raise _missing(frame, name)
        _write(frame, rest)


def _missing(frame: Frame, name: str) -> NotFoundError:
    known = ", ".join(names(frame)) or "none"
    return NotFoundError(
        f"dataset {frame.name!r} has no saved view {name!r}: its saved views are {known}."
    )


def _write(frame: Frame, rows: list[dict]) -> None:
    frame.overwrite(TABLE, pa.Table.from_pylist(rows, schema=schema.VIEWS), schema.VIEWS)


def _packed(value):
    """Return steps as JSON values. Conditions and calculations become objects."""
    if isinstance(value, Combined):
        return {"combined": value.kind, "parts": _packed(value.parts)}
    if isinstance(value, Comparison):
        return {"compared": value.kind, "field": value.field, "value": _packed(value.value),
                "other": value.other}  # fmt: skip
    if isinstance(value, Calculated):
        sides = _packed((value.left, value.right))
        return {"calculated": value.kind, "sides": sides}
    if isinstance(value, Calculation):
        return {"calculation": value.operator, "parts": _packed(value.parts)}
    if isinstance(value, Named):
        return {"named": value.name}
    return [_packed(part) for part in value] if isinstance(value, tuple) else value


def _unpacked(value):
    if isinstance(value, list):
        return tuple(map(_unpacked, value))
    if not isinstance(value, dict):
        return value
    if "combined" in value:
        return Combined(value["combined"], _unpacked(value["parts"]))
    if "compared" in value:
        content = _unpacked(value["value"])
        return Comparison(value["compared"], value["field"], content, value["other"])
    if "calculated" in value:
        return Calculated(value["calculated"], *_unpacked(value["sides"]))
    if "calculation" in value:
        return Calculation(value["calculation"], _unpacked(value["parts"]))
    return Named(value["named"])
