"""Exports in memory for a download, and a summary of what an export would contain."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from ..dataset.view import View
from . import manifest
from .formats import all_formats
from .outputs import Output, ZipOutput
from .samples import Samples


def export_zip(view: View, format: str, name: str) -> bytes:
    """Return the zip that `export_dataset` would write for a folder of this name."""
    write = all_formats()[format].write
    return _in_memory(view, lambda samples, output: write(samples, output, name))


def manifest_bytes(view: View, name: str, images: bool, zipped: bool, bom: bool = False) -> bytes:
    """Return a manifest with absolute paths. name: its file name (labels.csv, …).

    zipped: return a zip of the manifest and its companion files. bom: see `write_labels`.
    """
    data = _in_memory(
        view,
        lambda samples, output: manifest.write_manifest(
            samples, output, name, images=images, bom=bom
        ),
    )
    if zipped:
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name)


def _in_memory(view: View, write: Callable[[Samples, Output], list[str]]) -> bytes:
    buffer = io.BytesIO()
    with view.steady(), ZipOutput(buffer) as output:
        write(Samples(view), output)
    return buffer.getvalue()


@dataclass(frozen=True)
class Survey:
    """What an export of a view would contain."""

    samples: int
    relabelled: int
    removed: int
    unlabelled: int
    bytes: int | None  # of the images; None if there are too many to check
    without_file: int  # images that are stored in the dataset; 0 if they were not checked
    table_says_all: bool  # whether a manifest needs no class list


def survey(view: View, most: int) -> Survey:
    """Summarise an export. most: images are checked only up to this number of samples.

    Raises LabelAuditError if there is no sample, or a checked image does not exist.
    """
    with view.steady():
        samples = Samples(view)
        is_small = len(samples) <= most
        return Survey(
            samples=len(samples),
            relabelled=samples.relabelled,
            removed=samples.removed,
            unlabelled=samples.unlabelled,
            bytes=int(samples.sizes.sum()) if is_small else None,
            without_file=int(samples.stored.sum()) if is_small else 0,
            table_says_all=manifest.class_list(samples) is None,
        )
