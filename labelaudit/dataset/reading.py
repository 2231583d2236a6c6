"""How the samples of a view, or all samples of a dataset, are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from ..core.errors import BadInputError, NotFoundError
from .arrays import MISSING
from .choosing import Choosing, field_name, natural
from .contact_sheet import contact_sheet
from .formula import Formula
from .pending import batch_edits
from .sample import Batch, Sample
from .view_table import field_values, to_pandas

if TYPE_CHECKING:
    pass

SCAN_ROWS = 50_000  # read at once from a whole view


class Reading(Choosing):
    """The part of a view, or of a dataset, that reads its samples."""

    def __iter__(self) -> Iterator[Sample]:
        return self.iter_samples()

    def __contains__(self, sample_id: object) -> bool:
        """Whether there is a sample with this id."""
        return bool(np.isin(sample_id, self.ids).all())

    @property
    def ids(self) -> np.ndarray:
        """Ids in order, int64 (n,)."""
        view = self.view()
        with view.steady():
            return view.frame.ids[view.positions()]

    def iter_samples(self, batch_size: int = 256, autosave: bool = False) -> Iterator[Sample]:
        """Yield all samples in order, reading `batch_size` at a time.

        Fields, images and logits are read on first access, for a whole batch at once.
        autosave: collect the edits of the loop and store them in few commits, as
        `Dataset.batch_edits` does. A `with` block of that says more if storing fails. Without it,
        each edit is stored at once.
        """
        view = self.view()
        with batch_edits(view.frame) if autosave else nullcontext():
            ids = view.ids  # not positions: samples may be added between two batches
            for start in range(0, len(ids), batch_size):
                yield from view.samples(ids[start : start + batch_size])

    def samples(self, ids: Sequence[int] | np.ndarray) -> list[Sample]:
        """Return the samples with these ids, int64 (n,), in this order, also if not in the view."""
        return Batch(self.view().fields, np.asarray(ids, np.int64)).samples()

    def head(self, n: int = 5) -> list[Sample]:
        """Return the first n samples as a list."""
        return list(self.limit(n).iter_samples())

    def first(self) -> Sample:
        """Return the first sample. Raises NotFoundError if there are none."""
        return self._at(slice(0, 1))

    def last(self) -> Sample:
        """Return the last sample. Raises NotFoundError if there are none."""
        return self._at(slice(-1, None))

    def _at(self, part: slice) -> Sample:
        ids = self.ids[part]
        if not len(ids):
            raise NotFoundError("the view has no samples, so there is no first or last one.")
        return self.samples(ids)[0]

    def values(self, field: str | Formula) -> np.ndarray:
        """Return one field of all samples, in order, (n,).

        Names are objects (None for null), tags are tuples, numbers float64 (NaN for null), ids
        int64. Fields: id, filepath, split, ground_truth, original_label, prediction, confidence,
        suggested, suggested_p, finding, tags, width, height, scores by their names, own fields. Or
        a calculation: `values(F("width") * F("height"))`.
        """
        view = self.view()
        with view.steady():
            positions = view.positions()
            if isinstance(field, Formula):
                return field.calculation.numbers(view.fields)[positions]
            return field_values(view.fields, positions, field_name(field))

    def count_values(self, field: str) -> dict[str, int]:
        """Count samples by ground_truth, prediction, split, tags or an own field with names.

        Raises BadInputError for a field of numbers.
        """
        view, field = self.view(), field_name(field)
        with view.steady():
            positions = view.positions()
            if field == "tags":
                counts = {tag: int(mask[positions].sum()) for tag, mask in view.frame.tags.items()}
                return {tag: counts[tag] for tag in sorted(counts) if counts[tag]}
            codes, names = view.fields.coded(field)
            if names is None:
                raise BadInputError(
                    f"values of {field!r} are numbers and are not counted: use distinct, or bounds."
                )
            per_code = np.bincount(codes[positions] + 1, minlength=len(names) + 1)[1:]
            return dict(zip(names, per_code.tolist(), strict=True))

    def distinct(self, field: str | Formula) -> list:
        """Return the different values of a field that occur, sorted, without null; of tags, their
        names."""
        values = self.values(field)
        if values.dtype == object and len(values) and isinstance(values[0], tuple):
            return sorted({tag for tags in values for tag in tags})
        if values.dtype == object:
            return sorted({value for value in values if value is not None})
        return np.unique(values[values == values]).tolist()  # NaN and NaT differ from themselves

    def bounds(self, field: str | Formula) -> tuple[float, float] | tuple[None, None]:
        """Return the least and the greatest value of a field of numbers; None without values.

        Raises BadInputError for a field of names.
        """
        values = self._numbers(field, "bounds")
        return (float(values.min()), float(values.max())) if len(values) else (None, None)

    def mean(self, field: str | Formula) -> float | None:
        """Return the mean of a field of numbers, without null; None without values.

        Raises BadInputError for a field of names.
        """
        values = self._numbers(field, "mean")
        return float(values.mean()) if len(values) else None

    def sum(self, field: str | Formula) -> float:
        """Return the sum of a field of numbers, without null. Raises BadInputError for names."""
        return float(self._numbers(field, "sum").sum())

    def _numbers(self, field: str | Formula, what: str) -> np.ndarray:
        """Return the numbers of a field that are not null."""
        values = self.values(field)
        if values.dtype.kind not in "iuf":
            raise BadInputError(f"{what}({field!r}): this field does not hold numbers.")
        return values[~np.isnan(values)]

    def class_pairs(self) -> pd.DataFrame:
        """Count the pairs of given and predicted class that differ, most frequent first.

        Columns: ground_truth, predicted, count.
        """
        view = self.view()
        with view.steady():
            positions, names = view.positions(), view.fields.classes
            given = view.frame.label[positions].astype(np.int64)
            predicted = view.fields.predictions()[positions]
        differ = (given != MISSING) & (predicted != MISSING) & (given != predicted)
        counts = np.bincount(
            given[differ] * len(names) + predicted[differ], minlength=len(names) ** 2
        )
        pairs = np.flatnonzero(counts)
        pairs = pairs[np.argsort(-counts[pairs], kind="stable")]
        return pd.DataFrame(
            {
                "ground_truth": [names[p // len(names)] for p in pairs],
                "predicted": [names[p % len(names)] for p in pairs],
                "count": counts[pairs],
            }
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return all samples, one row each.

        Columns: id, filepath, split, ground_truth, original_label, predicted, confidence, every
        score, tags; if there is a suspicion also suggested, suggested_p and finding; if the image
        quality was measured also image_issues, joined by ";".
        """
        view = self.view()
        with view.steady():
            frames = list(view.chunks())
        return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]

    def chunks(self, rows: int = SCAN_ROWS) -> Iterator[pd.DataFrame]:
        """Yield data frames of at most `rows` rows; one empty data frame without samples."""
        view = self.view()
        ids = view.ids
        for start in range(0, max(len(ids), 1), rows):
            with view.steady():
                part = to_pandas(view.fields, ids[start : start + rows])
            yield part

    def grid(self, n: int = 24, columns: int = 8, side: int = 96) -> Image.Image:
        """Draw the first n samples on one image: each with its id, the given class, and the
        predicted class if it differs.

        columns: samples per row. side: pixels of the square that each image is fitted into.
        Raises BadInputError if there are no samples.
        """
        for number, name in ((n, "n"), (columns, "columns"), (side, "side")):
            if not natural(number, name):
                raise BadInputError(f"{name}=0: give a whole number, 1 or more.")
        samples = self.head(n)
        if not samples:
            raise BadInputError("the view has no samples, so there is nothing to show.")
        return contact_sheet(samples, columns, side)
