"""Writes labels into the text of each format. One function a format; see `EDITORS`.

Each takes a `ListEdit` and returns the new content of the file.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from ...core.csv_cells import guard
from ...core.errors import BadInputError
from ...sources.image_list import ImageList, ListFile
from ...sources.list_columns import find_columns
from ...sources.table_reader import column_names
from . import json_text
from .csv_text import edit_csv

BOM = "\ufeff"
# How the labels `true` and `false` of JSON and of other files are read.
TRUTH: dict[str | None, bool] = {"true": True, "false": False, "True": True, "False": False}


@dataclass
class ListEdit:
    """A file that lists images, and the labels that it is to have.

    changes: new class names by row of `listed.table`; None for no label. left: sentences about
    rows that this format cannot write, by row; an editor adds to them.
    """

    file: ListFile
    listed: ImageList
    label: str | None  # column, field or control that the user named
    data: bytes
    changes: Mapping[int, str | None]
    left: dict[int, str] = field(default_factory=dict)

    @property
    def entries(self) -> dict[int, str | None]:
        """The changes by entry of the file."""
        places = self.listed.entries
        return {i if places is None else places[i]: new for i, new in self.changes.items()}

    def leave(self, entry: int, why: str) -> None:
        """Leave an entry of the file as it is."""
        places = self.listed.entries
        self.left[entry if places is None else list(places).index(entry)] = why


def edit_table(edit: ListEdit) -> bytes:
    """Edit a manifest, an ImageFolder or another table: CSV, TSV, Parquet, JSON or JSON lines."""
    column = find_columns(edit.file, edit.label).label
    if edit.file.suffix == ".parquet":
        return _edit_parquet(edit, column)
    if edit.file.suffix in (".csv", ".tsv"):
        place = column_names(edit.file).index(column)
        rows = list(edit.changes)
        texts = guard(pa.array([edit.changes[row] or "" for row in rows], pa.string()))
        cells = dict(zip(rows, texts.to_pylist(), strict=True))
        return edit_csv(edit.data, place, cells, edit.file.name)
    return _edit_text(edit, lambda text: _edit_rows(edit, text, column))


def _edit_text(edit: ListEdit, change: Callable[[str], str]) -> bytes:
    text = edit.data.decode()
    bom = BOM if text.startswith(BOM) else ""
    return (bom + change(text[len(bom) :])).encode()


def _edit_rows(edit: ListEdit, text: str, key: str) -> str:
    edits = []
    for i, (_, start, _) in enumerate(json_text.objects(text)):
        if i in edit.changes:
            found = json_text.member(text, start, key)
            if found is None:
                edit.leave(i, f"has no field {key!r}")
                continue
            new = _like(found[0], edit.changes[i])
            edits.append((found[1], found[2], json_text.as_json(new, text)))
    return json_text.replace_spans(text, edits)


def _like(old: object, new: str | None) -> object:
    """Return a label in the type of the old one: a number, a truth value, a list of one, or
    text."""
    if isinstance(old, list):
        return [] if new is None else [_like(old[0] if old else "", new)]
    if isinstance(old, bool):
        return TRUTH.get(new, new)
    is_number = isinstance(old, int | float)
    return int(new) if is_number and new and new.lstrip("-").isdecimal() else new


def _edit_parquet(edit: ListEdit, column: str) -> bytes:
    source = parquet.ParquetFile(io.BytesIO(edit.data))
    table = source.read()
    place = table.column_names.index(column)
    kind = table.schema.field(place).type
    values = table[column].to_pylist()
    for row, new in edit.changes.items():
        values[row] = _like(values[row], new)
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    try:
        if pa.types.is_integer(plain):
            values = [None if value is None else int(value) for value in values]
        elif pa.types.is_floating(plain):  # a row without a label gets one
            values = [None if value is None else float(value) for value in values]
        elif pa.types.is_boolean(plain):
            values = [TRUTH.get(value, value) for value in values]
        changed = pa.array(values, plain)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise BadInputError(
            f"{edit.file.name}: the column {column!r} has the type {kind}, which cannot hold a "
            f"corrected label: {error}."
        ) from error
    changed = changed.dictionary_encode().cast(kind) if plain is not kind else changed
    table = table.set_column(place, table.schema.field(place), changed)
    sink, first = io.BytesIO(), source.metadata
    rows = first.row_group(0).num_rows if first.num_row_groups else None
    codecs = {first.row_group(0).column(i).compression for i in range(first.num_columns)}
    codec = codecs.pop() if len(codecs) == 1 else "SNAPPY"
    codec = "NONE" if codec == "UNCOMPRESSED" else codec
    parquet.write_table(table, sink, row_group_size=rows, compression=codec)
    return sink.getvalue()


def edit_coco(edit: ListEdit) -> bytes:
    """Change `category_id` of all annotations of an image."""
    return _edit_text(edit, lambda text: _edit_annotations(edit, text))


def _edit_annotations(edit: ListEdit, text: str) -> str:
    top = json_text.skip_space(text, 0)
    content: dict[str, tuple[Any, int]] = {
        key: (value, start) for key, value, start, _ in json_text.members(text, top)
    }
    categories = {str(entry["name"]): entry["id"] for entry in content["categories"][0]}
    images = content["images"][0]
    wanted = {images[entry]["id"]: (entry, new) for entry, new in edit.entries.items()}
    for entry, new in wanted.values():
        if new is None:
            edit.leave(entry, "has no label now, and COCO cannot say so")
        elif new not in categories:
            edit.leave(entry, f"is {new!r} now, which is not among the categories of the file")
    edits, seen = [], set()
    for annotation, start, _ in json_text.elements(text, content["annotations"][1]):
        entry, new = wanted.get(annotation["image_id"], (-1, None))
        seen.add(annotation["image_id"])
        if new in categories:
            place = json_text.member(text, start, "category_id")
            if place is None:
                continue
            edits.append((*place[1:], json_text.as_json(categories[new], text)))
    for image, (entry, _) in wanted.items():
        if image not in seen:
            edit.leave(entry, "has no annotation that could get a category")
    return json_text.replace_spans(text, edits)


def edit_label_studio(edit: ListEdit) -> bytes:
    """Add an annotation to each task, marked as ground truth, and take that mark off others."""
    return _edit_text(edit, lambda text: _edit_tasks(edit, text))


def _edit_tasks(edit: ListEdit, text: str) -> str:
    tasks = list(json_text.objects(text))
    control, shown = _control(edit, [task for task, _, _ in tasks])
    edits = []
    for entry, new in edit.entries.items():
        task, start, _ = tasks[entry]
        if new is None:
            edit.leave(entry, "has no label now, and an annotation cannot say so")
            continue
        key = "annotations" if "annotations" in task else "completions"
        found = json_text.member(text, start, key)
        if found is None or not isinstance(found[0], list):
            edit.leave(entry, "has no list of annotations")
            continue
        for _, at, _ in json_text.elements(text, found[1]):
            mark = json_text.member(text, at, "ground_truth") if text[at] == "{" else None
            if mark and mark[0]:
                edits.append((mark[1], mark[2], "false"))
        value = json_text.as_json(_annotation(control, shown, new), text)
        comma = ", " if found[0] else ""
        edits.append((found[2] - 1, found[2] - 1, comma + value))
    return json_text.replace_spans(text, edits)


def _annotation(control: str, shown: str, label: str) -> dict:
    time = datetime.now(UTC).isoformat(timespec="seconds")
    result = {
        "from_name": control,
        "to_name": shown,
        "type": "choices",
        "value": {"choices": [label]},
    }
    return {
        "result": [result],
        "ground_truth": True,
        "was_cancelled": False,
        "created_at": time,
        "updated_at": time,
    }


def _control(edit: ListEdit, tasks: list) -> tuple[str, str]:
    """Return the names of the control with the choices, and of the image that it belongs to."""
    for task in tasks:
        for annotation in task.get("annotations", task.get("completions")) or ():
            results = annotation.get("result") if isinstance(annotation, dict) else None
            for result in results if isinstance(results, list) else ():
                if not isinstance(result, dict) or result.get("type") != "choices":
                    continue
                if edit.label in (None, result.get("from_name")):
                    return result["from_name"], result.get("to_name", "image")
    raise BadInputError(f"{edit.file.name} has no choices any more: read it again.")


# By the title of the format in `sources.registry`.
EDITORS: dict[str, Callable[[ListEdit], bytes]] = {
    "manifest": edit_table,
    "ImageFolder": edit_table,
    "image list": edit_table,
    "COCO annotations": edit_coco,
    "Label Studio export": edit_label_studio,
}
