"""The names of a dataset's classes, and how they change.

An index is never given to another class. Another order of the classes is stored beside the names,
and is used where classes are listed and exported. Names are stored in `meta`; runs that were stored
under earlier names are read under the present ones (`Frame.runs`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.errors import BadInputError
from . import edits, history_log
from .columns import Frame
from .history_log import Cause, Entry, write_meta

NAMES = "class_names"  # in the details of a change in the history: the names before and after it


@dataclass(frozen=True)
class ClassNames:
    """All class names in index order, and those that are not offered any more.

    order: indices of the classes in the order in which they are listed and exported; classes that
    are left out follow by index.
    """

    names: list[str]
    hidden: list[str]
    order: list[int] = field(default_factory=list)

    @classmethod
    def read(cls, frame: Frame) -> ClassNames:
        """Return the present names."""
        hidden, order = frame.meta.get("hidden_classes", []), frame.meta.get("class_order", [])
        return cls(list(frame.classes), list(hidden), list(order))

    @property
    def listed(self) -> list[int]:
        """The indices of all classes, in the order in which they are listed and exported."""
        first = set(self.order)
        return [*self.order, *(i for i in range(len(self.names)) if i not in first)]


def names_after(changes: Sequence[Entry], change: int, now: ClassNames) -> ClassNames:
    """Return the class names after a change. now: the present ones.

    Classes that were added since then keep their names, and are hidden.
    """
    later = next((each for each in changes if each.id > change and NAMES in each.info), None)
    if later is None:
        return now
    then = ClassNames(**later.info[NAMES]["before"])
    added = now.names[len(then.names) :]
    return ClassNames([*then.names, *added], [*then.hidden, *added], then.order)


def check_names_of_source(frame: Frame) -> None:
    """Raise BadInputError if classes were renamed or merged here: the source has other names."""
    changed = [each.info[NAMES] for each in history_log.entries(frame) if NAMES in each.info]
    if not changed:
        return
    before, after = changed[0]["before"], changed[-1]["after"]
    if before["names"] != after["names"][: len(before["names"])] or after["hidden"]:
        raise BadInputError(
            f"classes of dataset {frame.name!r} were renamed or merged here, and its source has "
            "the earlier names: return to a state before that "
            f"(labelaudit history {frame.name} --return-to), or export the labels instead "
            f"(labelaudit export {frame.name})."
        )


def change_names(
    frame: Frame,
    names: ClassNames,
    ids: np.ndarray,
    edit: Callable[[edits.EditedRows], None],
    cause: Cause,
) -> int:
    """Change class names, and the rows of these ids, as one entry of the history.

    edit: changes the rows. Returns the number of samples that changed.
    """
    before = ClassNames.read(frame)
    if before == names:
        return edits.change(frame, ids, edit, cause)
    frame.flush()
    with frame.transaction():
        rows = edits.EditedRows(frame, ids)
        edit(rows)
        both = {"before": vars(before), "after": vars(names)}
        cause = Cause(cause.kind, cause.who, {**cause.info, NAMES: both})
        history_log.record(frame, cause, rows.differences())
        write_meta(frame.store, _with_names(frame, before, names))
        if rows.changed.any():
            rows.write(frame)
    return int(rows.changed.sum())


def renamed_runs(frame: Frame, renamed: Mapping[str, str]) -> dict:
    """Return the entry of `meta` by which the runs until now are read under new class names.

    renamed: new names by the present ones. Runs know their classes by name. They are not rewritten,
    because a training that has begun would finish under the earlier names.
    """
    if not renamed:
        return {}
    last = max((row["id"] for row in frame.read_rows("runs", ["id"])), default=0)
    step = {"names": dict(renamed), "last_run": last}
    return {"renamed_classes": [*frame.meta.get("renamed_classes", []), step]}


def _with_names(frame: Frame, before: ClassNames, names: ClassNames) -> dict:
    """Return `meta` with the new names."""
    pairs = zip(before.names, names.names, strict=False)
    renamed = {old: new for old, new in pairs if old != new}
    return {
        **frame.meta,
        "classes": names.names,
        "hidden_classes": names.hidden,
        "class_order": names.order,
        **renamed_runs(frame, renamed),
    }
