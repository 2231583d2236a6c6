"""What every way in has in common: batches of samples, and an account of what was left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa

from ..errors import StoppedError
from ..intake import INPUT, natural_order
from ..pictures import UnreadableImageError, decode
from ..progress import Meter, StopCheck
from ..roots import is_inside

IMAGE_SUFFIXES = {
    ".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm",
}  # fmt: skip
SKIPPED_LISTED = 1000  # further ones are counted only
SHOWN = 500  # characters of a file's name, and of what is wrong with it
CHECK_ROWS = 1000  # images checked, and samples handed on, at once
CHECK_BYTES = 64 << 20  # … or so many bytes of them, if that is fewer
CHECK_SIZE = 64  # a JPEG is decoded no larger than this to see whether it is whole

Row = dict  # the fields of intake.INPUT, those that are known


class Skipped:
    """Images that were left out: how many, and of the first ones which and why."""

    def __init__(self) -> None:
        self.report: dict = {"count": 0, "files": []}

    def add(self, file: str, why: str) -> None:
        self.report["count"] += 1
        if len(self.report["files"]) < SKIPPED_LISTED:
            name = file if len(file) <= SHOWN else f"…{file[1 - SHOWN :]}"
            self.report["files"].append({"file": name, "why": why[:SHOWN]})


@dataclass
class Source:
    """A dataset that can be read once.

    rows() yields samples as mappings; where `check` is set their images are opened, sized, and
    left out if broken. `load`, where there is one, fetches the bytes of an image by its row.
    `within`: resolved folders that files must lie in, links followed; by default any.
    """

    description: str
    classes: list[str]
    total: int | None
    rows: Callable[[], Iterable[Row]]
    check: bool = True
    load: Callable[[Row], bytes] | None = None
    skipped: Skipped = field(default_factory=Skipped)
    within: Sequence[str] | None = None

    def read(self, meter: Meter, stop: StopCheck) -> Iterator[pa.RecordBatch]:
        """Batches of intake.INPUT."""
        rows = iter(self.rows())
        with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
            while True:
                count, group = self._next(rows)
                if not count:
                    return
                if stop():
                    raise StoppedError(f"reading {self.description} was stopped: nothing is kept.")
                if self.check:
                    faults = list(pool.map(inspect_image, group))
                    for row, why in zip(group, faults, strict=True):
                        if why:
                            self.skipped.add(row["filepath"], why)
                    group = [row for row, why in zip(group, faults, strict=True) if not why]
                meter.advance(count)
                if group:
                    yield pa.RecordBatch.from_pylist(group, schema=INPUT)

    def _next(self, rows: Iterator[Row]) -> tuple[int, list[Row]]:
        """How many rows were taken, and those of them that could be; limited in rows and bytes."""
        count, size, group = 0, 0, []
        for row in islice(rows, CHECK_ROWS):
            count += 1
            if self._may_be_read(row) and (self.load is None or self._loaded(row)):
                group.append(row)
                size += len(row.get("image") or b"")
            if size > CHECK_BYTES:
                break
        return count, group

    def _may_be_read(self, row: Row) -> bool:
        """Files of an archive or of memory may; others where they lie within the folders."""
        if self.within is None or self.load is not None:
            return True
        path = row.get("filepath") or ""
        if row.get("image") is not None and "://" not in path:
            return True
        if is_inside(path, self.within):
            return True
        self.skipped.add(path, "lies outside of the folders that may be used here")
        return False

    def _loaded(self, row: Row) -> bool:
        try:
            row["image"] = self.load(row)
        except Exception as error:  # zip readers raise many kinds on broken members
            self.skipped.add(row["filepath"], str(error) or type(error).__name__)
            return False
        return True


def inspect_image(row: Row) -> str | None:
    """Decode a row's image to see that it is whole; set its size, or return what is wrong."""
    try:
        image = decode(row["filepath"], row.get("image"), draft=CHECK_SIZE)
    except UnreadableImageError as error:
        return str(error)
    row["width"], row["height"] = image.info["full_size"]
    return None


def is_image_name(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def classes_of(labels: Iterable[str | None]) -> list[str]:
    return natural_order(label for label in set(labels) if label is not None)
