"""One sample of a dataset. Its fields are read when they are first used, for a batch at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Never

import numpy as np
import pyarrow as pa
from PIL import Image

from ..core.errors import BadInputError, DamagedError
from ..core.images import UnreadableImageError, decode
from ..storage import schema
from . import added_predictions, edits, own_fields
from .fields import Fields
from .hints import hint, missing
from .own_fields import NoFieldError
from .view_table import field_values


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


class Tags(tuple[str, ...]):
    """Names of tags, sorted. `sample.tags += ["x"]` adds some."""

    __slots__ = ()

    def __add__(self, names):
        if isinstance(names, str):  # its letters would become tags
            raise BadInputError(f"tags + {names!r}: give a list of names, such as [{names!r}].")
        return Tags((*self, *names))

    def __getattr__(self, name: str) -> Never:
        raise missing(self, name)


class Sample:
    """One image with its `id` (int), labels, tags, prediction, scores and own fields.

    Labels are class names or None. Own fields (see `Dataset.add_field`) are attributes too:
    `sample.human_a`, or `sample["human_a"]`. What is assigned is stored in the dataset at once, or
    in few commits within `Dataset.batch_edits`. Another attribute raises NotFoundError, and a value
    that does not fit BadInputError. `"age" in sample` says whether it has a field, and
    `dict(sample)` are all fields by name.
    """

    __slots__ = ("_batch", "_row", "id")

    FIELDS = (
        "id", "filepath", "split", "ground_truth", "original_label", "tags", "prediction",
        "scores",
    )  # fmt: skip

    id: int

    def __init__(self, sample_id: int, batch: Batch, row: int) -> None:
        """row: its place in the batch."""
        for name, value in (("id", sample_id), ("_batch", batch), ("_row", row)):
            object.__setattr__(self, name, value)

    @property
    def filepath(self) -> str:
        """Path of its image; only a name if the dataset stores the image."""
        return self._get("filepath")

    @property
    def split(self) -> str | None:
        """Its split."""
        return self._get("split")

    @property
    def original_label(self) -> str | None:
        """The label before any change; equals `ground_truth` if unchanged."""
        return self._get("original_label")

    @property
    def ground_truth(self) -> str | None:
        """The label under audit. Assign a class name, or None to remove it."""
        return self._get("ground_truth")

    @ground_truth.setter
    def ground_truth(self, label: str | None) -> None:
        self.set_label(label)

    @property
    def tags(self) -> Tags:
        """Its tags, sorted. Assign names to replace them; `tag` and `untag` change one."""
        return Tags(self._get("tags"))

    @tags.setter
    def tags(self, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise BadInputError(f"tags={names!r}: give several names, such as [{names!r}].")
        new, old = {edits.check_tag(name) for name in names}, set(self.tags)
        for name in sorted(new - old):
            self.tag(name)
        for name in sorted(old - new):
            self.untag(name)

    @property
    def prediction(self) -> Prediction | None:
        """What the view's run predicts for it."""
        run = self._batch.run
        label = self._batch.value("prediction", self._row) if run else None
        if label is None:
            return None
        confidence = self._batch.value("confidence", self._row)
        return Prediction(run["name"], label, confidence, self.id, self._batch)

    @property
    def scores(self) -> dict[str, float | None]:
        """The scores of the view's run by name; None for a score that it does not have."""
        return {name: self._batch.value(name, self._row) for name in self._batch.scores}

    @property
    def image(self) -> Image.Image:
        """The image, decoded at each access, upright according to its EXIF data.

        Raises DamagedError if its file is missing or cannot be read.
        """
        return self.reduced_image(None)

    def reduced_image(self, side: int | None) -> Image.Image:
        """Return `image`, with fewer pixels if it is large and that is faster: about `side` or more
        in each direction. A photograph of 12 million pixels takes a quarter of the time.

        Raises DamagedError if its file is missing or cannot be read.
        """
        data = self._batch.image_bytes(self.id)
        try:
            return decode(self.filepath, data, side, self._batch.frame.grey_scales)
        except UnreadableImageError as error:
            raise DamagedError(
                f"image {self.filepath} cannot be read ({error}): restore it, or load the "
                "dataset again."
            ) from error

    def __getitem__(self, field: str):
        """Return a field or a score by name: `sample["hardness"]`.

        Raises NotFoundError for another name.
        """
        if field in self.FIELDS:
            return getattr(self, field)
        if field in self._batch.scores:
            return self._batch.value(field, self._row)
        if self._batch.has(field):
            return self._get(field)
        raise self._no_field(field)

    def keys(self) -> list[str]:
        """Return the names of all its fields."""
        return [*self.FIELDS, *self._batch.own, *self._batch.scores]

    def __contains__(self, field: object) -> bool:
        """Return whether it has a field or a score of this name."""
        return field in self.keys()

    def __setitem__(self, field: str, value) -> None:
        """Set a field by name, also in the dataset. Raises as assigning an attribute does."""
        setattr(self, field, value)

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise missing(self, name)
        if self._batch.has(name):
            return self._get(name)
        if name in self._batch.scores:
            return self[name]
        raise self._no_field(name)

    def save(self) -> None:
        """Do nothing: every edit of a sample is stored at once, or by `Dataset.batch_edits`."""

    def __setattr__(self, name: str, value) -> None:
        if name in ("ground_truth", "tags"):
            object.__setattr__(self, name, value)
        elif name in self.FIELDS or name in self._batch.scores or name == "image":
            raise BadInputError(
                f"{name} of a sample cannot be assigned: only ground_truth, tags and own fields "
                "can be."
            )
        elif self._batch.has(name):
            self.set_field(name, value)
        else:
            raise self._no_field(name)

    def __eq__(self, other) -> bool:
        return isinstance(other, Sample) and (self._key(), self._batch.frame.uri) == (
            other._key(),
            other._batch.frame.uri,
        )

    def __hash__(self) -> int:
        return hash((self._batch.frame.uri, self.id))

    def _key(self) -> tuple:
        return self.id, *(self[name] for name in self.FIELDS[1:6])

    def __repr__(self) -> str:
        parts = [f"{self.id}", f"ground_truth={self.ground_truth!r}"]
        if self.original_label != self.ground_truth:
            parts.append(f"original_label={self.original_label!r}")
        if self.prediction is not None:
            parts.append(f"predicted={self.prediction.label!r} ({self.prediction.confidence:.0%})")
        parts += [f"tags={list(self.tags)}"] if self.tags else []
        own = {name: self._get(name) for name in self._batch.own}
        parts += [f"{name}={value!r}" for name, value in own.items() if value is not None]
        return f"Sample({', '.join(parts)}, {self.filepath!r})"

    # --- changing ---

    def tag(self, name: str) -> None:
        """Set a tag, also in the dataset."""
        edits.tag(self._batch.frame, (self.id,), name)
        self._changed("tags", lambda tags: tuple(sorted({*tags, name})))

    def untag(self, name: str) -> None:
        """Remove a tag, also in the dataset."""
        edits.untag(self._batch.frame, (self.id,), name)
        self._changed("tags", lambda tags: tuple(tag for tag in tags if tag != name))

    def set_label(self, label: str | None) -> None:
        """Set its label (None: remove it), also in the dataset."""
        edits.set_labels(self._batch.frame, (self.id,), [label])
        self._changed("ground_truth", lambda _: label)

    def set_field(self, name: str, value: object) -> None:
        """Set an own field, also in the dataset. Raises NotFoundError if there is no such field,
        and BadInputError for a value that does not fit its kind."""
        own_fields.set_values(self._batch.frame, name, (self.id,), [value])
        self._batch.forget(name)

    def add_prediction(self, logits: Sequence[float] | np.ndarray, run: str) -> None:
        """Add a model's logits, (C,) in the order of the classes, for this sample to a run.

        See `Dataset.add_predictions`. Label and confidence follow from the logits.
        """
        added_predictions.add(self._batch.frame, (self.id,), logits, run)

    # --- reading ---

    def _get(self, field: str):
        stored, pending = self._batch.value(field, self._row), self._batch.frame.pending
        return stored if pending is None else pending.over(field, self.id, stored)

    def _changed(self, field: str, change) -> None:
        column = self._batch.columns.get(field)
        if column is not None:
            column[self._row] = change(column[self._row])

    def _no_field(self, name: str) -> NoFieldError:
        use = hint(name)
        return NoFieldError(
            f"sample {self.id} has no field {name!r}: "
            + (
                f"{use}."
                if use
                else f"it has {', '.join(self.keys())}; dataset.add_field({name!r}, kind) adds one."
            )
        )


class Batch:
    """Samples that are read together: the first access to a field reads it for all."""

    def __init__(self, fields: Fields, ids: np.ndarray) -> None:
        self.fields, self.frame, self.ids = fields, fields.frame, ids
        self.columns: dict[str, list] = {}
        self._images: dict[int, bytes | None] | None = None
        self._logits: dict[str, dict[int, np.ndarray]] = {}
        self._known: dict[str, object] = {}

    def samples(self) -> list[Sample]:
        """Return its samples, in the order of the ids."""
        return [Sample(sample_id, self, row) for row, sample_id in enumerate(self.ids.tolist())]

    def read(self) -> Batch:
        """Read everything but own fields, images and logits now, in one consistent reading."""
        names = list(Sample.FIELDS[1:6])
        with self.frame.store.steady():
            if self.run:
                names += ["prediction", "confidence", *self.scores]
            for name in names:
                self.column(name)
        return self

    @property
    def run(self) -> dict | None:
        """The run of the view; None if no run has predictions."""
        return self._once("run", self.fields.run_or_none)

    @property
    def scores(self) -> list[str]:
        """Names of the run's scores."""
        return self._once("scores", self.fields.score_names)

    @property
    def own(self) -> dict[str, own_fields.FieldInfo]:
        """The user's fields, as of the first access."""
        return self._once("own", lambda: own_fields.own_fields(self.frame))

    def has(self, name: str) -> bool:
        """Return whether there is an own field of this name, also if it was added meanwhile."""
        if name not in self.own:
            self._known.pop("own")
        return name in self.own

    def _once(self, name: str, read):
        if name not in self._known:
            self._known[name] = read()
        return self._known[name]

    def column(self, field: str) -> list:
        """Return a field of all samples, as Python values; None for null."""
        if field not in self.columns:
            with self.frame.store.steady():
                values = field_values(self.fields, self.frame.positions(self.ids), field)
            if values.dtype.kind == "f":
                values = np.where(np.isnan(values), None, values)
            self.columns[field] = values.tolist()
        return self.columns[field]

    def value(self, field: str, row: int):
        """Return a field of one sample."""
        return self.column(field)[row]

    def forget(self, field: str) -> None:
        """Read a field again at the next access."""
        self.columns.pop(field, None)

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
        with self.frame.store.steady():
            return self.frame.take(table, self.frame.positions(self.ids), [column])
