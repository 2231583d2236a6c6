"""The export formats: a registry.

To add one, write a file with a function that writes `Samples` to an `Output`, and add one line to
FORMATS. Other packages register formats in the entry point group `labelaudit.exports`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..core.plugins import Group, Plugin
from . import coco, fiftyone, folders, huggingface, label_studio, manifest
from .outputs import Output
from .samples import Samples

MANIFEST = "manifest"
ZIP = ".zip"


@dataclass(frozen=True)
class Format:
    """An export format.

    write: called with the samples, the output, and the name of the folder; returns sentences for
    the user. images: whether it contains the images. files: whether these are separate files, which
    can be hard links.
    """

    title: str
    about: str
    write: Callable[[Samples, Output, str], list[str]]
    images: bool = True
    files: bool = True


FORMATS: dict[str, Format] = {
    MANIFEST: Format(
        "Manifest",
        "One table: file, label, split, tags (CSV, JSON lines or Parquet).",
        manifest.write_manifest,
        images=False,
        files=False,
    ),
    "folders": Format(
        "Class folders",
        "The images in one folder per class, inside one folder per split.",
        folders.write_folders,
    ),
    "huggingface": Format(
        "Hugging Face",
        "Parquet files that contain the images, and a dataset card about the audit.",
        huggingface.write_huggingface,
        files=False,
    ),
    "coco": Format(
        "COCO",
        "Images, and one category for each of them; one JSON file, or one per split.",
        coco.write_coco,
    ),
    "fiftyone": Format(
        "FiftyOne",
        "Images, current and original labels, predictions, scores and tags.",
        fiftyone.write_fiftyone,
    ),
    "label-studio": Format(
        "Label Studio",
        "Tasks with labels and predictions, the images, and the labelling configuration.",
        label_studio.write_label_studio,
    ),
}


def all_formats() -> dict[str, Format]:
    """Return FORMATS and the formats that other packages registered, by name."""
    return FORMATS | GROUP.values()


def _adapt(plugin: Plugin, entry: Format) -> Format:
    if plugin.name in FORMATS:
        raise ValueError("LabelAudit has a format of this name")
    return replace(entry, write=plugin.guard(entry.write, _check_notes))


def _check_notes(notes: list[str], *_) -> list[str]:
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError(f"write must return a list of sentences, not {notes!r}")
    return notes


GROUP = Group("labelaudit.exports", (Format,), _adapt)
