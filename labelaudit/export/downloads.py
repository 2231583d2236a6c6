"""Exports in memory, for a download, and what one would hold."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..dataset.view import View
from . import labels
from .content import Content
from .formats import FORMATS
from .trees import Tree, ZipTree


def export_zip(view: View, format: str, name: str) -> bytes:
    """What `export_dataset` writes into a folder of this name, as a zip in memory (for a
    download)."""
    return _in_memory(view, lambda content, tree: FORMATS[format].write(content, tree, name))


def manifest_bytes(view: View, name: str, images: bool, zipped: bool) -> bytes:
    """A manifest of this name (labels.csv, …) with absolute paths, in memory; zipped: a zip of it
    and of what goes with it."""
    path = Path(name)
    data = _in_memory(
        view, lambda content, tree: labels.write_manifest(content, tree, path, "absolute", images)
    )
    if zipped:
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name)


def _in_memory(view: View, write: Callable[[Content, Tree], list[str]]) -> bytes:
    buffer = io.BytesIO()
    with view.steady(), ZipTree(buffer) as tree:
        write(Content(view), tree)
    return buffer.getvalue()


@dataclass(frozen=True)
class Survey:
    """What an export of a view would hold."""

    samples: int
    relabelled: int
    removed: int
    unlabelled: int
    bytes: int | None  # of the images; None where there are too many to look at
    without_file: int  # images that are kept inside the dataset; 0 where they were not looked at
    table_says_all: bool  # a manifest needs no file beside it for the order of the classes


def survey(view: View, most: int) -> Survey:
    """most: samples whose images are looked at. Raises LabelAuditError where there is no sample, or
    an image is not there."""
    with view.steady():
        content = Content(view)
        few = len(content) <= most
        return Survey(
            len(content), content.relabelled, content.removed, content.unlabelled,
            int(content.sizes.sum()) if few else None,
            int(content.stored.sum()) if few else 0,
            labels.class_list(content) is None,
        )  # fmt: skip
