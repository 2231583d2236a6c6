"""What all sources share: batches of samples, and a report of what was skipped."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa
from PIL import Image

from ..core.deep_grey import DEPTHS, GreyScales, describe, extent
from ..core.errors import LabelAuditError, StoppedError
from ..core.files import file_hash
from ..core.images import UnreadableImageError, decoding
from ..core.progress import Task
from ..dataset.ingest import INPUT, natural_order
from ..dataset.own_fields import INPUT_TYPES
from ..storage.allowed_roots import is_inside
from .check_cache import CheckCache, CheckResult, FileState
from .file_states import FileStates

LABEL_COLUMNS = "label_columns"  # key of `Source.label_columns` in the origin of a dataset

if TYPE_CHECKING:
    from .files import Files
    from .image_list import ImageList, ListFile

IMAGE_SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp",
    ".avif", ".avifs", ".heic", ".heif", ".hif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
    ".jp2", ".j2k", ".jpx", ".jpf", ".tga", ".qoi", ".pcx", ".psd", ".ico", ".sgi", ".dds",
}  # fmt: skip
MAX_SKIPPED_LISTED = 1000  # skipped images beyond these are only counted
MAX_REASONS = 30  # reasons beyond these are counted together
MAX_NOTES = 20
MAX_TEXT = 500  # characters of a file name, and of a reason
CHECK_ROWS = 1000  # images that are checked together and form one batch …
CHECK_BYTES = 64 << 20  # … or fewer, if they have this many bytes
CHECK_SIZE = 64  # a JPEG is decoded no larger than this to check that it is complete

PREFETCH_THREADS = 16  # concurrent requests for images in object storage
PREFETCHED = "prefetched"  # key of a row: the future of its image
PLACE = "place"  # key of a row: what it is called in a report, if it has no file
OUTSIDE_ROOTS = "is outside the folders that may be used here"

Row = dict  # some of the fields of ingest.INPUT


class Skipped:
    """What was not loaded, and sentences about how the source was understood.

    report: "count" of skipped images, "files" with file and reason of the first ones, "reasons"
    with their numbers, "others" with numbers of files that are no images, by kind, and "notes".
    """

    def __init__(self) -> None:
        self.report: dict = {"count": 0, "files": [], "reasons": {}, "others": {}, "notes": []}

    def add(self, file: str, reason: str, name: str | None = None) -> None:
        """Count a skipped image. name: of its reason in the numbers, if that is not the same."""
        self.report["count"] += 1
        self._count("reasons", name or reason)
        if len(self.report["files"]) < MAX_SKIPPED_LISTED:
            shown = file if len(file) <= MAX_TEXT else f"…{file[1 - MAX_TEXT :]}"
            self.report["files"].append({"file": shown, "why": reason[:MAX_TEXT]})

    def add_others(self, kind: str, count: int = 1) -> None:
        """Count files that are no images."""
        self._count("others", kind, count)

    def note(self, text: str) -> None:
        """Add a sentence for the user, once."""
        if text not in self.report["notes"] and len(self.report["notes"]) < MAX_NOTES:
            self.report["notes"].append(text)

    def _count(self, where: str, key: str, count: int = 1) -> None:
        numbers = self.report[where]
        key = key[:MAX_TEXT]
        key = key if key in numbers or len(numbers) < MAX_REASONS else "other reasons"
        numbers[key] = numbers.get(key, 0) + count


@dataclass
class Source:
    """A dataset that can be read once.

    rows: yields samples as mappings with fields of `ingest.INPUT`. total: their number, if known.
    check: open every image, store its size, and skip it if it is broken. load: returns the bytes of
    a row's image; None if rows reference files or already contain the bytes. prefetch: the same,
    called by threads ahead of time; it may return None to leave an image to `load`.
    allowed_roots: resolved folders that files must be in after links are resolved; None for any.
    format: the name of the format. steps: how the folders were understood. is_indexed: whether
    rows are known without reading images.
    """

    description: str
    classes: list[str]
    total: int | None
    rows: Callable[[], Iterable[Row]]
    check: bool = True
    load: Callable[[Row], bytes] | None = None
    prefetch: Callable[[Row], bytes | None] | None = None
    skipped: Skipped = field(default_factory=Skipped)
    grey: GreyScales = field(default_factory=GreyScales)  # filled while images are checked
    allowed_roots: Sequence[str] | None = None
    format: str = ""
    steps: Sequence[str] = ()
    is_indexed: bool = False
    fields: dict[str, str] = field(default_factory=dict)  # kinds of own fields: rows have `own`
    origin: dict | None = None  # arguments of `open_source` to open it again; None if it cannot be
    lists: Sequence[tuple[ListFile, ImageList]] = ()  # that give the labels, if files do
    files: FileStates = field(default_factory=FileStates)  # of the images that were read, in order

    @classmethod
    def of_files(
        cls,
        files: Files,
        description: str,
        classes: list[str],
        total: int | None,
        rows: Callable[[], Iterable[Row]],
    ) -> Source:
        """Create a source with images that are read through `files`."""
        source = cls(description, classes, total, rows, load=files.load, prefetch=files.prefetch)
        source.is_indexed = True
        return source

    def found(self) -> dict:
        """Return what to store with the dataset, after it was read."""
        grey = self.grey.result()
        for text in describe(grey):
            self.skipped.note(text)
        if self.origin is None:
            return {"grey": grey}
        return {"grey": grey, "origin": {**self.origin, LABEL_COLUMNS: self.label_columns}}

    @property
    def label_columns(self) -> list[str]:
        """The names of the columns with the labels, if tables list the images."""
        return sorted({listed.label_column for _, listed in self.lists if listed.label_column})

    def read(self, task: Task) -> Iterator[pa.RecordBatch]:
        """Yield batches with the schema `ingest.INPUT` and own fields. Raises StoppedError if
        stopped."""
        cache = CheckCache(self.description)
        stage = task.stage(f"reading {self.description}", self.total, stoppable=False)
        with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool, self._prefetching() as rows:
            while True:
                count, group = self._next_group(rows)
                if not count:
                    break
                if task.stop():
                    cache.write()
                    note = "" if self.load else "; images already checked are not checked again"
                    raise StoppedError(
                        f"reading {self.description} was stopped, and no dataset was created{note}."
                    )
                if self.check:
                    group = self._check_images(group, cache, pool)
                stage.advance(count)
                if group:
                    yield self._to_batch(group)
        cache.delete()

    def _to_batch(self, group: list[Row]) -> pa.RecordBatch:
        batch = pa.RecordBatch.from_pylist(group, schema=INPUT)
        for name, kind in self.fields.items():
            values = [(row.get("own") or {}).get(name) for row in group]  # see own_columns
            batch = batch.append_column(name, pa.array(values, INPUT_TYPES[kind]))
        return batch

    @contextmanager
    def _prefetching(self) -> Iterator[Iterator[Row]]:
        """Iterate over the rows; with `prefetch`, each row carries a future under PREFETCHED."""
        if self.prefetch is None:
            yield iter(self.rows())
            return
        pool = ThreadPoolExecutor(PREFETCH_THREADS)
        try:
            yield self._prefetched_rows(pool)
        finally:
            pool.shutdown(cancel_futures=True)

    def _prefetched_rows(self, pool: ThreadPoolExecutor) -> Iterator[Row]:
        waiting: deque[Row] = deque()
        for row in self.rows():
            waiting.append({**row, PREFETCHED: pool.submit(self.prefetch, row)})
            if len(waiting) > 2 * PREFETCH_THREADS:
                yield waiting.popleft()
        yield from waiting

    def _next_group(self, rows: Iterator[Row]) -> tuple[int, list[Row]]:
        """Return how many rows were taken, and the usable ones; limited in rows and bytes."""
        count, size, group = 0, 0, []
        for row in islice(rows, CHECK_ROWS):
            count += 1
            if self._is_usable(row):
                group.append(row)
                size += len(row.get("image") or b"")
            if size > CHECK_BYTES:
                break
        return count, group

    def usable_rows(self) -> Iterator[Row]:
        """Yield the rows that may be read, with the bytes of images that are not files here."""
        with self._prefetching() as rows:
            yield from filter(self._is_usable, rows)

    def _is_usable(self, row: Row) -> bool:
        return self._is_allowed(row) and (self.load is None or self._load_image(row, self.load))

    def _is_allowed(self, row: Row) -> bool:
        """Whether a row may be read: it is in an archive, in memory, or in the allowed roots."""
        if self.allowed_roots is None or self.load is not None:
            return True
        path = row.get("filepath") or ""
        if row.get("image") is not None and "://" not in path:
            return True
        if is_inside(path, self.allowed_roots):
            return True
        self.skipped.add(path, OUTSIDE_ROOTS)
        return False

    def has_image(self, row: Row) -> bool:
        """Whether a row may be read and its file exists; if not, it is reported. The image is not
        opened."""
        if not self._is_allowed(row):
            return False
        is_file = self.load is None and row.get("image") is None and "://" not in row["filepath"]
        if is_file and not os.path.isfile(row["filepath"]):
            self.skipped.add(row["filepath"], "there is no such file")
            return False
        return True

    def _load_image(self, row: Row, load: Callable[[Row], bytes]) -> bool:
        """Set the image of a row. Returns False, and reports the row, if it cannot be read."""
        try:
            future = row.pop(PREFETCHED, None)
            row["image"] = (future and future.result()) or load(row)
        except LabelAuditError:  # the storage cannot be reached; the image is not at fault
            raise
        except Exception as error:  # zip readers raise many types on broken members
            self.skipped.add(row["filepath"], str(error) or type(error).__name__)
            return False
        return True

    def _check_images(
        self, group: list[Row], cache: CheckCache, pool: ThreadPoolExecutor
    ) -> list[Row]:
        """Return the rows with a complete image, with width and height set; report the others."""
        on_disk = [row for row in group if row.get("image") is None]
        states = list(pool.map(_file_state, on_disk))
        cached = cache.get([row["filepath"] for row in on_disk], states)
        results: dict[int, CheckResult] = {
            id(row): result for row, result in zip(on_disk, cached, strict=True) if result
        }
        new = [row for row in group if id(row) not in results]
        results |= zip(map(id, new), pool.map(check_image, new), strict=True)
        for row, state, known in zip(on_disk, states, cached, strict=True):
            if state is not None and known is None:
                cache.add(row["filepath"], state, results[id(row)])
        cache.write_if_due()
        complete, state_of = [], dict(zip(map(id, on_disk), states, strict=True))
        for row in group:
            if self.use(row, results[id(row)]):
                complete.append(row)
                self.files.add(state_of.get(id(row)), results[id(row)][-1])
        return complete

    def use(self, row: Row, result: CheckResult) -> bool:
        """Set the size of a row, or report it as skipped. Returns whether it can be used."""
        row["width"], row["height"], problem, grey, _ = result
        if problem:
            self.skipped.add(row.get(PLACE) or row["filepath"], problem)
        elif grey:
            depth, low, high = grey.split()
            self.grey.add(depth, float(low), float(high))
        return not problem


def check_image(row: Row) -> CheckResult:
    """Decode the image of a row, and hash its bytes. Returns width, height …; see CheckResult."""
    try:
        with decoding(row["filepath"], row.get("image"), draft=CHECK_SIZE) as image:
            size, grey = image.info["full_size"], grey_extent(image)
    except UnreadableImageError as error:
        return None, None, str(error), None, None
    data = row.get("image")
    return *size, None, grey, file_hash(row["filepath"]) if data is None else sha256(data).digest()


def grey_extent(image: Image.Image) -> str | None:
    """Return depth, least and greatest value of a grey image with more than 8 bits, with blanks
    between them."""
    found = extent(image) if image.mode in DEPTHS else None
    return found and f"{DEPTHS[image.mode]} {found[0]!r} {found[1]!r}"


def _file_state(row: Row) -> FileState | None:
    try:
        found = os.stat(row["filepath"])
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def is_image_name(path: str) -> bool:
    """Whether a path ends like an image file."""
    # os.path.splitext takes three times as long, and is called several times for each file
    stem, _, suffix = path.rpartition(".")
    return f".{suffix.lower()}" in IMAGE_SUFFIXES and bool(stem.rpartition("/")[2].strip("."))


def class_names(labels: Iterable[str | None]) -> list[str]:
    """Return the distinct labels in natural order, without None."""
    return natural_order(label for label in set(labels) if label is not None)
