"""The samples to export: as columns, and their images a few at a time."""

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

from ..core.errors import BadInputError, DamagedError, StoppedError
from ..core.progress import QUIET, Stage, Task
from ..dataset.arrays import MISSING
from ..dataset.class_names import ClassNames
from ..dataset.own_fields import own_fields
from ..dataset.state_fingerprint import dataset_fingerprint
from ..dataset.view import View
from ..storage.schema import REMOVED
from .file_names import UniquePaths
from .provenance import LABELS, provenance

CHUNK_ROWS, CHUNK_BYTES = 1000, 32 << 20  # limits of images in memory
SIZE_ROWS = 1000  # stored images in memory while sizes are measured
ImageData = bytes | str  # the bytes of an image stored in the dataset, or the path of its file


@dataclass
class Samples:
    """The samples of a view in its order, without those tagged `removed`.

    Arrays have the shape (n,). Use it inside one `store.steady()`, so that all columns are of the
    same state.
    """

    whole: View  # including removed samples
    stage: Stage | None = None
    task: Task = QUIET

    def __post_init__(self) -> None:
        self.view = self.whole.exclude_tag(REMOVED)
        self.frame = self.view.frame
        self.positions = self.view.positions()
        self.ids = self.frame.ids[self.positions]
        self.removed = len(self.whole) - len(self.ids)
        if not len(self.ids):
            removed = f" (all {self.removed:,} are removed)" if self.removed else ""
            raise BadInputError(
                f"there is no sample to export in dataset {self.frame.name!r}{removed}: "
                "choose other samples."
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> list[str]:
        """All class names of the dataset, in the order in which they are exported."""
        return [self.frame.classes[i] for i in self._listed]

    @cached_property
    def _listed(self) -> list[int]:
        return ClassNames.read(self.frame).listed

    @cached_property
    def labels(self) -> np.ndarray:
        """Current labels as indices into `classes`, int32; MISSING for no label."""
        return self._exported(self.frame.label)

    @cached_property
    def originals(self) -> np.ndarray:
        """Labels as loaded as indices into `classes`, int32; MISSING for no label."""
        return self._exported(self.view.fields.coded("original_label")[0])

    def _exported(self, codes: np.ndarray) -> np.ndarray:
        """Return stored class indices of all samples as those of the export, int32 (n,)."""
        place = np.full(len(self._listed) + 1, MISSING, np.int32)  # the last one is for MISSING
        place[self._listed] = np.arange(len(self._listed))
        return place[codes[self.positions]]

    @cached_property
    def fingerprint(self) -> str | None:
        """The state of images and labels of the whole dataset; see `verify`."""
        return dataset_fingerprint(self.frame)

    def provenance(self, written: int | None = None, kind: str = LABELS) -> dict:
        """What an export says about its origin, as JSON values. written: the number of samples in
        the file; by default all. kind: LABELS or SHARD."""
        return provenance(self.view, kind, len(self) if written is None else written)

    @property
    def relabelled(self) -> int:
        """Number of samples with a label that differs from the loaded one."""
        return int((self.labels != self.originals).sum())

    @property
    def unlabelled(self) -> int:
        """Number of samples without a label."""
        return int((self.labels == MISSING).sum())

    @cached_property
    def paths(self) -> np.ndarray:
        """Paths of the image files; for images stored in the dataset, their original names."""
        return self.frame.take("samples", self.positions, ["filepath"])["filepath"].to_numpy()

    @cached_property
    def splits(self) -> np.ndarray:
        """Split names as objects; None for no split."""
        codes, names = self.frame.split()
        return np.array([*names, None], object)[codes[self.positions]]

    @cached_property
    def stored_sizes(self) -> np.ndarray:
        """Bytes of the images stored in the dataset, int64; MISSING for image files."""
        return stored_sizes(self.whole)[self.positions]

    @cached_property
    def stored(self) -> np.ndarray:
        """Mask of the images that are stored in the dataset."""
        return self.stored_sizes != MISSING

    @cached_property
    def sizes(self) -> np.ndarray:
        """Bytes of each image, int64. Raises LabelAuditError if a file does not exist."""
        sizes = self.stored_sizes.copy()
        for i in np.flatnonzero(~self.stored):
            try:
                sizes[i] = os.stat(self.paths[i]).st_size
            except OSError as error:
                raise unreadable(self.paths[i], error) from error
        return sizes

    @cached_property
    def own_kinds(self) -> dict[str, str]:
        """The kinds of own fields by name."""
        return {name: field.kind for name, field in own_fields(self.frame).items()}

    @property
    def run(self) -> dict | None:
        """The information of the run that gives predictions and scores; None without a run."""
        return self.view.fields.run_or_none()

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield all columns of the samples in chunks, as `View.chunks` does."""
        return self.view.chunks()

    def records(self) -> Iterator[dict]:
        """Yield all columns of the samples as one dict per sample."""
        for frame in self.frames():
            yield from frame.to_dict("records")

    def images(self, rows: np.ndarray | None = None) -> Iterator[tuple[int, ImageData]]:
        """Yield (row, image) of these rows, or of all. Raises StoppedError if stopped."""
        rows = np.arange(len(self)) if rows is None else rows
        for part in self._chunks(rows):
            if self.task.stop():
                raise StoppedError("the export was stopped, and nothing was written.")
            stored = part[self.stored[part]]
            data = dict(zip(stored.tolist(), self._load_stored(stored), strict=True))
            for i in part.tolist():
                yield i, data[i] if i in data else self.paths[i]
            if self.stage:
                self.stage.advance(len(part))

    def image_paths(
        self, folders: np.ndarray, unique: UniquePaths | None = None, in_class_folder: bool = False
    ) -> np.ndarray:
        """Return a unique relative path for each image, as objects (n,).

        folders: the folder of each image, as objects; None for an image without a path. Within it,
        an image keeps its path below the common folder of all images. in_class_folder: remove split
        and class from that path, because they are part of the folder. unique: the paths that are
        already used.
        """
        unique = unique or UniquePaths()
        relative = self._relative_paths(in_class_folder)
        paths = np.full(len(self), None, object)
        for i in np.argsort(self.ids, kind="stable").tolist():  # independent of the view's order
            if folders[i] is not None:
                paths[i] = unique.add(folders[i], relative[i], int(self.ids[i]))
        return paths

    def flat_image_paths(self, folder: str) -> np.ndarray:
        """Return a unique path for each image directly in one folder, as objects (n,).

        Class folders in an export that lists the labels would be another source of labels.
        """
        paths, unique = self.image_paths(np.full(len(self), "", object)), UniquePaths()
        for i in np.argsort(self.ids, kind="stable").tolist():
            paths[i] = unique.add(folder, [paths[i].rpartition("/")[2]], int(self.ids[i]))
        return paths

    def _chunks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Split rows into chunks that are limited in number and in bytes."""
        full = np.cumsum(np.maximum(self.stored_sizes[rows], 0)) // CHUNK_BYTES
        starts = np.flatnonzero(np.diff(full, prepend=-1))
        for begin, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            for start in range(begin, end, CHUNK_ROWS):
                yield rows[start : min(start + CHUNK_ROWS, end)]

    def _load_stored(self, rows: np.ndarray) -> list[bytes]:
        if not len(rows):
            return []
        return self.frame.take("samples", self.positions[rows], ["image"])["image"].to_pylist()

    def _relative_paths(self, in_class_folder: bool) -> list[list[str]]:
        """Return the parts of each image's path below the common folder, or below its class."""
        parts = [path.replace(os.sep, "/").strip("/").split("/") for path in self.paths]
        for mask in (self.stored, ~self.stored):  # names in an archive, and image files
            rows = np.flatnonzero(mask).tolist()
            common = _shared_parts({tuple(parts[i][:-1]) for i in rows})
            for i in rows:
                parts[i] = parts[i][common:]
        if in_class_folder:
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
        """Return a suffix for an image without one, from its content."""
        try:
            data = io.BytesIO(self._load_stored(np.array([row]))[0]) if self.stored[row] else None
            with Image.open(data or self.paths[row]) as image:
                return "." + image.format.lower().replace("jpeg", "jpg")
        except OSError:
            return ".png"


def _shared_parts(folders: set[tuple[str, ...]]) -> int:
    """Return how many leading parts are the same in all of these paths."""
    if not folders:
        return 0
    first, last = min(folders), max(folders)  # in sorted order, all others are between these two
    pairs = enumerate(zip(first, last, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(last)))


def stored_sizes(view: View) -> np.ndarray:
    """Return the bytes of each image stored in the dataset, int64, by position in the frame.

    MISSING for image files. The result is cached until samples change, because all stored images
    are read.
    """
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

    return frame.derived("stored sizes", ["samples", "annotations"], load)


def unreadable(path: str, error: OSError) -> DamagedError:
    """Return the error for an image whose file cannot be read."""
    return DamagedError(
        f"image {path} cannot be read ({error.strerror}): restore the file, or tag its sample "
        f"{REMOVED!r}. Nothing was written."
    )


def read_image(image: ImageData) -> bytes:
    """Return the bytes of an image. Raises LabelAuditError if its file cannot be read."""
    if isinstance(image, bytes):
        return image
    try:
        with open(image, "rb") as file:
            return file.read()
    except OSError as error:
        raise unreadable(image, error) from error
