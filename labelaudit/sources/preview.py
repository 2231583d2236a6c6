"""How a source is understood, before anything is loaded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ..core.errors import BadInputError
from ..core.images import data_uri, decode
from ..core.progress import QUIET, Task
from ..dataset.ingest import check_class
from .load import open_source, source_options
from .source import Row, Source, class_names
from .zoo import ZOO

SAMPLES = 3  # images that are shown of each class
STREAMED_ROWS = 1000  # rows that are read of a source that must be read to count


@dataclass(frozen=True)
class ClassPreview:
    """A class: its number of images, and paths of the first ones."""

    name: str
    images: int
    samples: list[str]


@dataclass
class Preview:
    """How a source is understood. Counts are before images are opened: loading skips broken ones.

    format: its name. folders: how each level of folders was read. splits: images by split.
    unlabelled: images without a label. skipped: as `dataset.info["skipped"]`. is_complete: whether
    all of the source was read; of a streamed one only the first images are.
    """

    source: str
    format: str
    folders: list[str]
    images: int
    splits: dict[str, int]
    classes: list[ClassPreview]
    unlabelled: int
    skipped: dict
    is_complete: bool = True
    _opened: Source | None = field(default=None, repr=False)
    _rows: dict[str, Row] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict:
        """Return all fields as plain JSON values."""
        names = ("source", "format", "folders", "images", "splits", "unlabelled", "skipped")
        classes = [vars(entry) for entry in self.classes]
        return {n: getattr(self, n) for n in names} | {
            "classes": classes,
            "is_complete": self.is_complete,
        }

    def thumbnail(self, path: str, size: int) -> str | None:
        """Return a sample as a data URI of at most `size` pixels; None if it cannot be read."""
        row = self._rows[path]
        try:
            data = row.get("image")
            if data is None and self._opened and self._opened.load:
                data = self._opened.load(row)
            return data_uri(decode(row["filepath"], data, draft=size), size)[0]
        except Exception:  # zip readers raise many types on broken members
            return None


def preview_dataset(
    source: str | os.PathLike,
    *,
    split: str | None = None,
    root: str | os.PathLike | None = None,
    label: str | None = None,
    path_column: str | None = None,
    label_from: str | int | None = None,
    split_from: str | int | None = None,
    ignore: str | Sequence[str] = (),
    within: Sequence[str] | None = None,
    fields: Mapping[str, str | None] | Sequence[str] = (),
    task: Task = QUIET,
) -> Preview:
    """Show how `load_dataset` understands a source with the same options. Nothing is stored.

    The source is opened by the same code. Images are not decoded, so broken ones are counted only
    when they are loaded. Raises the errors of `load_dataset`: NotFoundError if there is no such
    file, BadInputError, DamagedError or StorageError if the source cannot be used.
    """
    if str(source) in ZOO and not os.path.exists(source):
        raise BadInputError(
            f"{source} is a zoo dataset, which has nothing to choose: load it by its name."
        )
    options = source_options(label, path_column, label_from, split_from, ignore, within, fields)
    return read_preview(open_source(source, split, root, options, task))


def read_preview(opened: Source) -> Preview:
    """Read the rows of an opened source. Raises BadInputError for a class name that cannot be
    loaded."""
    counts: Counter[str | None] = Counter()
    splits: Counter[str] = Counter()
    samples: dict[str | None, list[str]] = {}
    kept: dict[str, Row] = {}
    rows = iter(opened.rows())
    limit = None if opened.is_indexed else STREAMED_ROWS
    for row in islice(rows, limit):
        if not opened.has_image(row):
            continue
        label, split, path = row.get("label"), row.get("split"), row["filepath"]
        counts[label] += 1
        if split:
            splits[split] += 1
        shown = samples.setdefault(label, [])
        if label is not None and len(shown) < SAMPLES:
            shown.append(path)
            kept[path] = row
    for name in [*opened.classes, *filter(None, counts)]:
        check_class(name)  # as loading does
    order = [*opened.classes, *class_names(set(counts) - set(opened.classes))]
    return Preview(
        source=opened.description,
        format=opened.format or opened.description,
        folders=list(opened.steps),
        images=sum(counts.values()),
        splits=dict(sorted(splits.items())),
        classes=[ClassPreview(name, counts[name], samples.get(name, [])) for name in order],
        unlabelled=counts[None],
        skipped=opened.skipped.report,
        is_complete=limit is None or next(rows, None) is None,
        _opened=opened,
        _rows=kept,
    )
