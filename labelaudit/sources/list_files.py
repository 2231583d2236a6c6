"""The files of a source that may list images, and their formats."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Sequence

from ..core.errors import LabelAuditError
from ..storage.schema import CLASS_LIST_SUFFIX, PROVENANCE_SUFFIX
from . import manifest
from .class_list import read_small_file
from .files import Files
from .find_image import ImageFinder
from .folder_names import split_name
from .image_list import ListFile
from .registry import ListFormat, list_formats

# Words beside that of a split in the name of a list: train_labels.csv, instances_val2017.json
_LIST_WORDS = {"labels", "label", "annotations", "annotation", "instances", "metadata", "info",
               "list", "coco", "classes", "gt", "manifest", "df"}  # fmt: skip
MAX_DEPTH = 3  # folders above a list
MAX_IN_FOLDER = 20  # more lists in a folder belong to one image each


def list_files(
    files: Files, images: Sequence[str], path_column: str | None = None
) -> list[ListFile]:
    """Return the files that may list images, those at the top first. images: names of all images.

    path_column: named by the user.
    """
    tables = [
        name
        for name in files.names
        if posixpath.splitext(name)[1].lower() in manifest.SUFFIXES
        and not name.endswith((CLASS_LIST_SUFFIX, PROVENANCE_SUFFIX))
    ]
    is_json = any(name.lower().endswith(".json") for name in tables)
    stems = {posixpath.splitext(name)[0] for name in images} if is_json else set()
    by_folder = defaultdict(list)
    for name in tables:
        stem, suffix = posixpath.splitext(name)
        if not (suffix.lower() == ".json" and stem in stems):  # annotations of one image
            by_folder[posixpath.dirname(name)].append(name)
    found = [
        name
        for folder, names in by_folder.items()
        if len(names) <= MAX_IN_FOLDER and folder.count("/") < MAX_DEPTH + 1
        for name in names
    ]
    finder = ImageFinder(files)
    ordered = sorted(found, key=lambda name: (name.count("/"), name))
    return [_list_file(files, name, path_column, finder) for name in ordered]


def _list_file(files: Files, name: str, path_column: str | None, finder: ImageFinder) -> ListFile:
    base = posixpath.dirname(name)
    file = ListFile(
        files.display_name(name),
        lambda: files.open(name),
        files,
        base,
        _folder_split(base),
        sibling_reader(files, base),
        path_column,
        _folder_split(base) or list_split(name),
        name,
    )
    file.share(finder)
    return file


def list_format(file: ListFile) -> ListFormat | None:
    """Return the format of a file. Raises LabelAuditError if the file cannot be read."""
    return next((entry for entry in list_formats() if entry.matches(file)), None)


def sibling_reader(files: Files, base: str) -> Callable[[str], bytes | None]:
    return lambda name: read_small_file(files, posixpath.join(base, name))


def unknown_format(file: ListFile) -> str:
    """Say why a file is in none of the formats."""
    if isinstance(file.json_document, dict):
        keys = ", ".join(map(str, list(file.json)[:8])) or "nothing"
        return (
            f"{file.name} contains {keys}, which is neither COCO (images, annotations, categories) "
            "nor a FiftyOne export (classes and labels, or samples): export it as one of them."
        )
    try:
        manifest.read_manifest(file)
    except LabelAuditError as error:
        return str(error)
    return f"{file.name} lists no images."


def _folder_split(base: str) -> str | None:
    """Return the split that the folder of a list is named after."""
    found = [split_name(part) for part in base.split("/") if part]
    plain = [(split, part) for split, part in zip(found, base.split("/"), strict=False) if split]
    if not plain or plain[-1][0].rest:
        return None
    split, part = plain[-1]
    return part if part.lower() == split.word else split.word


def list_split(name: str) -> str | None:
    """Return the split that a list is named after: val of instances_val2017.json."""
    found = split_name(posixpath.splitext(posixpath.basename(name))[0])
    return found.word if found and set(found.rest) <= _LIST_WORDS else None
