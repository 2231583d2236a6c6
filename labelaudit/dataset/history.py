"""Restores a dataset's labels and tags to their state after any change in its history.

Restoring is a change too: it is recorded in the history, and can be undone in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError, NotFoundError
from ..storage import schema
from . import edits, history_log
from .arrays import MISSING, tag_masks
from .class_names import ClassNames, change_names, merge_targets, names_after
from .columns import Frame
from .history_log import Cause, Entry
from .target import Target, as_dataset

UNANIMOUS = "unanimous"  # the usual rule for several verdicts on a sample; see `review.opinions`
START = 0  # the state before the first change


def list_changes(dataset: Target) -> list[Entry]:
    """List all changes of the dataset's labels and tags, oldest first.

    `return_to` takes the `id` of one.
    """
    dataset = as_dataset(dataset, "list_changes")
    return history_log.entries(dataset.view().frame)


def describe(entry: Entry) -> str:
    """Describe a change in a few words."""
    info = entry.info
    match entry.kind:
        case history_log.NOISE:
            noise = info["noise"]
            return f"mistakes planted ({noise['kind']}, {noise['rate']:.0%}, seed {noise['seed']})"
        case history_log.RESTORE:
            return "planted mistakes removed"
        case history_log.RELABEL:
            return "relabelled"
        case history_log.TAG:
            return f"tagged {info['tag']}"
        case history_log.UNTAG:
            return f"tag {info['tag']} removed"
        case history_log.VERDICTS:
            counts = f"{info['relabelled']:,} relabelled, {info['removed']:,} removed"
            counts += f", {info['put_back']:,} restored" if info["put_back"] else ""
            rule = info.get("rule", UNANIMOUS)  # earlier versions had no other one
            counts += "" if rule == UNANIMOUS else f", decided by the rule {rule!r}"
            return f"verdicts applied ({counts})"
        case history_log.CLASSES:
            parts = [f"{old} renamed to {new}" for old, new in info["rename"].items()]
            parts += [f"{old} merged into {new}" for old, new in info["merge"].items()]
            parts += [f"{name} added" for name in info["add"]]
            parts += ["reordered"] if info.get("order") else []
            return f"classes: {', '.join(parts)}"
        case history_log.PATCH:
            counts = f"{info['relabelled']:,} relabelled, {info['removed']:,} removed"
            return f"patch {info['file']} applied ({counts})"
        case history_log.SYNC:
            return f"source read again ({'; '.join(sync_words(**info)) or 'nothing changed'})"
        case _:
            state = f"after change {info['to']}" if info["to"] != START else "as imported"
            return f"returned to the state {state}"


def sync_words(
    counts: Mapping[str, int],
    renamed: Mapping[str, str] = MappingProxyType({}),
    classes: Sequence[str] = (),
) -> list[str]:
    """Return what a sync changes, in words: ["3 added, 1 conflict", "class yak added"].

    counts, renamed, classes: as `counts`, `renamed_classes` and `new_classes` of `SyncPlan`.
    """
    singular = {"conflicts": "conflict"}
    words = (
        f"{n:,} {singular.get(name, name) if n == 1 else name}" for name, n in counts.items() if n
    )
    lines = [", ".join(words)]
    lines += [f"class {old} renamed to {new}" for old, new in renamed.items()]
    lines += [f"class {name} added" for name in classes]
    return [line for line in lines if line]


def return_to(dataset: Target, change: int, who: str | None = None) -> int:
    """Restore labels and tags to their state after this change (0: as imported).

    change: an `id` from `list_changes`. who: name for the history; by default the user of the
    machine. Samples that were added later stay unchanged. Returns the number of samples that
    changed. Classes have their names of then; those that were added since stay, but are not offered
    any more. Raises NotFoundError for an id that is not in the history, and BadInputError if two
    classes would have the same name.
    """
    dataset = as_dataset(dataset, "return_to")
    frame = dataset.view().frame
    with frame.transaction():
        changes = history_log.entries(frame)
        if change != START and change not in {entry.id for entry in changes}:
            known = f"{changes[0].id} to {changes[-1].id}" if changes else "none yet"
            raise NotFoundError(
                f"dataset {dataset.name!r} has no change {change!r} in its history: "
                f"its changes are {known}; {START} is the state as imported."
            )
        undone = _undone(frame, change)
        planted = _planted(frame, change, undone)
        noise = history_log.last_noise([e for e in changes if e.id <= change], None)
        cause = Cause(history_log.RETURN, who, {"to": change, "noise": noise})
        names = names_after(changes, change, ClassNames.read(frame))
        # samples that were added since may have had the label of a class that was merged by then
        target = merge_targets(names, [entry for entry in changes if entry.id <= change])
        undone = replace(undone, labels=np.append(target, MISSING)[undone.labels])
        names = _with_used(frame, undone, names)
        _check_names(names)
        count = change_names(frame, names, undone.ids, undone.apply, cause)
        if len(planted):
            frame.upsert("noise", planted, schema.NOISE)
    return count


def _with_used(frame: Frame, undone: _Undone, classes: ClassNames) -> ClassNames:
    """Offer the classes that samples will have, such as those that a sync added since."""
    labels = frame.label.copy()
    labels[frame.positions(undone.ids)] = undone.labels
    used = {classes.names[code] for code in np.unique(labels[labels != MISSING])}
    return replace(classes, hidden=[name for name in classes.hidden if name not in used])


def _check_names(classes: ClassNames) -> None:
    """Refuse a state in which two classes would have the same name."""
    twice = next((name for name in classes.names if classes.names.count(name) > 1), None)
    if twice is not None:
        raise BadInputError(
            f"a class {twice!r} was added since then, under a name that another class had before: "
            "rename it first."
        )


@dataclass(frozen=True)
class _Undone:
    """The state of samples before some changes: labels (n,), and which of them had which tags."""

    ids: np.ndarray
    labels: np.ndarray
    tags: dict[str, tuple[np.ndarray, np.ndarray]]  # (places in ids, whether tagged)

    def apply(self, rows: edits.EditedRows) -> None:
        rows.set_label(self.labels)
        for name, (places, tagged) in self.tags.items():
            present = rows.tags.get(name, np.zeros(len(self.ids), bool)).copy()
            present[places] = tagged
            rows.set_tag(name, present)


def _undone(frame: Frame, change: int) -> _Undone:
    """Return the samples that later changes touched, in their state before the first of them."""
    rows = _changes(frame, f"change > {change}")
    samples = rows["sample"].to_numpy()
    ids, first = np.unique(samples, return_index=True)  # rows are sorted by change
    labels = rows["label_before"].fill_null(MISSING).to_numpy()[first]
    had: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    added, removed = (_masks(rows, name) for name in ("added", "removed"))
    for name in {*added, *removed}:
        nothing = np.zeros(len(samples), bool)
        was_removed = removed.get(name, nothing)
        changed = np.flatnonzero(was_removed | added.get(name, nothing))
        tagged_ids, at = np.unique(samples[changed], return_index=True)
        had[name] = np.searchsorted(ids, tagged_ids), was_removed[changed[at]]
    return _Undone(ids, labels, had)


def _planted(frame: Frame, change: int, undone: _Undone) -> pa.Table:
    """Return the rows of `noise` for the touched samples that will have the tag `mistake`.

    A sample's label before noise is its label when the tag was last set.
    """
    noisy = frame.tagged(schema.MISTAKE)
    noisy_after = noisy[frame.positions(undone.ids)].copy()
    places, tagged = undone.tags.get(schema.MISTAKE, (np.empty(0, np.int64), np.empty(0, bool)))
    noisy_after[places] = tagged
    rows = _changes(frame, f"change <= {change}")
    was_set = _masks(rows, "added").get(schema.MISTAKE, np.zeros(len(rows), bool))
    rows = rows.filter(pa.array(was_set))
    samples = rows["sample"].to_numpy()[::-1]
    noisy_ids, last = np.unique(samples, return_index=True)
    labels = rows["label_before"].fill_null(MISSING).to_numpy()[::-1][last]
    wanted = np.isin(noisy_ids, undone.ids[noisy_after])
    return pa.table(
        [pa.array(noisy_ids[wanted]), pa.array(labels[wanted], pa.int32())], schema=schema.NOISE
    )


def _masks(rows: pa.Table, column: str) -> dict[str, np.ndarray]:
    return tag_masks(rows[column].combine_chunks())


def _changes(frame: Frame, where: str) -> pa.Table:
    rows = frame.store.read("changes", schema.CHANGES.names, where)
    rows = schema.CHANGES.empty_table() if rows is None else rows
    return rows.take(np.argsort(rows["change"].to_numpy(), kind="stable")).combine_chunks()
