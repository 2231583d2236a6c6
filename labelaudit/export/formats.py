"""The formats that an export may have: a visible registry.

To add one: a file with a function that writes a `Content` into a `Tree`, and one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import fiftyone, folders, huggingface, label_studio, labels
from .content import Content
from .trees import Tree

MANIFEST = "manifest"
ZIP = ".zip"


@dataclass(frozen=True)
class Format:
    """A way out that writes more than one file. write: content, tree, name of the top folder."""

    title: str
    about: str
    write: Callable[[Content, Tree, str], list[str]]
    images: bool = True  # whether the images go with it
    files: bool = True  # … as files of their own, which may be hard links


FORMATS: dict[str, Format] = {
    MANIFEST: Format(
        "Manifest", "One table: file, label, split, tags (CSV, JSON lines or Parquet).",
        labels.write_manifest, images=False, files=False,
    ),
    "folders": Format(
        "Class folders", "The images in one folder a class, below one a split.",
        lambda content, tree, _: folders.write_folders(content, tree),
    ),
    "huggingface": Format(
        "Hugging Face", "Parquet with the images in it, and a card that tells of the audit.",
        lambda content, tree, _: huggingface.write_huggingface(content, tree), files=False,
    ),
    "fiftyone": Format(
        "FiftyOne", "Images, labels before and now, predictions, scores and tags.",
        lambda content, tree, _: fiftyone.write_fiftyone(content, tree),
    ),
    "label-studio": Format(
        "Label Studio", "Tasks with labels and predictions, images, and the labelling setup.",
        label_studio.write_label_studio,
    ),
}  # fmt: skip
