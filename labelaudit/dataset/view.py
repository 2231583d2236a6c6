"""A lazy selection of samples: match, sort, sample, limit. It is computed when it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
import pandas as pd
from PIL import Image

from ..core.errors import BadInputError, NotFoundError
from ..storage.tables import Store
from . import edits
from .arrays import MISSING, as_ids
from .columns import Frame
from .contact_sheet import contact_sheet
from .fields import Fields
from .image_issues import check_issues
from .pending import batch_edits
from .sample import Batch, Sample
from .table_access import steadily
from .view_steps import SLICES, STEPS
from .view_table import field_values, to_pandas

SCAN_ROWS = 50_000  # read at once from a whole view


@dataclass(frozen=True)
class View:
    """Samples of a dataset, chosen and ordered by `steps`. Immutable: each call returns a new view.

    run: name of the run that gives predictions and scores; None for the latest. `len(view)` counts
    the samples, `for sample in view` reads them in batches. Unknown names raise LabelAuditError
    when the view is read.
    """

    frame: Frame
    steps: tuple[tuple, ...] = ()
    run: str | None = None

    # --- choosing ---

    def use_run(self, run: str) -> View:
        """Return the same samples with the predictions and scores of another run.

        Raises NotFoundError for a run that does not exist.
        """
        self.frame.run_info(run)  # raises NotFoundError
        return replace(self, run=run)

    def match_tag(self, *tags: str) -> View:
        """Select samples that have any of these tags."""
        return self._then("match_tag", tags)

    def exclude_tag(self, *tags: str) -> View:
        """Select samples that have none of these tags."""
        return self._then("exclude_tag", tags)

    def match(
        self,
        *,
        label: str | Sequence[str] | None = None,
        split: str | Sequence[str] | None = None,
        prediction: str | Sequence[str] | None = None,
        suggested: str | Sequence[str] | None = None,
        image_issue: str | Sequence[str] | None = None,
        wrong: bool | None = None,
    ) -> View:
        """Select samples that meet all given conditions.

        label, split, prediction: one name or several. suggested: the same for the class that
        suspicion suggests. image_issue: "dark", "bright", "blurred", "low information", "odd
        shape", "odd size" or "grey"; several select samples with any of them. wrong: True for
        samples with a prediction that differs from their given label, False for those where both
        agree. Samples without a label or a prediction are neither.
        """
        view = self
        conditions = {
            "label": label,
            "split": split,
            "prediction": prediction,
            "suggested": suggested,
            "image_issue": image_issue,
        }
        for kind, names in conditions.items():
            if names is None:
                continue
            names = (names,) if isinstance(names, str) else tuple(names)
            if kind == "image_issue":
                check_issues(names)
            view = view._then(kind, names)
        return view if wrong is None else view._then("wrong", bool(wrong))

    def above(self, field: str, value: float) -> View:
        """Select samples with a score (or `confidence`) greater than `value`."""
        return self._then("above", field, float(value))

    def between(self, field: str, low: float, high: float) -> View:
        """Select samples with a score (or `confidence`) from `low` to `high`, both included."""
        return self._then("between", field, float(low), float(high))

    def select(self, ids: Sequence[int]) -> View:
        """Select the samples of this view with these ids, in the view's order."""
        return self._then("select", tuple(as_ids(ids).tolist()))

    def sort_by(self, field: str, reverse: bool = False) -> View:
        """Sort by id, split, ground_truth, prediction, confidence or a score; nulls last."""
        return self._then("sort_by", field, bool(reverse))

    def sample(self, n: int, seed: int | None = None) -> View:
        """Select at most n samples in random order. Without a seed, one is drawn for this view."""
        if seed is not None:
            _natural(seed, "seed")
        else:
            seed = int(np.random.default_rng().integers(2**31))
        return self._then("sample", _natural(n, "sample"), seed)

    def limit(self, n: int) -> View:
        """Select the first n samples, or all if there are fewer."""
        return self._then("limit", _natural(n, "limit"))

    def skip(self, n: int) -> View:
        """Select the samples after the first n."""
        return self._then("skip", _natural(n, "skip"))

    # --- reading ---

    def __len__(self) -> int:
        return len(self.positions())

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

    def take(self, ids: np.ndarray) -> list[Sample]:
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
        tags, scores.
        """
        return field_values(self.fields, self.positions(), field)

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
            if not _natural(number, name):
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
        return self._then("suspicious")

    def conflicts_first(self) -> View:
        """Move samples to the front that have an exact copy under another label, if their own label
        is at least as probably wrong as right by suspicion."""
        return self._then("conflicts_first")

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

    def _then(self, *step) -> View:
        return replace(self, steps=(*self.steps, step))


def _natural(n: int, what: str) -> int:
    """Return n as an int. Raises BadInputError unless it is a whole number of 0 or more."""
    if not isinstance(n, Integral) or n < 0:
        raise BadInputError(f"{what}({n!r}): give a whole number, 0 or more.")
    return int(n)
