"""Returns a dataset's labels and tags to what they were after any change in its history.

Returning is a change like any other: it is written down too, and can itself be taken back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..core.errors import LabelAuditError
from ..storage import schema
from . import edits, history_log
from .columns import MISSING, Frame, tag_masks
from .dataset import Dataset
from .history_log import Cause, Entry

START = 0  # the state before the first change


def list_changes(dataset: Dataset) -> list[Entry]:
    """Every change of the dataset's labels and tags that is in force, oldest first.

    `return_to` takes the `id` of one, and adds a change of its own.
    """
    return history_log.entries(dataset.view().frame)


def describe(entry: Entry) -> str:
    """What a change was, in a few words."""
    info = entry.info
    match entry.kind:
        case history_log.NOISE:
            noise = info["noise"]
            return f"mistakes planted ({noise['kind']}, {noise['rate']:.0%}, seed {noise['seed']})"
        case history_log.RESTORE:
            return "planted mistakes taken back"
        case history_log.RELABEL:
            return "relabelled"
        case history_log.TAG:
            return f"tagged {info['tag']}"
        case history_log.UNTAG:
            return f"tag {info['tag']} taken off"
        case history_log.VERDICTS:
            counts = f"{info['relabelled']:,} relabelled, {info['removed']:,} removed"
            counts += f", {info['put_back']:,} put back" if info["put_back"] else ""
            return f"verdicts applied ({counts})"
        case history_log.PATCH:
            counts = f"{info['relabelled']:,} relabelled, {info['removed']:,} removed"
            return f"patch {info['file']} applied ({counts})"
        case _:
            state = f"after change {info['to']}" if info["to"] != START else "as it was loaded"
            return f"returned to the state {state}"


def return_to(dataset: Dataset, change: int, who: str | None = None) -> int:
    """Bring labels and tags back to what they were just after this change (0: as loaded).

    change: an id that `list_changes` gives. who: goes into the history; by default the machine's
    user. Returns how many samples changed. Samples added since are left as they are.
    Raises LabelAuditError for a change that is not there.
    """
    frame = dataset.view().frame
    with frame.store.writing():
        history_log.settle(frame)
        lines = history_log.entries(frame)
        if change != START and change not in {line.id for line in lines}:
            known = f"{lines[0].id} to {lines[-1].id}" if lines else "none yet"
            raise LabelAuditError(
                f"dataset {dataset.name!r} has no change {change!r} in its history: "
                f"its changes are {known}; {START} is the state as it was loaded."
            )
        undone = _undone(frame, change)
        planted = _planted(frame, change, undone)
        noisy = frame.tagged(schema.MISTAKE)
        now = noisy[frame.positions(planted["id"].to_numpy())]
        # Of samples that are not tagged now the row is written ahead of the tag, as `noise.inject`
        # does; of the others after it, for until then the row that is there holds.
        _write_noise(frame, planted.filter(~now))
        noise = history_log.last_noise([line for line in lines if line.id <= change], None)
        cause = Cause(history_log.RETURN, who, {"to": change, "noise": noise})
        count = edits.change(frame, undone.ids, undone.apply, cause)
        _write_noise(frame, planted.filter(now))
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


def _planted(frame: Frame, change: int, undone: _Undone) -> pa.Table:
    """What `noise` must say of the touched samples that will have the tag of planted mistakes.

    A sample's label before noise is the one that it had when the tag was set last.
    """
    noisy = frame.tagged(schema.MISTAKE)
    will = noisy[frame.positions(undone.ids)].copy()
    places, stood = undone.tags.get(schema.MISTAKE, (np.empty(0, np.int64), np.empty(0, bool)))
    will[places] = stood
    rows = _changes(frame, f"change <= {change}")
    set_then = _masks(rows, "added").get(schema.MISTAKE, np.zeros(len(rows), bool))
    rows = rows.filter(pa.array(set_then))
    samples = rows["sample"].to_numpy()[::-1]
    those, last = np.unique(samples, return_index=True)
    labels = rows["label_before"].fill_null(MISSING).to_numpy()[::-1][last]
    wanted = np.isin(those, undone.ids[will])
    return pa.table(
        [pa.array(those[wanted]), pa.array(labels[wanted], pa.int32())], schema=schema.NOISE
    )


def _write_noise(frame: Frame, rows: pa.Table) -> None:
    if len(rows):
        frame.store.upsert("noise", rows, schema.NOISE)


def _masks(rows: pa.Table, column: str) -> dict[str, np.ndarray]:
    return tag_masks(rows[column].combine_chunks())


def _changes(frame: Frame, where: str) -> pa.Table:
    rows = frame.store.read("changes", schema.CHANGES.names, where)
    rows = schema.CHANGES.empty_table() if rows is None else rows
    return rows.take(np.argsort(rows["change"].to_numpy(), kind="stable")).combine_chunks()
