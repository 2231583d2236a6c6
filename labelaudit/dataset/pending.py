"""Edits that are collected in memory and stored in few commits: `Dataset.batch_edits`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from ..core.errors import LabelAuditError, NotFoundError
from ..core.plural import counted
from . import added_predictions, edits, history_log, own_fields
from .arrays import MISSING, as_ids
from .columns import Frame
from .history_log import Cause

# The collected edits are stored when there are this many, or at the first edit after this time.
# So a process that is killed loses no more than that.
MOST_EDITS = 20_000
MOST_SECONDS = 10.0


@contextmanager
def batch_edits(frame: Frame) -> Iterator[None]:
    """Collect the edits of this block; see `Dataset.batch_edits`."""
    if frame.pending is not None:  # the outer block stores them
        yield
        return
    pending = frame.pending = PendingEdits(frame)
    try:
        yield
    finally:
        try:
            pending.flush()
        except LabelAuditError as error:
            raise type(error)(f"{error} {pending.loss()}") from error
        except BaseException as error:
            error.add_note(pending.loss())
            raise
        finally:
            frame.pending = None


class PendingEdits:
    """Edits of labels, tags, own fields and predictions that are not stored yet.

    Each is checked when it is made, so that an error is raised at its line. A later edit of the
    same value replaces an earlier one.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.count = self.stored = 0  # edits
        self._created = frame.meta["created"]
        self._lock = threading.RLock()
        self._clear()
        self._look()

    def _clear(self) -> None:
        self.count, self._since = 0, 0.0
        self.label: dict[int, int] = {}  # class index by id
        self.tags: dict[str, dict[int, bool]] = {}
        self.values: dict[str, dict[int, object]] = {}  # as they are stored, by field
        self.predictions: dict[str, dict[int, np.ndarray]] = {}  # logits by run

    def _look(self) -> None:
        """Read what the edits are compared with."""
        frame = self.frame
        with frame.store.steady():
            self._ids, self._label, self._tags = frame.ids, frame.label, frame.tags
            self.classes, self.fields = frame.classes, own_fields.own_fields(frame)
            self._meta, hidden = frame.stamp("meta"), edits.not_offered(frame)
        codes = {name: code for code, name in enumerate(self.classes) if name not in hidden}
        self._codes = codes | {None: MISSING}
        self._checkers = {
            name: own_fields.checker(name, field.kind, self.classes, frame.name)
            for name, field in self.fields.items()
        }
        self._widths: dict[str, int] = {}

    # --- editing ---

    def tag(self, ids: Sequence[int] | np.ndarray, name: str, present: bool) -> int:
        """Set or remove a tag. Returns the number of samples that change."""
        with self._lock:
            new = self.tags.setdefault(name, {})
            mask, changed = self._tags.get(name), 0
            for sample_id, at in self._places(ids):
                before = new.get(sample_id, bool(mask[at]) if mask is not None else False)
                new[sample_id] = present
                changed += before != present
            self._counted(len(ids))
        return changed

    def _look_again(self) -> None:
        """Read the classes and fields again if they were changed meanwhile."""
        if self.frame.stamp("meta") != self._meta:
            self._look()

    def set_labels(self, ids: Sequence[int] | np.ndarray, names: Sequence[str | None]) -> int:
        """Set class names, one for each id. Returns the number of samples that change."""
        with self._lock:
            self._look_again()
            try:
                codes = [self._codes[name] for name in names]
            except (KeyError, TypeError):
                codes = edits.label_codes(self.frame, names).tolist()  # raises BadInputError
            changed = 0
            for (sample_id, at), code in zip(self._places(ids), codes, strict=True):
                before = self.label.get(sample_id)
                changed += (self._label[at] if before is None else before) != code
                self.label[sample_id] = code
            self._counted(len(codes))
        return changed

    def set_values(self, name: str, ids: Sequence[int] | np.ndarray, values: Sequence) -> int:
        """Set values of an own field, one for each id. Returns the number of samples."""
        with self._lock:
            self._look_again()
            if name not in self.fields:
                own_fields.find(self.frame, name)  # raises NotFoundError, unless it is new
                self._look()
            check = self._checkers[name]
            checked = [check(value) for value in values]
            new = self.values.setdefault(name, {})
            for (sample_id, _), value in zip(self._places(ids), checked, strict=True):
                new[sample_id] = value
            self._counted(len(checked))
        return len(checked)

    def add_predictions(self, ids: Sequence[int] | np.ndarray, logits: np.ndarray, run: str) -> int:
        """Add logits, float32 (n, C), to a run. Returns the number of samples."""
        with self._lock:
            if run not in self._widths:
                found = added_predictions.target(self.frame, run)
                self._widths[run] = len(found.classes if found else self.classes)
            rows = added_predictions.checked(ids, logits, self._widths[run])
            new = self.predictions.setdefault(run, {})
            for (sample_id, _), row in zip(self._places(ids), rows, strict=True):
                new[sample_id] = row
            self._counted(len(rows))
        return len(rows)

    def has(self, sample_id: int) -> bool:
        """Return whether there was a sample of this id when edits were last stored."""
        at = self._ids.searchsorted(sample_id)
        return bool(at < len(self._ids) and self._ids[at] == sample_id)

    def _places(self, ids: Sequence[int] | np.ndarray) -> list[tuple[int, int]]:
        """Return each id with its position. Raises NotFoundError for a missing id."""
        if len(ids) == 1:
            place = int(self._ids.searchsorted(ids[0]))
            if place < len(self._ids) and self._ids[place] == ids[0]:
                return [(int(ids[0]), place)]
        wanted = as_ids(ids)
        at = np.searchsorted(self._ids, wanted)
        known = at < len(self._ids)
        known[known] = self._ids[at[known]] == wanted[known]
        if not known.all():
            at = self.frame.positions(wanted)  # raises NotFoundError, unless samples were added
            self._look()
        return list(zip(wanted.tolist(), at.tolist(), strict=True))

    def _counted(self, edits: int) -> None:
        self.count += edits
        now = time.monotonic()
        self._since = self._since or now
        if self.count >= MOST_EDITS or now - self._since > MOST_SECONDS:
            self.flush()

    # --- what is not stored yet ---

    def over(self, field: str, sample_id: int, stored):
        """Return the value of a sample's field after these edits. stored: the value before them."""
        if field == "ground_truth":
            code = self.label.get(sample_id)
            return stored if code is None else None if code == MISSING else self.classes[code]
        if field == "tags":
            tags = set(stored)
            for name, new in self.tags.items():
                if sample_id in new:
                    (tags.add if new[sample_id] else tags.discard)(name)
            return tuple(sorted(tags))
        if sample_id not in self.values.get(field, ()):
            return stored
        value = self.values[field][sample_id]
        return own_fields.loaded(self.fields[field], value, self.classes)

    # --- storing ---

    def flush(self) -> None:
        """Store the edits now. After an error they are still here."""
        with self._lock:
            if not self.count:
                return
            self.frame.pending = None  # what is written now is not collected again
            try:
                self._check_dataset()
                for run in list(self.predictions):
                    new = self.predictions[run]
                    logits = np.stack(list(new.values()))
                    added_predictions.store(self.frame, _ids(new), logits, run)
                    del self.predictions[run]  # each run is a commit of its own
                with self.frame.transaction():
                    self._write()
            finally:
                self.frame.pending = self
            self.stored += self.count
            self._clear()
            self._look()

    def loss(self) -> str:
        """Return a sentence on the edits that could not be stored."""
        lost = counted(self.count, "edit", "of this block was", "of this block were")
        before = counted(self.stored, "earlier edit", "was", "were")
        return f"{lost} not stored{f'; {before}' if self.stored else ''}."

    def _write(self) -> None:
        frame = self.frame
        if self.label:
            codes = np.fromiter(self.label.values(), np.int32, len(self.label))
            edits.change(
                frame,
                _ids(self.label),
                lambda rows: rows.set_label(codes),
                Cause(history_log.RELABEL),
            )
        for name, new in self.tags.items():
            present = np.fromiter(new.values(), bool, len(new))
            ids = _ids(new)
            edits.tag(frame, ids[present], name)
            edits.untag(frame, ids[~present], name)
        known = own_fields.own_fields(frame)
        for name, new in self.values.items():
            if known.get(name) != self.fields[name]:
                raise NotFoundError(f"field {name!r} of dataset {frame.name!r} was dropped.")
            column = pa.array(list(new.values()), own_fields.stored_type(known[name].kind))
            own_fields.write_values(frame, known[name], _ids(new), column)

    def _check_dataset(self) -> None:
        if self.frame.meta["created"] != self._created:
            raise NotFoundError(f"dataset {self.frame.name!r} was replaced during the edits.")


def _ids(new: dict[int, object]) -> np.ndarray:
    return np.fromiter(new, np.int64, len(new))
