"""Class folders that LabelAudit itself has exported, with all that folders' names cannot keep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import LabelAuditError
from ..schema import CLASS_LIST_SUFFIX, FROM_FOLDER
from . import folder, manifest
from .class_list import read_class_list
from .source import Row, Source

CLASS_LIST, LISTING = f"labels{CLASS_LIST_SUFFIX}", "labels.csv"
_MAPS = ("class_folders", "split_folders")


def is_exported(path: Path) -> bool:
    """Whether class folders were written here by LabelAudit."""
    told = read_class_list(path / CLASS_LIST) if path.is_dir() else None
    return told is not None and all(isinstance(told.get(name), dict) for name in _MAPS)


def open_exported(path: Path) -> Source:
    """Class folders with their true names, and ids and tags where a file lies where it was written.

    A file that was moved to another folder since, or is new, has the class of its folder, and a new
    id."""
    told = read_class_list(path / CLASS_LIST)
    listed = _listed(path)
    found = set(folder._images(path)) - {CLASS_LIST, LISTING}
    files = sorted(name for name in found | listed.keys() if folder._is_text(name))
    if not files:
        raise LabelAuditError(f"{path} holds no images any more: export them again.")
    next_id = 1 + max((row["id"] for row in listed.values()), default=0)

    def rows() -> Iterator[Row]:
        number = next_id
        for name in files:
            label, split, inside = _place(name, told)
            if not inside:
                source.skipped.add(name, "lies in no class folder")
                continue
            row = listed.get(name)
            if row is None:
                row, number = {"id": number, "tags": []}, number + 1
            yield {"filepath": str(path / name), "label": label, "split": split,
                   "id": row["id"], "tags": row["tags"]}  # fmt: skip

    labels = [label for name in files if (label := _place(name, told)[0]) is not None]
    classes = list(dict.fromkeys([*told["classes"], *sorted(labels)]))
    source = Source(f"{FROM_FOLDER}{path}", classes, len(files), rows)
    return source


def _listed(path: Path) -> dict[str, Row]:
    """Rows of the listing by path; none where somebody took it away."""
    listing = path / LISTING
    if not listing.exists():
        return {}
    table = manifest.read_manifest(listing.read_bytes(), LISTING, exact=True)
    if table["id"].null_count:
        return {}
    return {row["filepath"]: row for row in table.to_pylist()}


def _place(name: str, told: dict) -> tuple[str | None, str | None, bool]:
    """Class and split that a path stands for, and whether it lies in a class folder."""
    parts, split = name.split("/"), None
    if told["split_folders"]:
        split = told["split_folders"].get(parts[0], parts[0])
        parts = parts[1:]
    if len(parts) < 2:
        return None, None, False
    return told["class_folders"].get(parts[0], parts[0]), split, True
