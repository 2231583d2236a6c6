"""Returns a dataset's labels and tags to what they were after any change in its history.

Returning is a change like any other: it is written down too, and can itself be taken back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from . import changelog, edits, schema
from .changelog import Cause, Entry
from .dataset import Dataset
from .errors import LabelAuditError
from .frame import MISSING, Frame, tag_masks

START = 0  # the state before the first change


def list_changes(dataset: Dataset) -> list[Entry]:
    """Every change of the dataset's labels and tags that is in force, oldest first."""
    return changelog.entries(dataset.view().frame)


def describe(entry: Entry) -> str:
    """What a change was, in a few words."""
    info = entry.info
    match entry.kind:
        case changelog.NOISE:
            noise = info["noise"]
            return f"mistakes planted ({noise['kind']}, {noise['rate']:.0%}, seed {noise['seed']})"
        case changelog.RESTORE:
            return "planted mistakes taken back"
        case changelog.RELABEL:
            return "relabelled"
        case changelog.TAG:
            return f"tagged {info['tag']}"
        case changelog.UNTAG:
            return f"tag {info['tag']} taken off"
        case changelog.VERDICTS:
            counts = f"{info['relabelled']:,} relabelled, {info['removed']:,} removed"
            return f"verdicts applied ({counts})"
        case _:
            state = f"after change {info['to']}" if info["to"] != START else "as it was loaded"
            return f"returned to the state {state}"


def return_to(dataset: Dataset, change: int, who: str | None = None) -> int:
    """Bring labels and tags back to what they were just after this change (START: as loaded).

    change: an id that `list_changes` gives. who: goes into the history; by default the machine's
    user. Returns how many samples changed. Samples added since are left as they are.
    """
    frame = dataset.view().frame
    with frame.store.writing():
        changelog.settle(frame)
        lines = changelog.entries(frame)
        if change != START and change not in {line.id for line in lines}:
            known = f"{lines[0].id} to {lines[-1].id}" if lines else "none yet"
            raise LabelAuditError(
                f"dataset {dataset.name!r} has no change {change!r} in its history: "
                f"its changes are {known}; {START} is the state as it was loaded."
            )
        undone = _undone(frame, change)
        noise = _noise_after(lines, change)
        ids, planted = _planted(frame, change, undone)
        kept = pa.table([pa.array(ids), pa.array(planted, pa.int32())], schema=schema.NOISE)
        if len(ids):  # ahead of the tags, as `noise.inject` does
            frame.store.upsert("noise", kept, schema.NOISE)
        cause = Cause(changelog.RETURN, who, {"to": change, "noise": noise})
        count = edits.change(frame, undone.ids, undone.apply, cause)
        edits.note(frame, "noise", noise)
    return count


@dataclass(frozen=True)
class _Undone:
    """What samples were before some changes: labels (n,), and by tag which of them had it."""

    ids: np.ndarray
    labels: np.ndarray
    tags: dict[str, tuple[np.ndarray, np.ndarray]]  # (places in ids, whether it stood)

    def apply(self, rows: edits.Rows) -> None:
        rows.set_label(self.labels)
        for name, (places, stood) in self.tags.items():
            present = rows.tags.get(name, np.zeros(len(self.ids), bool)).copy()
            present[places] = stood
            rows.set_tag(name, present)


def _undone(frame: Frame, change: int) -> _Undone:
    """The samples that later changes touched, as they were before the first of these."""
    rows = _changes(frame, f"change > {change}")
    samples = rows["sample"].to_numpy()
    ids, first = np.unique(samples, return_index=True)  # rows are in the order of the changes
    labels = rows["label_before"].fill_null(MISSING).to_numpy()[first]
    had: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    added, removed = (_masks(rows, name) for name in ("added", "removed"))
    for name in {*added, *removed}:
        nothing = np.zeros(len(samples), bool)
        took = removed.get(name, nothing)
        told = np.flatnonzero(took | added.get(name, nothing))
        those, at = np.unique(samples[told], return_index=True)
        had[name] = np.searchsorted(ids, those), took[told[at]]
    return _Undone(ids, labels, had)


def _planted(frame: Frame, change: int, undone: _Undone) -> tuple[np.ndarray, np.ndarray]:
    """Samples that will have the tag of planted mistakes again: ids, and labels before these.

    A sample's label before noise is the one that it had when the tag was set last.
    """
    places, stood = undone.tags.get(schema.MISTAKE, (np.empty(0, np.int64), np.empty(0, bool)))
    again = undone.ids[places[stood]]
    rows = _changes(frame, f"change <= {change}")
    planted = _masks(rows, "added").get(schema.MISTAKE, np.zeros(len(rows), bool))
    samples = rows["sample"].to_numpy()[planted][::-1]
    labels = rows["label_before"].fill_null(MISSING).to_numpy()[planted][::-1]
    those, last = np.unique(samples, return_index=True)
    wanted = np.isin(those, again)
    return those[wanted], labels[last[wanted]]


def _masks(rows: pa.Table, column: str) -> dict[str, np.ndarray]:
    return tag_masks(rows[column].combine_chunks())


def _noise_after(lines: list[Entry], change: int) -> dict | None:
    """The report of the noise that was in force after a change."""
    told = [line.info["noise"] for line in lines if line.id <= change and "noise" in line.info]
    return told[-1] if told else None


def _changes(frame: Frame, where: str) -> pa.Table:
    rows = frame.store.read("changes", schema.CHANGES.names, where)
    rows = schema.CHANGES.empty_table() if rows is None else rows
    return rows.take(np.argsort(rows["change"].to_numpy(), kind="stable")).combine_chunks()
