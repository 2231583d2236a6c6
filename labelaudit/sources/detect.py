"""Detect the format of a path, and open it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from ..core.errors import BadInputError, LabelAuditError, NotFoundError
from ..storage import object_store
from ..storage.allowed_roots import check_inside
from ..storage.schema import CLASS_LIST_SUFFIX
from . import manifest
from .archive import Archive
from .bucket import Bucket, download
from .class_folders import SPLITS, has_class_folders
from .class_list import read_small_file
from .files import Files, Folder
from .image_list import ListFile, open_lists
from .registry import CLASS_FOLDERS, ListFormat, folder_formats, list_formats
from .source import Source

# Usual names of image lists, without suffix. If such a file cannot be read, that is an error.
WELL_KNOWN_NAMES = {
    "metadata",
    "labels",
    "samples",
    "annotations",
    "_annotations.coco",
    "manifest",
}


def open_path(
    path: Path,
    root: Path | None = None,
    label: str | None = None,
    allowed_roots: Sequence[str] | None = None,
) -> Source:
    """Open a folder, a zip, or a file that lists images.

    root: the folder that paths in a list are relative to, by default that of the list. Raises
    LabelAuditError if the path is none of these.
    """
    suffix, absolute = path.suffix.lower(), path.absolute()
    if path.is_dir():
        return open_folder(Folder(absolute, allowed_roots), label)
    if suffix == ".zip":
        return open_folder(Archive(absolute), label)
    if suffix in manifest.SUFFIXES:
        folder = Folder(absolute.parent)
        return _open_list(folder, path.name, Folder(root) if root else folder, label)
    raise BadInputError(
        f"{path} is not a folder, a zip or a list of images "
        f"({', '.join(sorted(manifest.SUFFIXES))}): give one of these."
    )


def open_remote(
    uri: str, root: str | None, label: str | None, allowed_roots: Sequence[str] | None
) -> Source:
    """Open a URI in object storage: a zip, a list of images, or a prefix as a folder."""
    if allowed_roots is not None:
        check_inside(uri, allowed_roots)
    suffix, name = PurePosixPath(uri).suffix.lower(), uri.rpartition("/")[2]
    is_list = suffix in manifest.SUFFIXES
    if (is_list or suffix == ".zip") and object_store.size(uri) is not None:
        if not is_list:
            return open_folder(Archive(uri, download(uri)), label)
        folder = Bucket(uri.rpartition("/")[0], allowed_roots)
        return _open_list(folder, name, Bucket(root, allowed_roots) if root else folder, label)
    files = Bucket(uri, allowed_roots)
    if not files.names:
        raise NotFoundError(f"there is nothing at {uri}: check the name.")
    return open_folder(files, label)


def open_folder(files: Files, label: str | None) -> Source:
    """Open a folder, zip or prefix: by an image list in it, else by its class folders."""
    for entry in folder_formats():
        if entry.matches(files):
            return entry.open(files, label)
    lists = _choose_lists(files)
    if lists:
        return _read_lists(_list_format(lists[0]), lists, label)
    return CLASS_FOLDERS.open(files, label)


def _open_list(folder: Files, name: str, images: Files, label: str | None) -> Source:
    """Open the image list `name` in `folder`; its paths refer to `images`."""
    file = ListFile(
        folder.display_name(name),
        lambda: folder.open(name),
        images,
        read_sibling=_sibling_reader(folder, ""),
    )
    entry = _list_format(file)
    if entry is None:
        raise BadInputError(_unknown_format(file))
    return _read_lists(entry, [file], label)


def _read_lists(entry: ListFormat, files: list[ListFile], label: str | None) -> Source:
    lists = []
    for file in files:
        lists.append((file, entry.read(file, label)))
        file.release()
    return open_lists(entry.title, lists)


def _list_format(file: ListFile) -> ListFormat | None:
    """Return the format of a file. Raises LabelAuditError if the file cannot be read."""
    return next((entry for entry in list_formats() if entry.matches(file)), None)


def _choose_lists(files: Files) -> list[ListFile]:
    """Return the image list of a folder, or one per split; empty if class folders give the labels.

    Raises LabelAuditError if several lists fit, or the only list cannot be understood.
    """
    levels = _list_files(files)
    for candidates in levels:
        known = [(file, entry) for file in candidates if (entry := _try_list_format(file))]
        certain = [pair for pair in known if pair[1].certain]
        chosen = certain or known
        if not chosen:
            continue
        titles, splits = {entry.title for _, entry in chosen}, [file.split for file, _ in chosen]
        if len(titles) == 1 and len(set(splits)) == len(splits):
            return [file for file, _ in chosen]
        if certain or not has_class_folders(files):
            names = ", ".join(sorted(file.name for file, _ in chosen))
            is_archive = files.kind == "archive"
            fix = "keep one of them" if is_archive else "load one of them by its own path"
            raise BadInputError(f"{files.path} has several lists of images ({names}): {fix}.")
    if has_class_folders(files):
        return []
    for file in levels[0]:  # there is nothing else: say what is wrong with it
        _list_format(file)
        raise BadInputError(_unknown_format(file))
    return []


def _try_list_format(file: ListFile) -> ListFormat | None:
    """Return the format; None for an unreadable file, unless its name is that of an image list."""
    try:
        return _list_format(file)
    except LabelAuditError:
        if PurePosixPath(file.name).stem in WELL_KNOWN_NAMES:
            raise
        return None


def _list_files(files: Files) -> list[list[ListFile]]:
    """Return the files that may list images: those at the top, and those in folders of splits.

    If one folder is around everything, "the top" is inside it.
    """
    parts = [PurePosixPath(name).parts for name in files.names]
    tops = {p[0] for p in parts}
    has_wrapper = len(tops) == 1 and all(len(p) > 1 for p in parts) and not tops & SPLITS
    depth = 1 if has_wrapper else 0
    at_top, in_splits = [], []
    for name, p in zip(files.names, parts, strict=True):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in manifest.SUFFIXES or name.endswith(CLASS_LIST_SUFFIX):
            continue
        if len(p) == depth + 1:
            at_top.append(_list_file(files, name, None))
        elif len(p) == depth + 2 and p[depth].lower() in SPLITS:
            in_splits.append(_list_file(files, name, p[depth]))
    return [at_top, in_splits]


def _list_file(files: Files, name: str, split: str | None) -> ListFile:
    base = posixpath.dirname(name)
    return ListFile(
        files.display_name(name),
        lambda: files.open(name),
        files,
        base,
        split,
        _sibling_reader(files, base),
    )


def _sibling_reader(files: Files, base: str) -> Callable[[str], bytes | None]:
    return lambda name: read_small_file(files, posixpath.join(base, name))


def _unknown_format(file: ListFile) -> str:
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
