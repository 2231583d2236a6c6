"""What there is to export: the samples of a view as columns, and their images, some at a time."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from PIL import Image

from ..core.errors import LabelAuditError, StoppedError
from ..core.progress import QUIET, Stage, Task
from ..dataset.arrays import MISSING
from ..dataset.view import View
from ..storage.schema import REMOVED
from .names import Places

CHUNK_ROWS, CHUNK_BYTES = 1000, 32 << 20  # images held at once
SIZE_ROWS = 1000  # stored images whose size is measured at once
ImageData = bytes | str  # the bytes of an image that is kept inside the dataset, or a file's path


@dataclass
class Content:
    """The samples of a view, without those that are tagged `removed`, in the view's order.

    Arrays are (n,). It is read within one `store.steady()`, so all of it belongs together.
    """

    whole: View
    meter: Stage | None = None
    task: Task = QUIET

    def __post_init__(self) -> None:
        self.view = self.whole.exclude_tag(REMOVED)
        self.frame = self.view.frame
        self.positions = self.view.positions()
        self.ids = self.frame.ids[self.positions]
        self.removed = len(self.whole) - len(self.ids)
        if not len(self.ids):
            left = f" (all {self.removed:,} are removed)" if self.removed else ""
            raise LabelAuditError(
                f"there is no sample to export of dataset {self.frame.name!r}{left}: choose others."
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> list[str]:
        return self.frame.classes

    @cached_property
    def labels(self) -> np.ndarray:
        """Class indices now, int32; MISSING where there is none."""
        return self.frame.label[self.positions]

    @cached_property
    def originals(self) -> np.ndarray:
        """Class indices as they were loaded, int32."""
        return self.view.fields.coded("original_label")[0][self.positions]

    @property
    def relabelled(self) -> int:
        return int((self.labels != self.originals).sum())

    @property
    def unlabelled(self) -> int:
        return int((self.labels == MISSING).sum())

    @cached_property
    def paths(self) -> np.ndarray:
        """Where the image lies, or what it was called where it is kept inside the dataset."""
        return self.frame.take("samples", self.positions, ["filepath"])["filepath"].to_numpy()

    @cached_property
    def splits(self) -> np.ndarray:
        """Names as objects; None where there is none."""
        codes, names = self.frame.split()
        return np.array([*names, None], object)[codes[self.positions]]

    @cached_property
    def stored_sizes(self) -> np.ndarray:
        """Bytes of the images that are kept inside the dataset, int64; MISSING of the others."""
        return stored_sizes(self.whole)[self.positions]

    @cached_property
    def stored(self) -> np.ndarray:
        """Mask of the images that are kept inside the dataset."""
        return self.stored_sizes != MISSING

    @cached_property
    def sizes(self) -> np.ndarray:
        """Bytes of each image, int64. Raises LabelAuditError where a file is not there."""
        sizes = self.stored_sizes.copy()
        for i in np.flatnonzero(~self.stored):
            try:
                sizes[i] = os.stat(self.paths[i]).st_size
            except OSError as error:
                raise _unreadable(self.paths[i], error) from error
        return sizes

    @property
    def run(self) -> dict | None:
        """What the run says of itself whose predictions are meant."""
        return self.view.fields.run_or_none()

    def frames(self) -> Iterator[pd.DataFrame]:
        """All that is known of the samples, as `View.chunks` gives it."""
        return self.view.chunks()

    def images(self, rows: np.ndarray | None = None) -> Iterator[tuple[int, ImageData]]:
        """(place in the arrays, image) of these rows, or all. Counts progress, hears a stop."""
        rows = np.arange(len(self)) if rows is None else rows
        for part in self._parts(rows):
            if self.task.stop():
                raise StoppedError("the export was stopped: nothing is left of it.")
            inside = part[self.stored[part]]
            data = dict(zip(inside.tolist(), self._stored(inside), strict=True))
            for i in part.tolist():
                yield i, data[i] if i in data else self.paths[i]
            if self.meter:
                self.meter.advance(len(part))

    def image_places(
        self, folders: np.ndarray, places: Places, of_class: bool = False
    ) -> np.ndarray:
        """A relative path for each image below its folder (names as objects), no two alike; of
        samples whose folder is None: None. Paths below the folder that holds all are kept; with
        of_class only what lies below split and class, for these are in the folder's name."""
        below = self._below(of_class)
        chosen = np.full(len(self), None, object)
        for i in np.argsort(self.ids, kind="stable").tolist():  # whatever the view's order
            if folders[i] is not None:
                chosen[i] = places.take(folders[i], below[i], int(self.ids[i]))
        return chosen

    # --- inside ---

    def _parts(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Rows in parts that are small in number and in bytes."""
        full = np.cumsum(np.maximum(self.stored_sizes[rows], 0)) // CHUNK_BYTES
        starts = np.flatnonzero(np.diff(full, prepend=-1))
        for begin, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            for start in range(begin, end, CHUNK_ROWS):
                yield rows[start : min(start + CHUNK_ROWS, end)]

    def _stored(self, rows: np.ndarray) -> list[bytes]:
        if not len(rows):
            return []
        return self.frame.take("samples", self.positions[rows], ["image"])["image"].to_pylist()

    def _below(self, of_class: bool) -> list[list[str]]:
        """The parts of each image's path below the folder that holds all, or below its class."""
        parts = [path.replace(os.sep, "/").strip("/").split("/") for path in self.paths]
        for mask in (self.stored, ~self.stored):  # names in an archive, and files
            rows = np.flatnonzero(mask).tolist()
            common = _shared({tuple(parts[i][:-1]) for i in rows})
            for i in rows:
                parts[i] = parts[i][common:]
        if of_class:
            parts = self._without_class(parts)
        known = Image.registered_extensions()
        for i, part in enumerate(parts):
            if os.path.splitext(part[-1])[1].lower() not in known:
                parts[i] = [*part[:-1], part[-1] + self._suffix(i)]
        return parts

    def _without_class(self, parts: list[list[str]]) -> list[list[str]]:
        names = np.array([*self.classes, None], object)
        given, first = names[self.labels], names[self.originals]
        for i, part in enumerate(parts):
            if len(part) > 1 and part[0] == self.splits[i]:
                part = part[1:]
            if len(part) > 1 and part[0] in (given[i], first[i]):
                part = part[1:]
            parts[i] = part
        return parts

    def _suffix(self, row: int) -> str:
        """Of an image whose name has none, by its content."""
        try:
            data = io.BytesIO(self._stored(np.array([row]))[0]) if self.stored[row] else None
            with Image.open(data or self.paths[row]) as image:
                return "." + image.format.lower().replace("jpeg", "jpg")
        except OSError:
            return ".png"


def _shared(folders: set[tuple[str, ...]]) -> int:
    """How many parts at the beginning are the same in all of these paths."""
    if not folders:
        return 0
    first, last = min(folders), max(folders)  # where these two agree, all between them do
    pairs = enumerate(zip(first, last, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(last)))


def stored_sizes(view: View) -> np.ndarray:
    """Bytes of each image of the whole dataset that is kept inside it, int64, by position in the
    frame; MISSING where it is not. Kept until the samples change: the images are read for it."""
    frame = view.frame

    def load() -> np.ndarray:
        sizes = np.full(len(frame.ids), MISSING, np.int64)
        for batch in frame.batches("samples", ["id", "image"], SIZE_ROWS):
            ids = batch["id"].to_numpy()
            places = np.minimum(np.searchsorted(frame.ids, ids), max(len(sizes) - 1, 0))
            known = frame.ids[places] == ids
            length = pc.fill_null(pc.binary_length(batch["image"]), MISSING)
            sizes[places[known]] = length.to_numpy()[known]
        return sizes

    with frame.steady():
        stamp = frame.stamp("samples"), frame.stamp("annotations")
        return frame.cached("stored sizes", stamp, load)


def _unreadable(path: str, error: OSError) -> LabelAuditError:
    return LabelAuditError(
        f"image {path} cannot be read ({error.strerror}): put it back, or tag its sample "
        f"{REMOVED!r}. Nothing was written."
    )


def read_image(image: ImageData) -> bytes:
    """The bytes of an image. Raises LabelAuditError where its file cannot be read."""
    if isinstance(image, bytes):
        return image
    try:
        with open(image, "rb") as file:
            return file.read()
    except OSError as error:
        raise _unreadable(image, error) from error
