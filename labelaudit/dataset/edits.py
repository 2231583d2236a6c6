"""Changes labels and tags: reads, changes and writes rows under the dataset's writer lock."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError
from ..core.plural import counted
from ..storage import schema
from . import history_log
from .arrays import MISSING, as_ids, find, nullable, tag_lists
from .columns import Frame
from .history_log import Cause, Differences, write_meta

_TAG = re.compile(r"[^\s;]([^;\n\r]{0,62}[^\s;])?")  # ';' separates the tags in a CSV cell


def check_tag(tag: str) -> str:
    """Return a valid tag. Raises BadInputError for any other value."""
    if not isinstance(tag, str) or not _TAG.fullmatch(tag):
        raise BadInputError(
            f"{tag!r} cannot be a tag: use 1 to 64 characters on one line, without ';' "
            "and without blanks at the ends."
        )
    return tag


def tag(frame: Frame, ids: Sequence[int] | np.ndarray, name: str) -> int:
    """Set a tag on these samples. Returns the number that did not have it."""
    check_tag(name)
    if frame.pending is not None:
        return frame.pending.tag(ids, name, True)
    return change(
        frame, ids, lambda rows: rows.set_tag(name, True), _tagging(history_log.TAG, name)
    )


def untag(frame: Frame, ids: Sequence[int] | np.ndarray, name: str) -> int:
    """Remove a tag from these samples. Returns the number that had it."""
    if frame.pending is not None:
        return frame.pending.tag(ids, name, False)
    cause = _tagging(history_log.UNTAG, name)
    return change(frame, ids, lambda rows: rows.set_tag(name, False), cause)


def _tagging(kind: str, name: str) -> Cause | None:
    return None if name in schema.QUIET_TAGS else Cause(kind, info={"tag": name})


def set_labels(
    frame: Frame, ids: Sequence[int] | np.ndarray, labels: str | Sequence[str | None] | None
) -> int:
    """Set labels: one class name for all samples, or one each; None removes the label.

    The first label of a sample is preserved as its `original_label`. Returns the number that
    changed. Raises BadInputError for an unknown class, one that is not offered any more, or a
    repeated id.
    """
    if frame.pending is not None and len(ids) == 1 and isinstance(labels, list):
        return frame.pending.set_labels(ids, labels)  # without the checks of several
    ids = as_ids(ids)
    names = [labels] * len(ids) if labels is None or isinstance(labels, str) else list(labels)
    if len(names) != len(ids):
        given = f"{counted(len(ids), 'id')}, but {counted(len(names), 'label')}"
        raise BadInputError(f"{given}: give one each.")
    if len(np.unique(ids)) != len(ids):
        raise BadInputError(
            "an id is given twice, so its label would be ambiguous: give each id once."
        )
    if frame.pending is not None:
        return frame.pending.set_labels(ids, names)
    codes = label_codes(frame, names)
    return change(frame, ids, lambda rows: rows.set_label(codes), Cause(history_log.RELABEL))


def label_codes(frame: Frame, names: Sequence[str | None]) -> np.ndarray:
    """Return labels that are given now as class indices, int32 (n,), with MISSING for None.

    Raises BadInputError for a name that is not a class, and for a class that is not offered any
    more: a label of a class that was merged into another one would be read as that one.
    """
    codes = frame.class_codes(names)
    gone = next(iter(not_offered(frame).intersection(names)), None)
    if gone is not None:
        raise BadInputError(
            f"class {gone!r} of dataset {frame.name!r} was merged into another one, or is not in "
            "the state that was returned to: give another class, or add it again (plan_classes and "
            f"change_classes; command line: labelaudit classes {frame.name} --add {gone!r})."
        )
    return codes


def not_offered(frame: Frame) -> set[str]:
    """Return the classes that a sample cannot be given: hidden ones without samples."""
    hidden = frame.meta.get("hidden_classes", ())
    return {name for name in hidden if not (frame.label == frame.classes.index(name)).any()}


def tag_predicted(frame: Frame, table: str) -> None:
    """Set the tag `processed` on the samples in a table of predictions, if there is one."""
    rows = frame.read(table, ["id"])
    if rows is not None:
        ids = rows["id"].to_numpy()
        tag(frame, ids[find(frame.ids, ids)[1]], schema.PROCESSED)


class EditedRows:
    """Annotations of some samples, to be changed. Arrays are in the order of the given ids."""

    def __init__(self, frame: Frame, ids: np.ndarray) -> None:
        self.at = at = frame.positions(ids)
        self.ids = ids
        self.label = frame.label[at].copy()
        self.original_label = frame.original_label[at].copy()
        self.tags = {name: mask[at].copy() for name, mask in frame.tags.items()}
        self._before = self.label, dict(self.tags)  # changes replace the arrays
        self.changed = np.zeros(len(ids), bool)

    def set_label(self, codes: np.ndarray) -> None:
        """Set class indices (n,), and `original_label` of samples that change."""
        differs = self.label != codes
        first = np.where(self.original_label == MISSING, self.label, self.original_label)
        self.original_label = np.where(
            differs, np.where(first == codes, MISSING, first), self.original_label
        )
        self.label = np.where(differs, codes, self.label)
        self.changed |= differs

    def set_tag(self, name: str, present: bool | np.ndarray) -> None:
        """Set or remove a tag. present: one value for all rows, or a mask (n,)."""
        before = self.tags.get(name, np.zeros(len(self.ids), bool))
        after = np.broadcast_to(np.asarray(present), before.shape).copy()
        self.changed |= before != after
        self.tags[name] = after

    def differences(self) -> Differences:
        """Return the changes of the rows that changed."""
        keep = np.flatnonzero(self.changed)
        label, tags = self._before
        before = {name: tags.get(name, np.zeros(len(self.ids), bool)) for name in self.tags}
        return Differences(
            self.ids[keep],
            label[keep],
            self.label[keep],
            {name: (mask & ~before[name])[keep] for name, mask in self.tags.items()},
            {name: (~mask & before[name])[keep] for name, mask in self.tags.items()},
        )

    def write(self, frame: Frame) -> None:
        """Write the rows that changed."""
        keep = np.flatnonzero(self.changed)
        label, original_label = self.label[keep], self.original_label[keep]
        tags = {name: mask[keep] for name, mask in self.tags.items()}
        rows = pa.table(
            [
                pa.array(self.ids[keep]),
                nullable(label),
                nullable(original_label),
                tag_lists(tags, len(keep)),
            ],
            schema=schema.ANNOTATIONS,
        )
        frame.edit_annotations(self.at[keep], label, original_label, tags, rows)


def change(
    frame: Frame,
    ids: Sequence[int] | np.ndarray,
    edit: Callable[[EditedRows], None],
    cause: Cause | None = None,
    new_classes: Sequence[str] = (),
) -> int:
    """Apply `edit` to the rows of these ids in one commit. Returns the number that changed.

    cause: recorded in the history; None for a change that is not recorded. new_classes: appended
    to the dataset's classes, for use in these rows.
    """
    ids = np.unique(as_ids(ids)) if _repeats(ids) else as_ids(ids)
    if not len(ids):
        return 0
    frame.flush()
    with frame.transaction():
        rows = EditedRows(frame, ids)
        edit(rows)
        count = int(rows.changed.sum())
        if count:
            if cause:
                history_log.record(frame, cause, rows.differences())
            if new_classes:
                meta = frame.meta
                write_meta(frame.store, {**meta, "classes": [*meta["classes"], *new_classes]})
            rows.write(frame)
    return count


def _repeats(ids: Sequence[int] | np.ndarray) -> bool:
    return len(np.unique(np.asarray(ids))) != len(ids)
