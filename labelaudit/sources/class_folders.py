"""Class folders, on disk, in a zip or in object storage."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from ..core.errors import BadInputError
from ..core.plural import counted
from ..storage.schema import FROM_FOLDER
from .files import Files
from .folder_names import UNLABELLED
from .layout import HOW_TO_SET, Layout, Place, UnclearLayoutError, how_to, read_layout
from .source import Row, Source, class_names, is_image_name

NOT_UTF8 = "its name is not UTF-8: rename it"
UNSAFE = "its path leads out of the archive"
NAME = "name"  # value of label_from: the beginning of the file name is the label
MAX_NAME_CLASSES = 1000  # beginnings of file names that are suggested as classes
TITLE = "class folders"
_NUMBER = re.compile(r"[\s._-]*\(?\d+\)?$")


def open_class_folders(
    files: Files,
    label: str | None = None,
    label_from: str | None = None,
    split_from: str | None = None,
) -> Source:
    """Open `<class>/<image>` or `<split>/<class>/<image>`; see `layout` for all readings.

    label_from, split_from: see `load_dataset`. Raises LabelAuditError if `label` is given, no image
    is in a class folder, or the folders have several readings.
    """
    if label is not None:
        raise BadInputError(
            f"label={label!r} works only for a file with columns or fields: the labels of "
            f"{files.path} are the names of its folders."
        )
    images = [name for name in files.names if is_image_name(name)]
    if not images:
        raise BadInputError(
            f"{files.path} contains neither images nor a list of images{_other_files(files)}: add "
            "images in one folder per class, or a manifest with filepath and label."
        )
    try:
        layout, places = place_images(files, images, label_from, split_from)
    except UnclearLayoutError as error:
        raise UnclearLayoutError(_refusal(files, images, error)) from error
    labels = {place.label for place in places if place.label is not None}

    def rows() -> Iterator[Row]:
        for name in filter(is_image_name, files.undecodable_names):
            source.skipped.add(name, NOT_UTF8)
        for name, place in zip(images, places, strict=True):
            if place.label is None:
                source.skipped.add(name, place.why)
            else:
                label = None if place.label == UNLABELLED else place.label
                yield {"filepath": files.filepath(name), "label": label, "split": place.split}

    source = Source.of_files(
        files, describe(files), class_names(labels - {UNLABELLED}), len(images), rows
    )
    source.format, source.steps = TITLE, layout.steps
    return source


def place_images(
    files: Files, images: Sequence[str], label_from: str | None, split_from: str | None
) -> tuple[Layout, list[Place]]:
    """Return the layout of the folders, and label and split of each image.

    Raises UnclearLayoutError if there is no reading, or several.
    """
    folders = [None if files.is_unsafe(name) else _folder(name) for name in images]
    counts = Counter(folder for folder in folders if folder is not None)
    if label_from != NAME:
        layout = read_layout(counts, label_from, split_from)
        return layout, [
            Place(why=UNSAFE) if folder is None else layout.places[folder] for folder in folders
        ]
    layout = read_layout(counts, NAME, split_from)
    return layout, [
        Place(why=UNSAFE)
        if folder is None
        else Place(name_class(name), layout.places[folder].split, "its name is a number")
        for name, folder in zip(images, folders, strict=True)
    ]


def _folder(name: str) -> str:
    return name.rpartition("/")[0].rstrip("/")  # os.path.dirname takes three times as long


def name_class(name: str) -> str | None:
    """Return the beginning of a file name, before its number: `cat.12.jpg` and `cat (3).jpg` are
    cat. None if the name is only a number."""
    stem = PurePosixPath(name).stem
    while (shorter := _NUMBER.sub("", stem)) != stem:
        stem = shorter
    return stem.strip(" ._-") or None


def describe(files: Files) -> str:
    """Return the description of a source that consists of these files."""
    if files.kind == "archive":
        return f"archive {PurePosixPath(str(files.path)).name}"
    return f"{FROM_FOLDER}{files.path}" if files.kind == "folder" else str(files.path)


def _refusal(files: Files, images: Sequence[str], error: UnclearLayoutError) -> str:
    """Say why the folders have no reading, and what to do."""
    text = f"{files.path} has no clear class folders: {error}"
    if "--" not in str(error):
        text = (
            f"none of the {len(images):,} images in {files.path} is in a class folder: {error}; "
            f"move them into one folder per class, name the level of the class folders "
            f"({how_to('label_from', 1)})"
        )
        names = Counter(name_class(name) for name in images)
        few = 1 < len(names) <= min(MAX_NAME_CLASSES, len(images) // 2)
        if few and None not in names:
            shown = ", ".join(f"{name} ({count:,})" for name, count in names.most_common(3))
            text += (
                f", use the beginning of the file names, such as {shown}, as classes "
                f"({how_to('label_from', NAME)})"
            )
        text += ", or load a manifest with filepath and label"
    boxes = sum(name.lower().endswith(".txt") and "labels" in name.lower().split("/")
                for name in files.names)  # fmt: skip
    if boxes:
        text += (
            f"; labels/ looks like YOLO annotations ({counted(boxes, 'file')}), which are not "
            "read: export them as COCO"
        )
    return f"{text}; {HOW_TO_SET}."


def _other_files(files: Files) -> str:
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in files.names)
    found = ", ".join(f"{count:,} with {kind}" for kind, count in kinds.most_common(5))
    return f" (its files: {found})" if found else ""
