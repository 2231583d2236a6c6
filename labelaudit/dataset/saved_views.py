"""Views that are stored with the dataset under a name: their steps, not their samples."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa

from ..core.errors import BadInputError, NotFoundError
from ..storage import paths, schema
from .choosing import Choosing
from .class_names import merged_into
from .columns import Frame
from .condition import Combined, Expression
from .expression import Comparison
from .formula import Calculated, Calculation, Named
from .own_fields import LABEL, own_fields
from .view import View

TABLE = "views"
PARTS_OF_TEXT = ("contains", "starts_with", "ends_with")  # kinds of conditions


def names(frame: Frame) -> list[str]:
    """Return the names of the saved views, oldest first."""
    _ = frame.meta  # raises NotFoundError for a dataset that was deleted
    rows = frame.read_rows(TABLE, ["id", "name"])
    return [row["name"] for row in sorted(rows, key=lambda row: row["id"])]


def save(frame: Frame, name: str, view: View, overwrite: bool) -> None:
    """Save a view; see Dataset.save_view."""
    paths.check_name(name, "view")
    view = view.view() if isinstance(view, Choosing) else view
    if not isinstance(view, View) or view.uri != frame.uri:
        raise BadInputError(f"only a view of dataset {frame.name!r} can be saved in it.")
    len(view)  # raises the error of a name that does not exist
    content = json.dumps({"run": view.run, "steps": _packed(view.steps), "classes": frame.classes})
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
            steps = _unpacked(content["steps"])
            names = _NamesNow(frame, content.get("classes", []))
            return View(frame, tuple(map(names.step, steps)), content["run"])
    raise _missing(frame, name)


def delete(frame: Frame, name: str) -> None:
    """Delete a saved view. Raises NotFoundError if there is none of this name."""
    with frame.transaction():
        rows = frame.read_rows(TABLE, ["id", "name", "info"])
        rest = [row for row in rows if row["name"] != name]
        if len(rest) == len(rows):
            raise _missing(frame, name)
        _write(frame, rest)


class _NamesNow:
    """Brings the classes in the steps of a view to their present names.

    classes: the names when the view was saved. Given labels of a class that was merged into another
    one are those of the other. Predictions are not merged.
    """

    def __init__(self, frame: Frame, classes: list[str]) -> None:
        now, target = frame.classes, merged_into(frame)
        self._renamed = {name: now[code] for code, name in enumerate(classes)}
        self._merged = {name: now[target[code]] for code, name in enumerate(classes)}
        fields = own_fields(frame).items()
        self._fields = {name for name, field in fields if field.kind == LABEL}
        self._fields |= {"original_label", "prediction", "predicted", "suggested"}

    def step(self, step: tuple) -> tuple:
        """Return a step with the present names."""
        kind, *arguments = step
        if kind == "concat":
            return kind, tuple(map(self.step, arguments[0]))
        if kind == "label":
            return kind, self._names(arguments[0], self._merged)
        if kind in ("prediction", "suggested"):
            return kind, self._names(arguments[0], self._renamed)
        return kind, *(self._condition(a) if isinstance(a, Expression) else a for a in arguments)

    def _condition(self, condition: Expression) -> Expression:
        if isinstance(condition, Combined):
            return replace(condition, parts=tuple(map(self._condition, condition.parts)))
        if not isinstance(condition, Comparison):
            return condition
        given = condition.field in ("ground_truth", "label")
        whole = not condition.other and condition.kind not in PARTS_OF_TEXT
        if not whole or not (given or condition.field in self._fields):
            return condition
        names = self._merged if given else self._renamed
        return replace(condition, value=self._names(condition.value, names))

    def _names(self, value, names: dict[str, str]):
        if isinstance(value, tuple):
            return tuple(names.get(name, name) for name in value)
        return names.get(value, value)


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
