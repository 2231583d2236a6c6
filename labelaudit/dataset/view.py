"""A lazy selection of samples: match, sort, sample, limit. It is computed when it is read."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np

from ..core.errors import LabelAuditError, NotFoundError
from ..storage.tables import Store
from . import edits
from .arrays import as_ids
from .choosing import describe
from .columns import Frame
from .fields import Fields
from .reading import Reading
from .table_access import steadily
from .view_steps import SLICES, STEPS


@dataclass(frozen=True, repr=False)
class View(Reading):
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

    def view(self, run: str | None = None) -> View:
        """Return the view itself, or with the predictions and scores of `run`."""
        return self if run is None else self.use_run(run)

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
            place = ": for the first sample by place use view.first(), or view[0:1]."
            raise NotFoundError(
                f"the view has no sample with id {key}{place if key in (0, -1) else '.'}"
            )
        return self.samples([key])[0]

    def __repr__(self) -> str:
        try:
            count = f"{len(self):,} of {len(self.frame.ids):,} samples"
        except LabelAuditError as error:
            count = f"cannot be read: {error}"
        parts = [describe(step) for step in self.steps] + [f"run {self.run}"] * bool(self.run)
        return f"View({self.name!r}: {count}{''.join(f', {part}' for part in parts)})"

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

    def then(self, *step: object) -> View:
        """Return the view with one more step; see `view_steps`."""
        return replace(self, steps=(*self.steps, step))
