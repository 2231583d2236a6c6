"""The part of a dataset that changes it: labels, tags, predictions, own fields, samples, views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike

from ..storage import schema
from ..storage.tables import Store
from . import added_predictions, edits, own_fields, saved_views
from .columns import Frame
from .history_log import write_meta
from .ingest import SampleReader
from .pending import batch_edits
from .view import View


class DatasetEdits:
    """The changes of a dataset."""

    _store: Store
    _columns: Frame

    @property
    def _frame(self) -> Frame:
        """Its columns, with the edits of `batch_edits` so far."""
        self._columns.flush()
        return self._columns

    # --- changing ---

    def batch_edits(self) -> AbstractContextManager[None]:
        """Return a block whose edits of labels, tags, own fields and predictions are collected, and
        stored in few commits: for loops over many samples.

            with dataset.batch_edits():
                for sample in dataset:
                    sample.tag("seen")

        Each edit is checked at once and raises its error at its line. Edits are stored at the end
        of the block (also if it ends with an error), when 20,000 are collected, at the first edit
        10 seconds after the last time, and before a view of this dataset is read; so a process that
        is killed loses no more. If storing fails, the error says how many edits were not stored.
        Samples show the edits at once; a prediction shows when it is stored. Other Dataset objects
        and processes see what is stored.
        """
        return batch_edits(self._columns)

    def set_labels(self, ids: Sequence[int], labels: str | Sequence[str | None] | None) -> int:
        """Set labels: one class name for all samples, or one each; None removes the label.

        The first label of a sample is preserved as `original_label`. Returns the number of samples
        that changed. Raises LabelAuditError, without any change, for an id or a class that does not
        exist, a class that was merged into another one, and an id that is given twice.
        """
        return edits.set_labels(self._columns, ids, labels)

    def tag(self, ids: Sequence[int], name: str) -> int:
        """Set a tag on samples. Returns the number that did not have it.

        Raises LabelAuditError for an id that does not exist, and for a name that is longer than 64
        characters or has a `;`, a line break, or blanks at its ends.
        """
        return edits.tag(self._columns, ids, name)

    def untag(self, ids: Sequence[int], name: str) -> int:
        """Remove a tag from samples. Returns the number that had it."""
        return edits.untag(self._columns, ids, name)

    def add_predictions(self, ids: Sequence[int] | np.ndarray, logits: ArrayLike, run: str) -> int:
        """Add a model's predictions of some samples to the imported run of this name.

        ids: int (n,). logits: scores before softmax, (n, C) in the order of `classes`, as an array
        or a torch tensor; for probabilities give their logarithm. The first call creates the run;
        each further one adds to it, and replaces predictions of the same ids only. In a loop, use
        `batch_edits`. Score the run with `labelaudit.compute_scores(dataset, run)` when all are
        added. `labelaudit.import_predictions` reads all predictions at once, from files too.

        The samples get the tag `processed`, as with every run. The run is used where none is named
        (`dataset.view()`) as soon as it is the latest one with predictions of at least half of the
        samples; until then, or always, name it: `dataset.view(run)`.

        Returns the number of samples. Raises BadInputError, without any change, for another shape,
        numbers that are not finite and a run that was created here; NotFoundError for an id that
        does not exist.
        """
        return added_predictions.add(self._columns, np.atleast_1d(ids), logits, run)

    # --- own fields ---

    @property
    def fields(self) -> dict[str, str]:
        """The kinds of the own fields by name: label, number, text, bool or date."""
        return {name: field.kind for name, field in own_fields.own_fields(self._columns).items()}

    def add_field(self, name: str, kind: str) -> None:
        """Add a field of your own, null for all samples. One of the same name and kind is kept.

        kind: "label" (class names, such as those of another annotator), "number", "text", "bool" or
        "date" (date, datetime or ISO text; UTC). Fields are attributes of a sample, columns of
        data frames and exports, and can be used in `View.match`, `sort_by` and `values`. Their
        changes are not recorded in the history.

        Raises BadInputError for an unknown kind, an unsuitable name, or an existing field of
        another kind.
        """
        own_fields.add(self._frame, name, kind)

    def drop_field(self, name: str) -> None:
        """Delete a field of your own with its values. Raises NotFoundError if there is none."""
        own_fields.drop(self._frame, name)

    def set_values(self, name: str, ids: Sequence[int] | np.ndarray, values: object) -> int:
        """Set values of an own field: one for all samples, or one each; None for null.

        ids: int (n,). values: one value, or a sequence or array (n,). Returns the number of
        samples. Raises NotFoundError for a field or an id that does not exist, and BadInputError
        for a value that does not fit, without any change.
        """
        return own_fields.set_values(self._columns, name, ids, values)

    def add_samples(
        self,
        samples: pd.DataFrame | pa.Table | Mapping | Iterable[Mapping] | Iterable[pa.RecordBatch],
    ) -> list[int]:
        """Add samples. Returns their ids.

        samples: a data frame, an Arrow table, a mapping of columns, or an iterable of mappings or
        of Arrow batches, with `filepath` or `image` (PIL image, encoded bytes, or uint8 array
        (H, W) or (H, W, 3)), and optionally `label` (class name), `split`, `tags`, `id` and own
        fields (see `add_field`). Image files are referenced, not copied or opened. New class names,
        also those of own fields, are appended to `classes`.

        Raises LabelAuditError, without any change, for an id that is taken or given twice, and for
        a row without an image, and a value that does not fit its field.
        """
        with self._columns.transaction():
            meta = self._frame.meta
            reader = SampleReader(meta["classes"], meta["next_id"], self._frame.ids, self.fields)
            rows = reader.read(samples)
            self._store.append("samples", rows, schema.SAMPLES)
            self._store.append("annotations", reader.annotations(), schema.ANNOTATIONS)
            meta = {**meta, "classes": reader.classes, "next_id": reader.next_id}
            write_meta(self._store, meta)
            own_fields.append_values(self._frame, reader.own_values())
        return reader.ids.tolist()

    # --- saved views ---

    @property
    def saved_views(self) -> list[str]:
        """Names of the saved views, oldest first."""
        return saved_views.names(self._frame)

    def save_view(self, name: str, view: View, overwrite: bool = False) -> None:
        """Save a view under a name: how it chooses and orders samples, not the samples, so it
        follows later changes.

        Raises BadInputError for an unsuitable name, one that is taken without `overwrite`, and a
        view of another dataset.
        """
        saved_views.save(self._frame, name, view, overwrite)

    def load_view(self, name: str) -> View:
        """Return a saved view. Raises NotFoundError if there is none of this name."""
        return saved_views.load(self._frame, name)

    def delete_view(self, name: str) -> None:
        """Delete a saved view; its samples are not touched. Raises NotFoundError if there is none
        of this name."""
        saved_views.delete(self._frame, name)
