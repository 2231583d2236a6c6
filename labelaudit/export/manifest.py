"""A manifest of the current labels, which `load_dataset` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ..core.errors import BadInputError
from ..core.plural import counted
from ..dataset.ingest import natural_order
from ..storage.schema import CLASS_LIST_SUFFIX
from .checks import check_target
from .outputs import Output
from .provenance import KEY, HashingSink, beside, file_beside, with_metadata
from .samples import Samples
from .tables import as_text, column, csv_writer, jsonl_writer, parquet_writer

COLUMNS = ["id", "filepath", "label", "split", "tags"]
WRITERS = {".csv": csv_writer, ".jsonl": jsonl_writer, ".parquet": parquet_writer}
PATH_STYLES = ("auto", "relative", "absolute")

# Turns the filepaths of some rows, and the slice of these rows, into what the table contains.
PathWriter = Callable[[np.ndarray, slice], np.ndarray]


def check_manifest(path: Path, paths: str, images: bool) -> None:
    """Raise LabelAuditError if a manifest cannot be written with these options."""
    if path.suffix.lower() not in WRITERS:
        ending = f"ends in {path.suffix.lower()!r}" if path.suffix else "has no suffix"
        raise BadInputError(
            f"{path} {ending}: the name of a manifest ends in {', '.join(WRITERS)}; for another "
            "format, set it (format=… in Python, --format on the command line)."
        )
    if paths not in PATH_STYLES:
        raise BadInputError(f"paths={paths!r}: give one of {', '.join(PATH_STYLES)}.")
    if path.is_dir():
        raise BadInputError(f"{path} is a folder: name a file.")
    if images:
        check_target(path.with_name(images_folder(path.name)))


def images_folder(name: str) -> str:
    """Return the name of the folder next to a manifest that contains stored images."""
    return f"{Path(name).stem}-images"


def write_manifest(
    samples: Samples,
    output: Output,
    name: str,
    folder: Path | None = None,
    paths: str = "absolute",
    images: bool = False,
    bom: bool = False,
) -> list[str]:
    """Write a manifest called `name`, its class list if needed, and stored images if wanted.

    A Parquet file stores its provenance; that of a text file is in a file beside it.

    folder: where the manifest will be; relative paths refer to it. paths, images, bom: see
    `write_labels`. Returns sentences for the user.
    """
    stored, image_paths, notes = samples.stored, None, []
    if stored.any() and images:
        image_paths = samples.image_paths(np.where(stored, images_folder(name), None))
        for i, image in samples.images(np.flatnonzero(stored)):
            output.add_image(image_paths[i], image)
    elif stored.any():
        notes.append(
            f"{counted(int(stored.sum()), 'image')} stored in the dataset, without a file: the "
            "manifest alone cannot be loaded. With images=True, or --images on the command line, "
            "all images are next to it."
        )
    to_written = _path_converter(folder, paths)

    def write_paths(found: np.ndarray, rows: slice) -> np.ndarray:
        written = np.array(found if image_paths is None else image_paths[rows], object)
        is_file = ~stored[rows]
        written[is_file] = [to_written(path) for path in found[is_file]]
        return written

    classes = class_list(samples)
    if classes:
        output.write(f"{Path(name).stem}{CLASS_LIST_SUFFIX}", classes)
    digest = write_rows(samples, output, name, write_paths, bom=bom)
    if not name.lower().endswith(".parquet"):
        output.write(beside(name), file_beside(name, digest, samples.provenance()))
    return notes


def write_rows(
    samples: Samples,
    output: Output,
    name: str,
    write_paths: PathWriter,
    only: np.ndarray | None = None,
    bom: bool = False,
) -> str:
    """Write the table of a manifest. Returns the SHA-256 of the file, 64 hexadecimal digits.

    only: a mask of the rows to write, (n,); by default all.
    """
    suffix = Path(name).suffix.lower()
    writer = partial(csv_writer, bom=True) if bom else WRITERS[suffix]
    tables = _tables(samples, write_paths, suffix == ".csv", only)
    first = next(tables)
    schema = first.schema
    if suffix == ".parquet":
        schema = with_metadata(schema, samples.provenance())
    with output.open(name) as opened:
        sink = HashingSink(opened)
        with writer(sink, schema) as out:
            for table in chain([first], tables):
                out.write_table(table)
    return sink.digest


def class_list(
    samples: Samples, always: bool = False, written: int | None = None, **more
) -> bytes | None:
    """Return the class list of a manifest as JSON; None if the manifest loses nothing without it.

    It stores the class order, classes without samples, the kinds of own fields, and that blanks at
    the ends of names are part of them. always: return it in any case. written: the number
    of samples that are listed; by default all. more: further keys.
    """
    names = [*samples.classes]
    used = {names[code] for code in np.unique(samples.labels) if code >= 0}
    splits = [split for split in pd.unique(samples.splits) if split is not None]
    has_blanks = any(name != name.strip() for name in [*names, *splits])
    own = samples.own_kinds
    if not (always or own or has_blanks or natural_order(used) != names):
        return None
    more |= {"fields": own} if own else {}
    origin = samples.provenance(written)
    content = {"made_by": origin["made_by"], KEY: origin, "classes": names, **more}
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def _tables(
    samples: Samples, write_paths: PathWriter, text: bool, only: np.ndarray | None
) -> Iterator[pa.Table]:
    """Yield the rows in chunks. text: prepare them for CSV."""
    start = 0
    for frame in samples.frames():
        rows = slice(start, start + len(frame))
        start += len(frame)
        frame = frame.rename(columns={"ground_truth": "label"})
        frame = frame.assign(filepath=write_paths(frame["filepath"].to_numpy(), rows))
        names = [*COLUMNS, *samples.own_kinds]
        table = pa.table({name: column(frame, name) for name in names})
        table = table if only is None else table.filter(pa.array(only[rows]))
        yield as_text(table) if text else table


def _path_converter(folder: Path | None, style: str) -> Callable[[str], str]:
    """Return a function that turns the absolute path of a file into the one in the manifest."""
    if style == "absolute" or folder is None:
        return lambda path: path
    if style == "relative":
        real = os.path.realpath(folder)  # ".." leads up from the real folder
        return lambda path: _protect_blank(os.path.relpath(path, real))
    start = os.path.abspath(folder).rstrip(os.sep) + os.sep
    return lambda path: _protect_blank(path[len(start) :]) if path.startswith(start) else path


def _protect_blank(path: str) -> str:
    """Put "./" before a path that begins with a blank, because a reader would remove the blank."""
    return f"./{path}" if path[:1].isspace() else path
