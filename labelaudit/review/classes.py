"""Changes the classes of a dataset: renames, merges, adds and reorders them, after a preview.

A class keeps its index for ever, because labels, predictions and verdicts are stored as indices.
The order says how classes are listed and exported. A class that was merged away stays in the list
without samples, and is not offered any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..core.errors import BadInputError, BusyError
from ..dataset import edits, history_log
from ..dataset.class_names import ClassNames, change_names
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.history_log import Cause
from ..dataset.ingest import check_class
from ..dataset.runs import runs_in_training
from .apply import pending_decisions


@dataclass(frozen=True)
class ClassPlan:
    """A checked change of classes, to look at before it is made.

    rename: new names by the present ones. merge: the class that takes over the samples, by the
    present name of the class that is merged. add: new classes. samples: how many samples each class
    of `rename` and `merge` has. order: all offered classes in their new order; empty if it stays.
    """

    rename: dict[str, str]
    merge: dict[str, str]
    add: list[str]
    samples: dict[str, int]
    before: ClassNames
    after: ClassNames
    order: list[str] = field(default_factory=list)


def plan_classes(
    dataset: Dataset,
    *,
    rename: Mapping[str, str] | None = None,
    merge: Mapping[str, str] | None = None,
    add: Sequence[str] = (),
    order: Sequence[str] = (),
) -> ClassPlan:
    """Check a change of classes and return what it does. Nothing is changed.

    rename: new names by the present ones; two classes can swap names. merge: class that takes over
    all samples of another, by the name of the other; it may be a new name of `rename` or one of
    `add`. add: new classes, or classes that were merged away and are to be offered again. order:
    the classes that come first, by their names after the change; the others follow in their present
    order. It is the order of the app and of exports, which number the classes by it. The indices of
    stored labels, predictions and models stay, so `Dataset.classes` does too.
    Raises BadInputError for an unknown class, a name that is taken or not valid, a class that is
    both renamed and merged, and a merged class that verdicts still ask for.
    """
    frame = dataset.view().frame
    with frame.steady():
        rename, merge, add = dict(rename or {}), dict(merge or {}), list(dict.fromkeys(add))
        frame.class_codes([*rename, *merge])  # raises BadInputError for an unknown class
        rename = {old: check_class(new) for old, new in rename.items() if new != old}
        before = ClassNames.read(frame)
        after = _renamed(before, rename, merge)
        after = _added(after, add)
        after = _merged(after, merge)
        back = set(before.hidden).intersection(dataset.offered_classes)  # with samples again
        gone = {name for name in after.hidden if name not in {rename.get(n, n) for n in back}}
        after = _ordered(after, order, gone)
        if after == before and not merge:
            raise BadInputError(
                "nothing changes: give a class to rename, to merge or to add, or another order."
            )
        _check_runs(frame, after)
        _check_pending(dataset, merge)
        counts = dataset.view().count_values("ground_truth")
        samples = {name: counts[name] for name in (*rename, *merge)}
        new = range(len(before.names), len(after.names))
        moved = after.listed != [*before.listed, *new]
        listed = [name for i in after.listed if (name := after.names[i]) not in after.hidden]
    return ClassPlan(rename, merge, add, samples, before, after, listed if moved else [])


def change_classes(dataset: Dataset, plan: ClassPlan, who: str | None = None) -> int:
    """Change the classes as planned, as one step of the history. Returns the number of samples
    with a new label.

    who: name for the history; by default the user of the machine. `return_to` restores the names
    and labels before. Predictions keep their classes under the new names. Scores of samples with a
    new label are out of date.
    Raises BadInputError if the classes have changed since the plan was made, and BusyError while a
    run is being trained, which could not finish under other names.
    """
    frame = dataset.view().frame
    frame.flush()
    if names := runs_in_training(frame):
        raise BusyError(
            f"run {names[0]!r} of dataset {dataset.name!r} is being trained: change the classes "
            "when it is finished, or stop it first."
        )
    with frame.transaction():
        if ClassNames.read(frame) != plan.before:
            raise BadInputError("the classes have changed in the meantime: look at them again.")
        _check_pending(dataset, plan.merge)
        label = frame.label
        target = np.arange(len(plan.before.names))
        for old, into in plan.merge.items():
            target[plan.before.names.index(old)] = plan.after.names.index(into)
        moved = frame.ids[(label >= 0) & (target[label] != label)]

        def relabel(rows: edits.EditedRows) -> None:
            rows.set_label(target[rows.label].astype(np.int32))

        info = {"rename": plan.rename, "merge": plan.merge, "add": plan.add, "order": plan.order}
        cause = Cause(history_log.CLASSES, who, info)
        return change_names(frame, plan.after, moved, relabel, cause)


def _renamed(
    classes: ClassNames, rename: Mapping[str, str], merge: Mapping[str, str]
) -> ClassNames:
    both = next((name for name in rename if name in merge), None)
    if both is not None:
        raise BadInputError(f"class {both!r} is both renamed and merged: do one of them.")
    names = [rename.get(name, name) for name in classes.names]
    for old, new in rename.items():
        if names.count(new) > 1:
            raise BadInputError(
                f"class {old!r} cannot be renamed to {new!r}: the name is taken. Merge {old!r} "
                f"into {new!r} instead."
            )
    hidden = [rename.get(name, name) for name in classes.hidden]
    return ClassNames(names, hidden, classes.order)


def _added(classes: ClassNames, add: Sequence[str]) -> ClassNames:
    for name in add:
        if check_class(name) in classes.names and name not in classes.hidden:
            raise BadInputError(f"there is a class {name!r} already: give another name.")
    new = [name for name in add if name not in classes.names]
    hidden = [name for name in classes.hidden if name not in add]
    return ClassNames([*classes.names, *new], hidden, classes.order)


def _merged(classes: ClassNames, merge: Mapping[str, str]) -> ClassNames:
    for old, into in merge.items():
        if into not in classes.names or into in classes.hidden:
            raise BadInputError(f"there is no class {into!r} to merge {old!r} into: add it first.")
        if into == old or into in merge:
            raise BadInputError(
                f"class {old!r} cannot be merged into {into!r}"
                + ("." if into == old else f", which is merged itself: use {merge[into]!r}.")
            )
    return ClassNames(classes.names, [*classes.hidden, *merge], classes.order)


def _ordered(classes: ClassNames, order: Sequence[str], gone: Collection[str]) -> ClassNames:
    """Move these classes to the front. gone: classes that are not listed any more."""
    if isinstance(order, str):
        raise BadInputError(f'order={order!r}: give a list of class names, such as ["cat", "dog"].')
    index = {name: i for i, name in enumerate(classes.names)}
    for name in order:
        if name not in index:
            raise BadInputError(f"there is no class {name!r} to put in order: check the name.")
        if list(order).count(name) > 1:
            raise BadInputError(f"class {name!r} is twice in the order: name it once.")
        if name in gone:
            raise BadInputError(
                f"class {name!r} is not offered any more, so it has no place in the order: leave "
                "it out, or add it again."
            )
    first = [index[name] for name in order]
    listed = [*first, *(i for i in classes.listed if i not in set(first))]
    if listed == classes.listed:
        return classes
    # the order of the indices is stored as none
    return replace(classes, order=[] if listed == sorted(listed) else listed)


def _check_runs(frame: Frame, after: ClassNames) -> None:
    """Refuse a new name that a model uses for a class of its own that the dataset lacks."""
    added = set(after.names) - set(frame.classes)
    renamed = added & set(after.names[: len(frame.classes)])
    for run in frame.runs:
        for name in run.get("unknown_classes", ()):
            if name in renamed:
                raise BadInputError(
                    f"run {run['name']!r} predicts another class {name!r}, which the dataset "
                    f"lacks: add {name!r} and merge into it instead of renaming."
                )


def _check_pending(dataset: Dataset, merge: Mapping[str, str]) -> None:
    if not merge:
        return
    wanted = pending_decisions(dataset)
    for name in merge:
        code = dataset.classes.index(name)
        count = int((wanted.after == code).sum())
        if count:
            raise BadInputError(
                f"{count:,} {'verdict asks' if count == 1 else 'verdicts ask'} for class {name!r} "
                "and are not applied yet: apply or withdraw them, then merge the class."
            )
