"""Class folders, on disk, in a zip or in object storage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from ..core.errors import BadInputError
from ..storage.schema import FROM_FOLDER, HELD_OUT_SPLITS, TRAINING_SPLITS
from .files import Files
from .source import Row, Source, class_names, is_image_name

SPLITS = TRAINING_SPLITS | HELD_OUT_SPLITS
UNLABELLED = "_unlabeled"  # FiftyOne's folder for images without a label
NOT_UTF8 = "its name is not UTF-8: rename it"
NO_CLASS_FOLDER = "is not in a class folder"


def open_class_folders(files: Files, label: str | None = None) -> Source:
    """Open `<class>/<image>` or `<split>/<class>/<image>`.

    Raises LabelAuditError if `label` is given, or no image is in a class folder.
    """
    if label is not None:
        raise BadInputError(
            f"label={label!r} works only for a file with columns or fields: the labels of "
            f"{files.path} are the names of its folders."
        )
    images = [name for name in files.names if is_image_name(name)]
    parsed = parse_class_folders(images)
    if all(label is None for label, _ in parsed):
        raise BadInputError(
            f"none of the {len(images):,} images in {files.path} is in a class folder: move them "
            "into one folder per class, or load a manifest."
            if images
            else f"{files.path} contains neither images nor a list of images: add images in one "
            "folder per class, or a manifest with filepath and label."
        )

    def rows() -> Iterator[Row]:
        for name in filter(is_image_name, files.undecodable_names):
            source.skipped.add(name, NOT_UTF8)
        for name, (label, split) in zip(images, parsed, strict=True):
            if files.is_unsafe(name):
                source.skipped.add(name, "its path leads out of the archive")
            elif label is None:
                source.skipped.add(name, NO_CLASS_FOLDER)
            else:
                label = None if label == UNLABELLED else label
                yield {"filepath": files.filepath(name), "label": label, "split": split}

    safe = (label for name, (label, _) in zip(images, parsed, strict=True)
            if not files.is_unsafe(name))  # fmt: skip
    classes = class_names(set(safe) - {UNLABELLED})
    source = Source.of_files(files, describe(files), classes, len(images), rows)
    return source


def describe(files: Files) -> str:
    """Return the description of a source that consists of these files."""
    if files.kind == "archive":
        return f"archive {PurePosixPath(str(files.path)).name}"
    return f"{FROM_FOLDER}{files.path}" if files.kind == "folder" else str(files.path)


def has_class_folders(files: Files) -> bool:
    """Whether at least one image is in a class folder."""
    return any(label for label, _ in parse_class_folders(list(filter(is_image_name, files.names))))


def parse_class_folders(paths: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """Return (label, split) of each relative path; the parts are separated by '/'.

    `cat/1.jpg` has the class cat, `train/cat/1.jpg` also the split train. The label is None if the
    path is in no class folder. A single folder around everything (`pets/train/cat/1.jpg`) is
    ignored, and files in deeper folders belong to the class above them.
    """
    parts = [path.split("/") for path in paths]
    depth = 0
    while _is_wrapper(parts, depth):
        depth += 1
    parts = [p[depth:] for p in parts]
    tops = {p[0] for p in parts if len(p) > 1}
    if tops and all(top.lower() in SPLITS for top in tops) and any(len(p) > 2 for p in parts):
        return [(p[1], p[0]) if len(p) > 2 else (None, None) for p in parts]
    return [(p[0], None) if len(p) > 1 else (None, None) for p in parts]


def _is_wrapper(parts: list[list[str]], depth: int) -> bool:
    """Whether one folder, which is not a split, holds everything, mostly in folders of its own."""
    tops = {p[depth] for p in parts}
    folders = any(len(p) > depth + 2 for p in parts)
    direct_files = sum(len(p) == depth + 2 for p in parts)
    return (
        len(tops) == 1
        and folders
        and direct_files < len(parts) / 2  # a few, such as a cover picture, do not make it a class
        and next(iter(tops)).lower() not in SPLITS
    )
