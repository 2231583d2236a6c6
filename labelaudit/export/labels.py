"""The labels as they are now, as a manifest that `load_dataset` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from .. import __version__
from ..core.errors import LabelAuditError
from ..core.progress import QUIET, Task
from ..dataset.ingest import natural_order
from ..dataset.view import View
from ..storage.schema import CLASS_LIST_SUFFIX
from .content import Content
from .names import Places
from .tables import as_text, column, csv_writer, jsonl_writer, parquet_writer
from .trees import Tree, check_target

COLUMNS = ["id", "filepath", "label", "split", "tags"]
WRITERS = {".csv": csv_writer, ".jsonl": jsonl_writer, ".parquet": parquet_writer}
PATHS = ("auto", "relative", "absolute")

# From some rows' paths, and which rows these are, to what stands in the table.
Locate = Callable[[np.ndarray, slice], np.ndarray]


def write_labels(
    view: View,
    path: str | os.PathLike,
    *,
    paths: str = "auto",
    images: bool = False,
    task: Task = QUIET,
) -> int:
    """Write the labels as they are now as a manifest that `load_dataset` reads. Returns the rows.

    The suffix says the format: .csv, .jsonl or .parquet. Columns: id, filepath, label, split,
    tags. Samples with the tag `removed` are left out. Where the order of the classes, or blanks at
    the ends of a name, would be lost, `<name>.classes.json` beside it keeps them.

    paths: "auto" makes those relative that lie below the manifest's folder, "relative" and
    "absolute" all. images: images that are kept inside the dataset have no file; write them into
    `<name>-images` beside the manifest, which without them cannot be loaded back.
    A stop raises StoppedError, and LabelAuditError whatever `export_dataset` refuses; then nothing
    is written.
    """
    from . import export_dataset  # which has this module in its list

    done = export_dataset(view, path, "manifest", paths=paths, images=images, task=task)
    return done.samples


def check_manifest(path: Path, paths: str, images: bool) -> None:
    """Raises LabelAuditError where no manifest can be written so."""
    if path.suffix.lower() not in WRITERS:
        ending = f"ends in {path.suffix.lower()!r}" if path.suffix else "has no ending"
        raise LabelAuditError(
            f"{path} {ending}: a manifest is named {', '.join(WRITERS)}; for another format say "
            "which (--format)."
        )
    if paths not in PATHS:
        raise LabelAuditError(f"paths={paths!r}: give one of {', '.join(PATHS)}.")
    if path.is_dir():
        raise LabelAuditError(f"{path} is a folder: name a file.")
    if images:
        check_target(path.with_name(images_folder(path)))


def images_folder(path: Path) -> str:
    return f"{path.stem}-images"


def write_manifest(content: Content, tree: Tree, path: Path, paths: str, images: bool) -> list[str]:
    """Write a manifest of this name, with its company. Returns what is to be said of it."""
    stored, places, notes = content.stored, None, []
    if stored.any() and images:
        folders = np.where(stored, images_folder(path), None)
        places = content.image_places(folders, Places())
        for i, image in content.images(np.flatnonzero(stored)):
            tree.place(places[i], image)
    elif stored.any():
        notes.append(
            f"{stored.sum():,} images are kept inside the dataset and have no file: the manifest "
            "alone cannot be loaded back; with --images they are written beside it."
        )
    turn = _turn(path, paths)

    def locate(found: np.ndarray, rows: slice) -> np.ndarray:
        inside = stored[rows]
        named = found if places is None else places[rows]
        files = np.array([turn(file) for file in found[~inside]], object)
        return _put(named, ~inside, files)

    described = class_list(content)
    if described:
        tree.write(f"{path.stem}{CLASS_LIST_SUFFIX}", described)
    write_rows(content, tree, path.name, locate)
    return notes


def write_rows(
    content: Content, tree: Tree, name: str, locate: Locate, only: np.ndarray | None = None
) -> None:
    """The manifest itself. locate: what stands as the file of some rows. only: a mask of the rows
    that are written, all of them if it is left out."""
    suffix = Path(name).suffix.lower()
    tables = _tables(content, locate, suffix == ".csv", only)
    first = next(tables)
    with tree.open(name) as sink, WRITERS[suffix](sink, first.schema) as out:
        out.write_table(first)
        for table in tables:
            out.write_table(table)


def class_list(content: Content, always: bool = False, **more) -> bytes | None:
    """The file that keeps what a manifest cannot: the order of the classes, those without samples,
    and that blanks at the ends of names belong to them. None where there is nothing of this."""
    names = [*content.classes]
    here = {names[code] for code in np.unique(content.labels) if code >= 0}
    splits = [split for split in pd.unique(content.splits) if split is not None]
    blanks = any(name != name.strip() for name in [*names, *splits])
    if not (always or blanks or natural_order(here) != names):
        return None
    what = {"made_by": f"labelaudit {__version__}", "classes": names, **more}
    return json.dumps(what, indent=1, ensure_ascii=False).encode()


def _tables(content: Content, locate: Locate, text: bool, only: np.ndarray | None):
    start = 0
    for frame in content.frames():
        rows = slice(start, start + len(frame))
        start += len(frame)
        frame = frame.rename(columns={"ground_truth": "label"})
        frame = frame.assign(filepath=locate(frame["filepath"].to_numpy(), rows))
        table = pa.table({name: column(frame, name) for name in COLUMNS})
        table = table if only is None else table.filter(pa.array(only[rows]))
        yield as_text(table) if text else table


def _turn(path: Path, how: str) -> Callable[[str], str]:
    """Makes a file's absolute path what is to stand in a manifest at `path`."""
    if how == "absolute":
        return lambda file: file
    if how == "relative":
        folder = os.path.realpath(path.parent)  # ".." leads up from the real one
        return lambda file: _dotted(os.path.relpath(file, folder))
    folder = os.path.abspath(path.parent).rstrip(os.sep) + os.sep
    return lambda file: _dotted(file[len(folder) :]) if file.startswith(folder) else file


def _dotted(name: str) -> str:
    """A blank at the beginning would be taken for none of the name's."""
    return f"./{name}" if name[:1].isspace() else name


def _put(values: np.ndarray, where: np.ndarray, new: np.ndarray) -> np.ndarray:
    values = values.astype(object)  # a copy
    values[where] = new
    return values
