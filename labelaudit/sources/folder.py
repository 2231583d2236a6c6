"""A folder of class folders. Its files are referenced where they lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import LabelAuditError
from ..schema import FROM_FOLDER
from .source import Row, Source, classes_of, is_image_name
from .tree import read_tree


def open_folder(path: Path) -> Source:
    """`path/<class>/<image>`, or `path/<split>/<class>/<image>`."""
    found = list(_images(path))
    files = sorted(file for file in found if _is_text(file))
    if not files:
        raise LabelAuditError(
            f"{path} holds no images: put them into one folder a class, or give a manifest."
        )
    places = read_tree(files)
    if all(label is None for label, _ in places):
        raise LabelAuditError(
            f"the {len(files):,} images of {path} lie in no class folders: "
            "move them into one folder a class, or give a manifest."
        )

    def rows() -> Iterator[Row]:
        for file in set(found) - set(files):
            shown = file.encode(errors="surrogateescape").decode(errors="replace")
            source.skipped.add(shown, "its name is not UTF-8: rename it")
        for file, (label, split) in zip(files, places, strict=True):
            if label is None:
                source.skipped.add(file, "lies in no class folder")
            else:
                yield {"filepath": str(path / file), "label": label, "split": split}

    classes = classes_of([label for label, _ in places])
    source = Source(f"{FROM_FOLDER}{path}", classes, len(files), rows)
    return source


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # the bytes of the name are in no encoding that Python knows
        return False
    return True


def _images(root: Path) -> Iterator[str]:
    """Relative paths, '/' between the parts, of the image files below `root`."""

    def fail(error: OSError) -> None:
        raise LabelAuditError(f"{error.filename} cannot be read: {error.strerror}.") from error

    for folder, folders, files in os.walk(root, onerror=fail, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        below = Path(folder).relative_to(root)
        for name in files:
            if not name.startswith(".") and is_image_name(name):
                yield (below / name).as_posix()
