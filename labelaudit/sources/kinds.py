"""What a path can be, and what opens it: the registry of the ways in.

To add one: a file with a function that opens it, and one line in LISTINGS (a file that lists
images) or FOLDERS (a folder that is no such thing).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..core.errors import LabelAuditError
from ..storage import object_store
from ..storage.allowed_roots import check_inside
from ..storage.schema import CLASS_LIST_SUFFIX
from . import coco, exported, fiftyone, folder, huggingface, label_studio, manifest
from .bucket import Bucket, fetched
from .class_list import read_beside
from .files import Archive, Files, Folder
from .listing import Listed, Listing, listing_source
from .source import Source
from .tree import SPLITS

WELL_KNOWN = {"metadata", "labels", "samples", "annotations", "_annotations.coco", "manifest"}


@dataclass(frozen=True)
class ListingKind:
    title: str
    looks: str  # for a person: how it looks on disk
    matches: Callable[[Listing], bool]
    read: Callable[[Listing, str | None], Listed]
    # Whether it wins over class folders, whatever else lies beside it: its shape is no accident.
    certain: bool = True


@dataclass(frozen=True)
class FolderKind:
    title: str
    looks: str
    matches: Callable[[Files], bool]
    open: Callable[[Files, str | None], Source]


def _class_folders(files: Files, label: str | None) -> Source:
    if label is not None:
        raise LabelAuditError(
            f"label={label!r} is for a file with columns or fields: the labels of {files.path} are "
            "the names of its folders."
        )
    return folder.open_folder(files)


# First match wins; listings are looked for before class folders.
LISTINGS: list[ListingKind] = [
    ListingKind(
        "manifest",
        "CSV, JSON lines or Parquet with `filepath,label`, optionally `split,id,tags`",
        manifest.is_manifest, manifest.read_manifest, certain=False,
    ),
    ListingKind(
        "ImageFolder",
        "Hugging Face's: images with `metadata.csv`, `.jsonl` or `.parquet` (`file_name,label`), "
        "one for all or one in each split's folder",
        manifest.is_metadata, manifest.read_metadata,
    ),
    ListingKind(
        "COCO annotations",
        "a JSON of images, annotations and categories, one category an image; files beside it or "
        "in `images/`",
        coco.is_coco, coco.read_coco,
    ),
    ListingKind(
        "FiftyOne export",
        "`labels.json` with `data/` (FiftyOneImageClassificationDataset)",
        fiftyone.is_classification, fiftyone.read_classification,
    ),
    ListingKind(
        "FiftyOne dataset",
        "`samples.json` with `data/` (FiftyOneDataset)",
        fiftyone.is_samples, fiftyone.read_samples,
    ),
    ListingKind(
        "Label Studio export",
        "JSON of tasks with choices; of several annotations the latest that is not cancelled",
        label_studio.is_tasks, label_studio.read_tasks,
    ),
    ListingKind(
        "Label Studio JSON-MIN",
        "JSON-MIN of tasks with choices",
        label_studio.is_tasks_min, label_studio.read_tasks_min,
    ),
]  # fmt: skip

FOLDERS: list[FolderKind] = [
    FolderKind(
        "LabelAudit's class folders", "what `labelaudit export --format folders` wrote",
        exported.is_exported, exported.open_exported,
    ),
    FolderKind(
        "Hugging Face folder", "what `save_to_disk` wrote",
        huggingface.is_saved, huggingface.open_saved,
    ),
    FolderKind(
        "Hugging Face Parquet", "a dataset as the hub has it: Parquet files that hold the images",
        huggingface.is_parquet, huggingface.open_parquet,
    ),
    FolderKind(
        "class folders", "`cat/1.jpg`, `dog/2.jpg` …, with or without `train/` and `test/` on top",
        lambda files: True, _class_folders,
    ),
]  # fmt: skip

# How a path is recognised: a test, and what opens it with (path, root, label, within). First match
# wins.
KINDS: list[tuple[Callable[[Path], bool], Callable[..., Source]]] = [
    (Path.is_dir, lambda path, root, label, within: open_folder(Folder(path, within), label)),
    (
        lambda path: path.suffix.lower() == ".zip",
        lambda path, root, label, within: open_folder(Archive(path), label),
    ),
    (
        lambda path: path.suffix.lower() in manifest.SUFFIXES,
        lambda path, root, label, within: open_listing(path, root, label),
    ),
]


def open_listing(path: Path, root: Path | None, label: str | None) -> Source:
    """A file that lists images. root: what its paths are relative to, by default its folder."""
    return _open_list(Folder(path.parent), path.name, Folder(root or path.parent), label)


def open_remote(
    uri: str, root: str | None, label: str | None, within: Sequence[str] | None
) -> Source:
    """What lies at a URI of object storage: a zip, a list of images, or a prefix as a folder."""
    if within is not None:
        check_inside(uri, within)
    suffix, name = PurePosixPath(uri).suffix.lower(), uri.rpartition("/")[2]
    is_list = suffix in manifest.SUFFIXES
    if (is_list or suffix == ".zip") and object_store.size(uri) is not None:
        if not is_list:
            return open_folder(Archive(uri, fetched(uri)), label)
        folder = Bucket(uri.rpartition("/")[0], within)
        return _open_list(folder, name, Bucket(root, within) if root else folder, label)
    files = Bucket(uri, within)
    if not files.names:
        raise LabelAuditError(f"there is nothing at {uri}: check the name.")
    return open_folder(files, label)


def _open_list(folder: Files, name: str, images: Files, label: str | None) -> Source:
    listing = Listing(
        folder.called(name), lambda: folder.open(name), images, beside=_reader(folder, "")
    )
    kind = _kind(listing)
    if kind is None:
        raise LabelAuditError(_unknown(listing))
    return _source(kind, [listing], label)


def open_folder(files: Files, label: str | None) -> Source:
    """A folder or a zip: by a file in it that lists images, else by its folders."""
    for kind in FOLDERS[:-1]:
        if kind.matches(files):
            return kind.open(files, label)
    listings = _choose(files)
    if listings:
        return _source(_kind(listings[0]), listings, label)
    return FOLDERS[-1].open(files, label)


def _source(kind: ListingKind, listings: list[Listing], label: str | None) -> Source:
    read = []
    for listing in listings:
        read.append((listing, kind.read(listing, label)))
        listing.forget()
    return listing_source(kind.title, read)


def _kind(listing: Listing) -> ListingKind | None:
    """Raises LabelAuditError where the file cannot be read."""
    return next((kind for kind in LISTINGS if kind.matches(listing)), None)


def _choose(files: Files) -> list[Listing]:
    """The listing of a folder, or one of each split; none where its class folders tell."""
    level = _levels(files)
    for listings in level:
        known = [(listing, kind) for listing in listings if (kind := _tried(listing))]
        certain = [entry for entry in known if entry[1].certain]
        chosen = certain or known
        if not chosen:
            continue
        kinds, splits = {kind.title for _, kind in chosen}, [one.split for one, _ in chosen]
        if len(kinds) == 1 and len(set(splits)) == len(splits):
            return [listing for listing, _ in chosen]
        if certain or not folder.has_class_folders(files):
            names = ", ".join(sorted(listing.name for listing, _ in chosen))
            inside = files.what == "archive"
            way = "leave one in it" if inside else "load one of them by its own path"
            raise LabelAuditError(f"{files.path} has several lists of images ({names}): {way}.")
    if folder.has_class_folders(files):
        return []
    for listing in level[0]:  # nothing else is here: say what is wrong with it
        _kind(listing)
        raise LabelAuditError(_unknown(listing))
    return []


def _tried(listing: Listing) -> ListingKind | None:
    """Its kind. What cannot be read is an error only under a name that promises a list."""
    try:
        return _kind(listing)
    except LabelAuditError:
        if PurePosixPath(listing.name).stem in WELL_KNOWN:
            raise
        return None


def _levels(files: Files) -> list[list[Listing]]:
    """Files that may list images: at the top (or in the one folder around everything), and in the
    folders of splits below it."""
    parts = [PurePosixPath(name).parts for name in files.names]
    tops = {p[0] for p in parts}
    inside = len(tops) == 1 and all(len(p) > 1 for p in parts) and not tops & SPLITS
    depth = 1 if inside else 0
    top, below = [], []
    for name, p in zip(files.names, parts, strict=True):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in manifest.SUFFIXES or name.endswith(CLASS_LIST_SUFFIX):
            continue
        if len(p) == depth + 1:
            top.append(_listing(files, name, None))
        elif len(p) == depth + 2 and p[depth].lower() in SPLITS:
            below.append(_listing(files, name, p[depth]))
    return [top, below]


def _listing(files: Files, name: str, split: str | None) -> Listing:
    base = str(PurePosixPath(name).parent)
    base = "" if base == "." else base
    return Listing(
        files.called(name), lambda: files.open(name), files, base, split, _reader(files, base)
    )


def _reader(files: Files, base: str) -> Callable[[str], bytes | None]:
    def beside(name: str) -> bytes | None:
        path = posixpath.join(base, name)
        return read_beside(files, path)

    return beside


def _unknown(listing: Listing) -> str:
    if listing.suffix == ".json" and isinstance(listing.json, dict):
        keys = ", ".join(map(str, list(listing.json)[:8])) or "nothing"
        return (
            f"{listing.name} holds {keys}, which is neither COCO (images, annotations, categories) "
            "nor a FiftyOne export (classes and labels, or samples): export it as one of them."
        )
    try:
        manifest.read_manifest(listing)
    except LabelAuditError as error:
        return str(error)
    return f"{listing.name} lists no images."


def help_lines() -> Sequence[tuple[str, str]]:
    """(title, looks) of all that a path may be, most usual first."""
    kinds = [FOLDERS[-1], *LISTINGS, *FOLDERS[:-1]]
    return [(kind.title[0].upper() + kind.title[1:], kind.looks) for kind in kinds]


__all__ = ["FOLDERS", "KINDS", "LISTINGS", "help_lines"]
