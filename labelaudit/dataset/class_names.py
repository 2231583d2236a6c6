"""The names of a dataset's classes, and how they change.

An index is never given to another class. Another order of the classes is stored beside the names,
and is used where classes are listed and exported. Names are stored in `meta`; runs that were stored
under earlier names are read under the present ones (`Frame.runs`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..storage.schema import BEGUN
from . import edits, history_log
from .columns import Frame
from .history_log import Cause, Entry, write_meta

SOURCE_NAMES = "source_classes"  # in `meta`: see `source_names`
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

    Names that a sync took from the source since then stay. Classes that were added since then keep
    their names, and are hidden.
    """
    later = [each for each in changes if each.id > change]
    first = next((each for each in later if NAMES in each.info), None)
    if first is None:
        return now
    then = ClassNames(**first.info[NAMES]["before"])
    names, at_the_time = list(then.names), list(then.names)
    for entry in later[later.index(first) :]:
        if NAMES in entry.info:
            at_the_time = entry.info[NAMES]["after"]["names"]
        for old, new in (entry.info.get("renamed") or {}).items():
            code = at_the_time.index(old)
            at_the_time = [new if name == old else name for name in at_the_time]
            if code < len(names):
                names[code] = new
        at_the_time = [*at_the_time, *(entry.info.get("classes") or ())]  # added by a sync
    hidden = [names[then.names.index(name)] for name in then.hidden]
    added = now.names[len(names) :]
    return ClassNames([*names, *added], [*hidden, *added], then.order)


def merged_into(frame: Frame) -> np.ndarray:
    """Return the class that each class counts as, int (C,): itself, or what it was merged into."""
    classes = ClassNames.read(frame)
    return merge_targets(classes, history_log.entries(frame) if classes.hidden else [])


def merge_targets(classes: ClassNames, changes: Sequence[Entry]) -> np.ndarray:
    """Return what `merged_into` does, after these changes. classes: those of that time."""
    target = np.arange(len(classes.names))
    hidden = {classes.names.index(name) for name in classes.hidden}
    for old, into in _merges(changes).items():
        if old in hidden:
            target[old] = into
    while (target[target] != target).any():  # merged into a class that was merged later
        target = target[target]
    return target


def _merges(changes: Sequence[Entry]) -> dict[int, int]:
    """Return what each class was merged into after these changes, as class indices."""
    merges: dict[int, int] = {}
    after: dict[int, dict[int, int]] = {0: {}}
    for entry in changes:
        if entry.kind == history_log.RETURN:
            merges = dict(after.get(entry.info["to"], {}))
        elif NAMES in entry.info:
            before, names = (entry.info[NAMES][when]["names"] for when in ("before", "after"))
            for old, into in (entry.info.get("merge") or {}).items():
                merges[before.index(old)] = names.index(into)
        after[entry.id] = dict(merges)
    return merges


def former_codes(frame: Frame) -> dict[str, int]:
    """Return the class that each name stands for: the present names, and earlier names that no
    other class has now. A class that was merged stands for the one that took it over."""
    codes: dict[str, int] = {}
    names = list(frame.classes)
    for entry in (None, *reversed(history_log.entries(frame))):
        if entry is not None and NAMES in entry.info:
            names = entry.info[NAMES]["before"]["names"]
        elif entry is not None and entry.info.get("renamed"):  # by a sync
            old = {new: old for old, new in entry.info["renamed"].items()}
            names = [old.get(name, name) for name in names]
        for code, name in enumerate(names):
            codes.setdefault(name, code)
    target = merged_into(frame)
    return {name: int(target[code]) for name, code in codes.items()}


def source_names(frame: Frame) -> dict[str, int]:
    """Return the class index of each name that the source of a dataset uses. A sync stores the
    names if they are not those of the dataset."""
    stored = frame.meta.get(SOURCE_NAMES)
    if stored is not None:
        return stored
    # until classes are renamed or added here, the source has the names of the dataset
    changes = history_log.entries(frame)
    last = max((each.id for each in changes if each.kind == history_log.SYNC), default=0)
    first = next((each for each in changes if each.id > last and NAMES in each.info), None)
    names = frame.classes if first is None else first.info[NAMES]["before"]["names"]
    return {name: code for code, name in enumerate(names)}


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

    renamed: new names by the present ones. Runs know their classes by name, and are not rewritten.
    Those that are not finished yet are left out: they finish under the names of that time.
    """
    if not renamed:
        return {}
    rows = frame.read_rows("runs", ["id", "state"])
    last = max((row["id"] for row in rows), default=0)
    begun = [row["id"] for row in rows if row["state"] == BEGUN]
    step = {"names": dict(renamed), "last_run": last, "open": begun}
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
