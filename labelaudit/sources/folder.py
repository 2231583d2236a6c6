"""Class folders, on disk or in a zip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from ..core.errors import LabelAuditError
from ..storage.schema import FROM_FOLDER
from .files import Files
from .source import Row, Source, classes_of, is_image_name
from .tree import read_tree

UNLABELLED = "_unlabeled"  # FiftyOne's folder of the images without a label


def open_folder(files: Files) -> Source:
    """`<class>/<image>`, or `<split>/<class>/<image>`."""
    images = [name for name in files.names if is_image_name(name)]
    places = read_tree(images)
    if all(label is None for label, _ in places):
        raise LabelAuditError(
            f"the {len(images):,} images of {files.path} lie in no class folders: "
            "put them into one folder a class, or give a manifest."
            if images
            else f"{files.path} holds neither images nor a list of them: put images into one "
            "folder a class, or add a manifest with filepath and label."
        )

    def rows() -> Iterator[Row]:
        for name in filter(is_image_name, files.nameless):
            source.skipped.add(name, "its name is not UTF-8: rename it")
        for name, (label, split) in zip(images, places, strict=True):
            if files.leads_out(name):
                source.skipped.add(name, "its path leads out of the archive")
            elif label is None:
                source.skipped.add(name, "lies in no class folder")
            else:
                label = None if label == UNLABELLED else label
                yield {"filepath": files.locate(name), "label": label, "split": split}

    inside = zip(images, places, strict=True)
    labels = {label for name, (label, _) in inside if not files.leads_out(name)}
    classes = classes_of(labels - {UNLABELLED})
    source = Source(describe(files), classes, len(images), rows, load=files.load, fetch=files.fetch)
    return source


def describe(files: Files) -> str:
    if files.what == "archive":
        return f"archive {PurePosixPath(str(files.path)).name}"
    return f"{FROM_FOLDER}{files.path}" if files.what == "folder" else str(files.path)


def has_class_folders(files: Files) -> bool:
    return any(label for label, _ in read_tree(list(filter(is_image_name, files.names))))
