"""Class folders that LabelAudit exported, with the names and ids that folder names cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.errors import BadInputError
from ..storage.schema import CLASS_LIST_SUFFIX
from .class_folders import NOT_UTF8, describe
from .class_list import parse_class_list, read_small_file
from .files import Files
from .image_list import ListFile
from .layout import NO_CLASS_FOLDER
from .manifest import read_manifest
from .own_columns import OWN
from .source import Row, Source, class_names, is_image_name
from .unread import report_unread

CLASS_LIST, LABELS = f"labels{CLASS_LIST_SUFFIX}", "labels.csv"
BATCH_ROWS = 50_000


def is_labelaudit_export(files: Files) -> bool:
    """Whether LabelAudit exported these class folders."""
    class_list = _read_class_list(files)
    return class_list is not None and all(
        isinstance(class_list.get(key), dict) for key in ("class_folders", "split_folders")
    )


def open_labelaudit_export(files: Files, label: str | None) -> Source:
    """Open exported class folders with their original class names, ids and tags.

    A file that was added, or moved to another folder, gets the class of its folder and a new id.
    Raises LabelAuditError if `label` is given, or there are no images.
    """
    if label is not None:
        raise BadInputError(
            f"label={label!r} works only for a file with columns or fields: LabelAudit exported "
            f"{files.path}, and its labels are in {LABELS}."
        )
    class_list, (listed, fields) = _read_class_list(files), _read_labels(files)
    names = sorted({*filter(is_image_name, files.names), *listed})
    if not names:
        raise BadInputError(f"{files.path} contains no images: export the dataset again.")
    first_new_id = 1 + max((row["id"] for row in listed.values()), default=0)

    def rows() -> Iterator[Row]:
        new_id = first_new_id
        for name in files.undecodable_names:
            source.skipped.add(name, NOT_UTF8)
        for name in names:
            label, split, has_class = _class_and_split(name, class_list)
            if files.is_unsafe(name) or not has_class:
                source.skipped.add(name, NO_CLASS_FOLDER)
                continue
            row = listed.get(name)
            if row is None:
                row, new_id = {"id": new_id, "tags": []}, new_id + 1
            yield {
                "filepath": files.filepath(name),
                "label": label,
                "split": split,
                "id": row["id"],
                "tags": row["tags"],
                OWN: row.get(OWN),
            }

    found = (_class_and_split(name, class_list)[0] for name in names)
    labels = {label for label in found if label is not None}
    classes = list(dict.fromkeys([*class_list["classes"], *class_names(labels)]))
    source = Source.of_files(files, describe(files), classes, len(names), rows)
    source.fields = fields
    report_unread(files, source.skipped, {CLASS_LIST, LABELS})
    return source


def _read_class_list(files: Files) -> dict | None:
    content = read_small_file(files, CLASS_LIST)
    return None if content is None else parse_class_list(content)


def _read_labels(files: Files) -> tuple[dict[str, Row], dict[str, str]]:
    """Return the rows of labels.csv by path, and the kinds of own fields; empty if the file was
    removed."""
    if not files.exists(LABELS):
        return {}, {}
    file = ListFile(
        files.display_name(LABELS),
        lambda: files.open(LABELS),
        files,
        read_sibling=lambda name: read_small_file(files, name),
    )
    listed = read_manifest(file)
    batches = listed.table.to_batches(BATCH_ROWS)
    rows = [row for batch in batches for row in batch.to_pylist()]
    by_path = {row["filepath"]: row for row in rows if row["id"] is not None}
    return by_path, listed.fields


def _class_and_split(name: str, class_list: dict) -> tuple[str | None, str | None, bool]:
    """Return class and split of a path, and whether it is in a class folder."""
    parts, split = name.split("/"), None
    if class_list["split_folders"]:
        split = class_list["split_folders"].get(parts[0], parts[0])
        parts = parts[1:]
    if len(parts) < 2:
        return None, None, False
    return class_list["class_folders"].get(parts[0], parts[0]), split, True
