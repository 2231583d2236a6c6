"""Finds which rows of a file that lists images need another label, and writes them."""

from __future__ import annotations

import io
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from ...core.errors import BadInputError, LabelAuditError
from ...sources.image_list import ImageList, ListFile, find_path
from ...sources.registry import list_formats
from ...sources.source import Source
from .current import CurrentLabels, out_of_date
from .editors import EDITORS, ListEdit

BATCH_ROWS = 50_000


@dataclass(frozen=True)
class FileChange:
    """The new content of one file. rows: (path of the image, label before, label after)."""

    path: str
    content: bytes | None  # None if nothing changes
    rows: list[tuple[str, str | None, str | None]]
    left: list[tuple[str, str]]  # (path of the image, why its label cannot be written)


def change_lists(
    dataset: str, source: Source, current: CurrentLabels, label: str | None
) -> list[FileChange]:
    """Return the change of each file that gives the labels of a source.

    label: the column, field or control that the user named when the dataset was loaded. The new
    content is read again by the code that loads it, and must have exactly the wanted labels.
    Raises BadInputError if the format cannot be written, or the file was changed since it was read.
    """
    editor = EDITORS.get(source.format)
    if editor is None or any(file.files.kind != "folder" for file, _ in source.lists):
        what = f"labels in the format {source.format}" if editor is None else source.description
        raise BadInputError(
            f"{what} cannot be written back: write them elsewhere with `labelaudit export`."
        )
    places = _places(current)
    return [
        _change(dataset, source.format, editor, file, listed, current, places, label)
        for file, listed in source.lists
    ]


def _places(current: CurrentLabels) -> dict[str, list[int]]:
    """Return the samples of each path, in the reverse order of their ids."""
    found: dict[str, list[int]] = defaultdict(list)
    for i, path in enumerate(current.paths.to_pylist()):
        found[path].append(i)
    for samples in found.values():
        samples.reverse()
    return found


def _change(
    dataset: str,
    title: str,
    editor: Callable[[ListEdit], bytes],
    file: ListFile,
    listed: ImageList,
    current: CurrentLabels,
    places: dict[str, list[int]],
    label: str | None,
) -> FileChange:
    changes: dict[int, str | None] = {}
    rows: dict[int, tuple[str, str | None, str | None]] = {}
    left: list[tuple[str, str]] = []
    old = _labels(listed)
    for row, (given, before) in enumerate(old):
        path = _known_path(file, listed, given, places)
        here = places.get(path)
        if not here:
            continue
        i = here.pop()
        code = int(current.label[i])
        after = current.names[code]
        if current.removed[i] or before == after:
            continue
        if current.code(before) != current.in_source[i]:
            raise out_of_date(file.name, dataset, path)
        if not current.differs[i]:
            continue  # the source has another name for the same class
        if why := current.why_not(code):
            left.append((path, why))
            continue
        changes[row], rows[row] = after, (path, before, after)
    if not changes:
        return FileChange(file.name, None, [], left)
    with file.open() as stream:
        edit = ListEdit(file, listed, label, stream.read(), changes)
    content = editor(edit)
    _verify(edit, content, title, old)
    left += [(rows[row][0], why) for row, why in edit.left.items()]
    written = [rows[row] for row in rows if row not in edit.left]
    return FileChange(file.name, content if written else None, written, left)


def _labels(listed: ImageList) -> list[tuple[str, str | None]]:
    """Return (path as it is written, label) of every row."""
    pairs: list[tuple[str, str | None]] = []
    for batch in listed.table.to_batches(BATCH_ROWS):
        pairs += zip(batch["filepath"].to_pylist(), batch["label"].to_pylist(), strict=True)
    return pairs


def _known_path(file: ListFile, listed: ImageList, given: str, places: dict[str, list[int]]) -> str:
    """Return the path of a row's image; without looking on the disk if a sample has it."""
    for name in listed.candidates(given):
        path = file.files.filepath(file.relative_path(name))
        if path in places:
            return path
    return find_path(file, listed, given)[0]


def _verify(edit: ListEdit, content: bytes, title: str, old: list[tuple[str, str | None]]) -> None:
    """Read the new content as it would be loaded. Raises BadInputError if a label is not read as it
    was meant."""
    entry = next(entry for entry in list_formats() if entry.title == title)
    again = replace(edit.file, open=lambda: io.BytesIO(content))
    name = os.path.basename(edit.file.name)
    try:
        new = _labels(entry.read(again, edit.label))
    except LabelAuditError as error:
        raise BadInputError(
            f"{name} would not be readable with the corrected labels ({error}), so nothing was "
            "written: write them elsewhere with `labelaudit export`."
        ) from error
    wanted = [
        (path, edit.changes[row] if row in edit.changes and row not in edit.left else label)
        for row, (path, label) in enumerate(old)
    ]
    if new != wanted:
        wrong = next((a[0] for a, b in zip(wanted, new, strict=False) if a != b), name)
        raise BadInputError(
            f"{name} would not be read with the corrected label of {wrong}, so nothing was "
            "written: write the labels elsewhere with `labelaudit export`."
        )
