"""Class folders that LabelAudit itself has exported, with all that folders' names cannot keep."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.errors import LabelAuditError
from ..storage.schema import CLASS_LIST_SUFFIX
from .class_list import parse_class_list, read_beside
from .files import Files
from .folder import describe
from .listing import Listing
from .manifest import read_manifest
from .source import Row, Source, is_image_name

CLASS_LIST, LISTING = f"labels{CLASS_LIST_SUFFIX}", "labels.csv"
LISTED_ROWS = 50_000  # read at once
_MAPS = ("class_folders", "split_folders")


def is_exported(files: Files) -> bool:
    """Whether class folders were written here by LabelAudit."""
    told = _told(files)
    return told is not None and all(isinstance(told.get(name), dict) for name in _MAPS)


def open_exported(files: Files, label: str | None) -> Source:
    """Class folders with their true names, and ids and tags where a file lies where it was written.

    A file that was moved to another folder since, or is new, has the class of its folder, and a new
    id."""
    if label is not None:
        raise LabelAuditError(
            f"label={label!r} is for a file with columns or fields: {files.path} was exported by "
            "LabelAudit, which knows where its labels stand."
        )
    told, listed = _told(files), _listed(files)
    names = sorted({*filter(is_image_name, files.names), *listed})
    if not names:
        raise LabelAuditError(f"{files.path} holds no images any more: export them again.")
    next_id = 1 + max((row["id"] for row in listed.values()), default=0)

    def rows() -> Iterator[Row]:
        number = next_id
        for name in files.nameless:
            source.skipped.add(name, "its name is not UTF-8: rename it")
        for name in names:
            class_, split, inside = _place(name, told)
            if files.leads_out(name) or not inside:
                source.skipped.add(name, "lies in no class folder")
                continue
            row = listed.get(name)
            if row is None:
                row, number = {"id": number, "tags": []}, number + 1
            yield {"filepath": files.locate(name), "label": class_, "split": split,
                   "id": row["id"], "tags": row["tags"]}  # fmt: skip

    labels = {class_ for name in names if (class_ := _place(name, told)[0]) is not None}
    classes = list(dict.fromkeys([*told["classes"], *sorted(labels)]))
    source = Source(describe(files), classes, len(names), rows, load=files.load, fetch=files.fetch)
    return source


def _told(files: Files) -> dict | None:
    content = read_beside(files, CLASS_LIST)
    return None if content is None else parse_class_list(content)


def _listed(files: Files) -> dict[str, Row]:
    """Rows of the listing by path; none where somebody took it away."""
    if not files.holds(LISTING):
        return {}
    listing = Listing(
        files.called(LISTING), lambda: files.open(LISTING), files,
        beside=lambda name: read_beside(files, name),
    )  # fmt: skip
    batches = read_manifest(listing).table.to_batches(LISTED_ROWS)
    rows = [row for batch in batches for row in batch.to_pylist()]
    return {row["filepath"]: row for row in rows if row["id"] is not None}


def _place(name: str, told: dict) -> tuple[str | None, str | None, bool]:
    """Class and split that a path stands for, and whether it lies in a class folder."""
    parts, split = name.split("/"), None
    if told["split_folders"]:
        split = told["split_folders"].get(parts[0], parts[0])
        parts = parts[1:]
    if len(parts) < 2:
        return None, None, False
    return told["class_folders"].get(parts[0], parts[0]), split, True
