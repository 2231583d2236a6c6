"""The formats that can be loaded: the registry of sources.

To add one, write a file with a function that opens it, and add one line to LIST_FORMATS (a file
that lists images) or FOLDER_FORMATS (a folder or zip without such a file). Other packages register
formats in the entry point group `labelaudit.sources`; these are tried first.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..core.errors import PluginError, PluginWarning
from ..core.plugins import Group, Plugin
from . import (
    class_folders,
    coco,
    fiftyone,
    huggingface,
    label_studio,
    labelaudit_folders,
    manifest,
)
from .files import Files
from .image_list import ImageList, ListFile
from .source import Source


@dataclass(frozen=True)
class ListFormat:
    """A format of files that list images.

    looks: for users, how it looks on disk. matches: whether a file has the format. read: reads a
    file; its second argument is the name of the label column or field, if the user gave one.
    certain: whether a file of this format always holds labels. Of a table, the columns decide.
    """

    title: str
    looks: str
    matches: Callable[[ListFile], bool]
    read: Callable[[ListFile, str | None], ImageList]
    certain: bool = True


@dataclass(frozen=True)
class FolderFormat:
    """A format of folders and zips. The fields are as in ListFormat."""

    title: str
    looks: str
    matches: Callable[[Files], bool]
    open: Callable[[Files, str | None], Source]


# The first match is used.
LIST_FORMATS: list[ListFormat] = [
    ListFormat(
        "manifest",
        "CSV, JSON lines or Parquet with `filepath,label`, optionally `split,id,tags`",
        manifest.is_manifest,
        manifest.read_manifest,
        certain=False,
    ),
    ListFormat(
        "ImageFolder",
        "Hugging Face ImageFolder: images with `metadata.csv`, `.jsonl` or `.parquet` "
        "(`file_name,label`), one for all or one in the folder of each split",
        manifest.is_metadata,
        manifest.read_manifest,
        certain=False,
    ),
    ListFormat(
        "COCO annotations",
        "a JSON of images, annotations and categories, with one category per image; the images are "
        "in the same folder or in `images/`",
        coco.is_coco,
        coco.read_coco,
    ),
    ListFormat(
        "FiftyOne export",
        "`labels.json` with `data/` (FiftyOneImageClassificationDataset)",
        fiftyone.is_classification,
        fiftyone.read_classification,
    ),
    ListFormat(
        "FiftyOne dataset",
        "`samples.json` with `data/` (FiftyOneDataset)",
        fiftyone.is_samples,
        fiftyone.read_samples,
    ),
    ListFormat(
        "Label Studio export",
        "JSON of tasks with choices; if annotators disagree, the choice of most of them counts",
        label_studio.is_tasks,
        label_studio.read_tasks,
    ),
    ListFormat(
        "Label Studio JSON-MIN",
        "JSON-MIN of tasks with choices",
        label_studio.is_tasks_min,
        label_studio.read_tasks_min,
    ),
    ListFormat(
        "image list",
        "CSV, JSON lines or Parquet with other usual columns, such as `image_id,class`; "
        "`--path-column` and `--label-column` name any others",
        manifest.is_table,
        manifest.read_manifest,
        certain=False,
    ),
]

# Used if nothing else matches.
CLASS_FOLDERS = FolderFormat(
    "class folders",
    "`cat/1.jpg`, `dog/2.jpg` …, optionally inside `train/` and `test/`",
    lambda files: True,
    class_folders.open_class_folders,
)

# These are tried before image lists. The first match is used.
FOLDER_FORMATS: list[FolderFormat] = [
    FolderFormat(
        "LabelAudit class folders",
        "written by `labelaudit export --format folders`",
        labelaudit_folders.is_labelaudit_export,
        labelaudit_folders.open_labelaudit_export,
    ),
    FolderFormat(
        "Hugging Face folder",
        "written by `save_to_disk`",
        huggingface.is_saved,
        huggingface.open_saved,
    ),
    FolderFormat(
        "Hugging Face Parquet",
        "a dataset as on the hub: Parquet files that contain the images",
        huggingface.is_parquet,
        huggingface.open_parquet,
    ),
]


def list_formats() -> list[ListFormat]:
    """Return all formats of image lists, registered ones first."""
    return [*_registered(ListFormat), *LIST_FORMATS]


def folder_formats() -> list[FolderFormat]:
    """Return all formats of folders except plain class folders, registered ones first."""
    return [*_registered(FolderFormat), *FOLDER_FORMATS]


def help_lines() -> Sequence[tuple[str, str]]:
    """Return (title, looks) of all formats, most common first."""
    formats: list[ListFormat | FolderFormat] = [CLASS_FOLDERS, *LIST_FORMATS, *FOLDER_FORMATS]
    formats += [*_registered(ListFormat), *_registered(FolderFormat)]
    return [(entry.title[0].upper() + entry.title[1:], entry.looks) for entry in formats]


def _registered(kind: type) -> list:
    return [entry for entry in GROUP.values().values() if isinstance(entry, kind)]


def _adapt(plugin: Plugin, entry: ListFormat | FolderFormat) -> ListFormat | FolderFormat:
    guarded = plugin.guard(entry.matches)

    def matches(file) -> bool:
        """False if the plugin fails: other formats can still be loaded."""
        try:
            return bool(guarded(file))
        except PluginError as error:
            warnings.warn(str(error), PluginWarning, stacklevel=2)
            return False

    if isinstance(entry, ListFormat):
        return replace(entry, matches=matches, read=plugin.guard(entry.read, _check_list))

    def opened(source: Source, *_) -> Source:
        if not isinstance(source, Source):
            raise ValueError(f"open returned {type(source).__name__}, not a Source")
        source.rows = plugin.guard(source.rows).iterate
        return source

    return replace(entry, matches=matches, open=plugin.guard(entry.open, opened))


def _check_list(found: ImageList, *_) -> ImageList:
    if not isinstance(found, ImageList):
        raise ValueError(f"read returned {type(found).__name__}, not an ImageList")
    return found


GROUP = Group("labelaudit.sources", (ListFormat, FolderFormat), _adapt)
