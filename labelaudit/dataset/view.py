"""A lazy selection of samples: match, sort, sample, limit. It is computed when it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from PIL import Image

from ..core.errors import BadInputError, LabelAuditError, NotFoundError
from ..storage.tables import Store
from . import edits
from .arrays import MISSING, as_ids
from .choosing import Choosing, describe, field_name, natural
from .columns import Frame
from .contact_sheet import contact_sheet
from .fields import Fields
from .pending import batch_edits
from .sample import Batch, Sample
from .table_access import steadily
from .view_steps import SLICES, STEPS
from .view_table import field_values, to_pandas

SCAN_ROWS = 50_000  # read at once from a whole view


@dataclass(frozen=True, repr=False)
class View(Choosing):
    """Samples of a dataset, chosen and ordered by `steps`. Immutable: each call returns a new view.

    run: name of the run that gives predictions and scores; None for the latest. `len(view)` counts
    the samples, `for sample in view` reads them in batches, `view[id]` is the sample of this id,
    and `view[10:20]` are those at these places. Unknown names raise LabelAuditError when the view
    is read.
    """

    frame: Frame
    steps: tuple[tuple, ...] = ()
    run: str | None = None

    def use_run(self, run: str) -> View:
        """Return the same samples with the predictions and scores of another run.

        Raises NotFoundError for a run that does not exist.
        """
        self.frame.run_info(run)  # raises NotFoundError
        return replace(self, run=run)

    # --- reading ---

    def __len__(self) -> int:
        return len(self.positions())

    def __getitem__(self, key):
        """Return the sample with this id, or for a slice the view of the samples at these places.

        Raises NotFoundError for an id that is not in the view.
        """
        if isinstance(key, slice):
            return self.slice(key)
        if not np.isin(as_ids([key]), self.ids).all():
            raise NotFoundError(f"the view has no sample with id {key}.")
        return self.take([key])[0]

    def __contains__(self, sample_id: object) -> bool:
        """Whether the view has a sample with this id."""
        return bool(np.isin(sample_id, self.ids).all())

    def __repr__(self) -> str:
        try:
            count = f"{len(self):,} of {len(self.frame.ids):,} samples"
        except LabelAuditError as error:
            count = f"cannot be read: {error}"
        parts = [describe(step) for step in self.steps] + [f"run {self.run}"] * bool(self.run)
        return f"View({self.name!r}: {count}{''.join(f', {part}' for part in parts)})"

    def __iter__(self) -> Iterator[Sample]:
        return self.iter_samples()

    @property
    @steadily
    def ids(self) -> np.ndarray:
        """Ids in the view's order, int64 (n,)."""
        return self.frame.ids[self.positions()]

    def head(self, n: int = 5) -> list[Sample]:
        """Return the first n samples as a list."""
        return list(self.limit(n).iter_samples())

    def first(self) -> Sample:
        """Return the first sample. Raises NotFoundError for an empty view."""
        return self._at(slice(0, 1))

    def last(self) -> Sample:
        """Return the last sample. Raises NotFoundError for an empty view."""
        return self._at(slice(-1, None))

    def iter_samples(self, batch_size: int = 256, autosave: bool = False) -> Iterator[Sample]:
        """Yield all samples in the view's order, reading `batch_size` at a time.

        Fields, images and logits are read on first access, for a whole batch at once.
        autosave: collect the edits of the loop and store them in few commits, as
        `Dataset.batch_edits` does. A `with` block of that says more if storing fails.
        """
        with batch_edits(self.frame) if autosave else nullcontext():
            ids = self.ids  # not positions: samples may be added between two batches
            for start in range(0, len(ids), batch_size):
                yield from self.take(ids[start : start + batch_size])

    def take(self, ids: Sequence[int] | np.ndarray) -> list[Sample]:
        """Return the samples with these ids, int64 (n,), in this order, also if not in the view."""
        return Batch(self.fields, np.asarray(ids, np.int64)).samples()

    def _at(self, part: slice) -> Sample:
        ids = self.ids[part]
        if not len(ids):
            raise NotFoundError("the view has no samples, so there is no first or last one.")
        return self.take(ids)[0]

    @steadily
    def values(self, field: str) -> np.ndarray:
        """Return one field of all samples, in the view's order, (n,).

        Names are objects (None for null), tags are tuples, numbers float64 (NaN for null), ids
        int64. Fields: id, filepath, split, ground_truth, original_label, prediction, confidence,
        suggested, suggested_p, finding, tags, width, height, scores by their names, own fields.
        """
        return field_values(self.fields, self.positions(), field_name(field))

    @steadily
    def count_values(self, field: str) -> dict[str, int]:
        """Count samples by ground_truth, prediction, split or tags.

        Raises BadInputError for a numeric field.
        """
        positions = self.positions()
        if field == "tags":
            counts = {tag: int(mask[positions].sum()) for tag, mask in self.frame.tags.items()}
            return {tag: counts[tag] for tag in sorted(counts) if counts[tag]}
        codes, names = self.fields.coded(field)
        if names is None:
            raise BadInputError(f"values of {field!r} are numbers and are not counted.")
        per_code = np.bincount(codes[positions] + 1, minlength=len(names) + 1)[1:]
        return dict(zip(names, per_code.tolist(), strict=True))

    @steadily
    def class_pairs(self) -> pd.DataFrame:
        """Count the pairs of given and predicted class that differ, most frequent first.

        Columns: ground_truth, predicted, count.
        """
        positions = self.positions()
        names = self.fields.classes
        given = self.frame.label[positions].astype(np.int64)
        predicted = self.fields.predictions()[positions]
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

    @steadily
    def to_pandas(self) -> pd.DataFrame:
        """Return the whole view, one row per sample.

        Columns: id, filepath, split, ground_truth, original_label, predicted, confidence, every
        score, tags; if there is a suspicion also suggested, suggested_p and finding; if the image
        quality was measured also image_issues, joined by ";".
        """
        frames = list(self.chunks())
        return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]

    def chunks(self, rows: int = SCAN_ROWS) -> Iterator[pd.DataFrame]:
        """Yield data frames of at most `rows` rows; one empty data frame for an empty view."""
        ids = self.ids
        for start in range(0, max(len(ids), 1), rows):
            yield self._to_pandas(ids[start : start + rows])

    def grid(self, n: int = 24, columns: int = 8, side: int = 96) -> Image.Image:
        """Draw the first n samples on one image: each with its id, the given class, and the
        predicted class if it differs.

        columns: samples per row. side: pixels of the square that each image is fitted into.
        Raises BadInputError for an empty view.
        """
        for number, name in ((n, "n"), (columns, "columns"), (side, "side")):
            if not natural(number, name):
                raise BadInputError(f"{name}=0: give a whole number, 1 or more.")
        samples = self.head(n)
        if not samples:
            raise BadInputError("the view has no samples, so there is nothing to show.")
        return contact_sheet(samples, columns, side)

    # --- changing ---

    def tag(self, name: str) -> int:
        """Set a tag on all samples of the view. Returns the number that did not have it."""
        return edits.tag(self.frame, self.ids, name)

    def untag(self, name: str) -> int:
        """Remove a tag from all samples of the view. Returns the number that had it."""
        return edits.untag(self.frame, self.ids, name)

    # --- for other modules of the library ---

    def suspicious(self) -> View:
        """Select the suspects by suspicion; see `scores.suspicion.is_suspect`."""
        return self.then("suspicious")

    def conflicts_first(self) -> View:
        """Move samples to the front that have an exact copy under another label, if their own label
        is at least as probably wrong as right by suspicion."""
        return self.then("conflicts_first")

    @property
    def store(self) -> Store:
        """The dataset's tables."""
        return self.frame.store

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.frame.name

    @property
    def uri(self) -> str:
        """Where the dataset's tables are."""
        return self.frame.uri

    def steady(self) -> AbstractContextManager[None]:
        """Return a block in which all reads of this thread are consistent."""
        self.frame.flush()
        return self.frame.steady()

    @steadily
    def positions(self) -> np.ndarray:
        """Return positions in the frame, int64 (n,), in the view's order."""
        if not self.steps:
            return np.arange(len(self.frame.ids))
        *before, step = self.steps
        parent = replace(self, steps=tuple(before))
        name, *arguments = step

        def compute() -> np.ndarray:
            return STEPS[name](self.fields, parent.positions(), *arguments)

        if name in SLICES:
            return compute()
        return self.frame.selection((self.steps, self.run), self.fields.stamp(), compute)

    @property
    def fields(self) -> Fields:
        """Arrays by field name, for the view's run."""
        return Fields(self.frame, self.run)

    def score_names(self) -> list[str]:
        """Return the names of the run's scores; none without a run."""
        return self.fields.score_names()

    @steadily
    def _to_pandas(self, ids: np.ndarray) -> pd.DataFrame:
        return to_pandas(self.fields, ids)

    def then(self, *step: object) -> View:
        """Return the view with one more step; see `view_steps`."""
        return replace(self, steps=(*self.steps, step))
