"""One sample of a dataset. Its image and logits are read when they are first used."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from PIL import Image

from ..core.errors import DamagedError, NotFoundError
from ..core.images import UnreadableImageError, decode
from ..storage import schema
from . import edits
from .columns import Frame


@dataclass(frozen=True)
class Prediction:
    """One run's prediction for one sample."""

    run: str
    label: str
    confidence: float  # softmax probability of `label`, 0 to 1
    _id: int = field(repr=False)
    _batch: Batch = field(repr=False)

    @property
    def logits(self) -> np.ndarray:
        """Scores before softmax, float32 (C,)."""
        return self._batch.logits(self.run, self._id)


@dataclass
class Sample:
    """One image with its labels, tags, prediction and scores. Labels are class names or None."""

    id: int
    filepath: str
    split: str | None
    ground_truth: str | None
    original_label: str | None  # the label before any change; equals ground_truth if unchanged
    tags: tuple[str, ...]
    prediction: Prediction | None
    scores: dict[str, float | None]
    _batch: Batch = field(repr=False)

    @property
    def image(self) -> Image.Image:
        """The image, decoded at each access, upright according to its EXIF data.

        Raises DamagedError if its file is missing or cannot be read.
        """
        data = self._batch.image_bytes(self.id)
        try:
            return decode(self.filepath, data, scales=self._batch.frame.grey_scales)
        except UnreadableImageError as error:
            raise DamagedError(
                f"image {self.filepath} cannot be read ({error}): restore it, or load the "
                "dataset again."
            ) from error

    def __getitem__(self, field: str):
        """Return a field or a score by name: `sample["hardness"]`.

        Raises NotFoundError for another name.
        """
        if field in self.scores:
            return self.scores[field]
        if field.startswith("_") or field not in self.__dataclass_fields__:
            raise NotFoundError(
                f"sample {self.id} has no field {field!r}: it has "
                + ", ".join([*(f for f in self.__dataclass_fields__ if f[0] != "_"), *self.scores])
                + "."
            )
        return getattr(self, field)

    def tag(self, name: str) -> None:
        """Set a tag, also in the dataset."""
        edits.tag(self._batch.frame, [self.id], name)
        self.tags = tuple(sorted({*self.tags, name}))

    def untag(self, name: str) -> None:
        """Remove a tag, also in the dataset."""
        edits.untag(self._batch.frame, [self.id], name)
        self.tags = tuple(tag for tag in self.tags if tag != name)

    def set_label(self, label: str | None) -> None:
        """Set its label (None: remove it), also in the dataset."""
        edits.set_labels(self._batch.frame, [self.id], label)
        self.ground_truth = label


class Batch:
    """Samples that are read together: the first access to an image reads the images of all."""

    def __init__(self, frame: Frame, ids: np.ndarray) -> None:
        self.frame, self.ids = frame, ids
        self._images: dict[int, bytes | None] | None = None
        self._logits: dict[str, dict[int, np.ndarray]] = {}

    def image_bytes(self, sample_id: int) -> bytes | None:
        """Return a stored image, or None for an image in a file of its own."""
        if self._images is None:
            rows = self._take("samples", "image")
            self._images = dict(zip(rows["id"].to_pylist(), rows["image"].to_pylist(), strict=True))
        return self._images[sample_id]

    def logits(self, run: str, sample_id: int) -> np.ndarray:
        """Return a run's logits for a sample, float32 (C,)."""
        if run not in self._logits:
            table = schema.table("predictions", self.frame.run_info(run)["id"])
            rows = self._take(table, "logits")
            values = rows["logits"].combine_chunks().flatten().to_numpy()
            per_row = values.reshape(len(rows), -1)
            self._logits[run] = dict(zip(rows["id"].to_pylist(), per_row, strict=True))
        return self._logits[run][sample_id]

    def _take(self, table: str, column: str) -> pa.Table:
        with self.frame.steady():
            return self.frame.take(table, self.frame.positions(self.ids), [column])
