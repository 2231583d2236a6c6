"""What every way in has in common: batches of samples, and an account of what was left out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa

from ..core.errors import LabelAuditError, StoppedError
from ..core.images import UnreadableImageError, decode
from ..core.progress import Task
from ..dataset.ingest import INPUT, natural_order
from ..storage.allowed_roots import is_inside
from .checked import Checked, Finding, Stat

IMAGE_SUFFIXES = {
    ".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm",
}  # fmt: skip
SKIPPED_LISTED = 1000  # further ones are counted only
SHOWN = 500  # characters of a file's name, and of what is wrong with it
CHECK_ROWS = 1000  # images checked, and samples handed on, at once
CHECK_BYTES = 64 << 20  # … or so many bytes of them, if that is fewer
CHECK_SIZE = 64  # a JPEG is decoded no larger than this to see whether it is whole

FETCHERS = 16  # requests under way for images of object storage
FETCHED = "fetched"  # of a row: its image, once it is there

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
    left out if broken. `load`, where there is one, fetches the bytes of an image by its row; where
    there is `fetch`, too, threads call that ahead of their turn, and None leaves it to `load`.
    `within`: resolved folders that files must lie in, links followed; by default any.
    """

    description: str
    classes: list[str]
    total: int | None
    rows: Callable[[], Iterable[Row]]
    check: bool = True
    load: Callable[[Row], bytes] | None = None
    fetch: Callable[[Row], bytes | None] | None = None
    skipped: Skipped = field(default_factory=Skipped)
    within: Sequence[str] | None = None

    def read(self, task: Task) -> Iterator[pa.RecordBatch]:
        """Batches of intake.INPUT."""
        seen = Checked(self.description)
        meter = task.stage(f"reading {self.description}", self.total, stoppable=False)
        with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool, self._ahead() as rows:
            while True:
                count, group = self._next(rows)
                if not count:
                    break
                if task.stop():
                    seen.write()
                    kept = "" if self.load else ", but what was checked need not be checked again"
                    raise StoppedError(
                        f"reading {self.description} was stopped: there is no new dataset{kept}."
                    )
                if self.check:
                    group = self._whole(group, seen, pool)
                meter.advance(count)
                if group:
                    yield pa.RecordBatch.from_pylist(group, schema=INPUT)
        seen.forget()

    @contextmanager
    def _ahead(self) -> Iterator[Iterator[Row]]:
        """The rows; with `fetch` their images are on the way, as FETCHED of each."""
        if self.fetch is None:
            yield iter(self.rows())
            return
        pool = ThreadPoolExecutor(FETCHERS)
        try:
            yield self._fetched(pool)
        finally:
            pool.shutdown(cancel_futures=True)

    def _fetched(self, pool: ThreadPoolExecutor) -> Iterator[Row]:
        waiting: deque[Row] = deque()
        for row in self.rows():
            waiting.append({**row, FETCHED: pool.submit(self.fetch, row)})
            if len(waiting) > 2 * FETCHERS:
                yield waiting.popleft()
        yield from waiting

    def _whole(self, group: list[Row], seen: Checked, pool: ThreadPoolExecutor) -> list[Row]:
        """Those of these rows whose image is whole, with its size."""
        on_disk = [row for row in group if row.get("image") is None]
        stats = list(pool.map(_stat, on_disk))
        known = seen.known([row["filepath"] for row in on_disk], stats)
        findings: dict[int, Finding] = {
            id(row): finding for row, finding in zip(on_disk, known, strict=True) if finding
        }
        new = [row for row in group if id(row) not in findings]
        findings |= zip(map(id, new), pool.map(inspect_image, new), strict=True)
        for row, stat, before in zip(on_disk, stats, known, strict=True):
            if stat is not None and before is None:
                seen.add(row["filepath"], stat, findings[id(row)])
        seen.keep()
        whole = []
        for row in group:
            row["width"], row["height"], why = findings[id(row)]
            if why:
                self.skipped.add(row["filepath"], why)
            else:
                whole.append(row)
        return whole

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
            fetched = row.pop(FETCHED, None)
            row["image"] = (fetched and fetched.result()) or self.load(row)
        except LabelAuditError:  # the storage cannot be reached: no image of it is to blame
            raise
        except Exception as error:  # zip readers raise many kinds on broken members
            self.skipped.add(row["filepath"], str(error) or type(error).__name__)
            return False
        return True


def inspect_image(row: Row) -> Finding:
    """Decode a row's image to see that it is whole: its width and height, or what is wrong."""
    try:
        image = decode(row["filepath"], row.get("image"), draft=CHECK_SIZE)
    except UnreadableImageError as error:
        return None, None, str(error)
    return *image.info["full_size"], None


def _stat(row: Row) -> Stat | None:
    try:
        found = os.stat(row["filepath"])
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def is_image_name(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def classes_of(labels: Iterable[str | None]) -> list[str]:
    return natural_order(label for label in set(labels) if label is not None)
