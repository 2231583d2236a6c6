"""Whether an earlier training or first look still serves, after a sync brought new images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from ..dataset import history_log
from ..dataset.arrays import MISSING
from ..dataset.class_names import NAMES
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.history_log import Entry
from ..dataset.runs import Run
from ..features.choice import imported_features
from ..features.extractors import AUTO
from ..storage import schema
from ..storage.schema import FIRST_LOOK, REMOVED
from .config import FIRST_LOOK_RUN

# Shares of the labels that may be new or changed since, of all and of each class: see "Data that
# changes" in docs/decisions.md
MOST_CHANGED = 0.1
MOST_OF_CLASS = 0.5
LEAST_KEPT = 5_000  # samples; a first look at fewer is fitted again each time, in 15 CPU-seconds


@dataclass(frozen=True)
class EarlierRun:
    """The latest training or first look of a dataset that was synced since.

    changed: number of labelled samples that are new since, have another label, or were removed or
    restored. labelled: number of all, with those removed since. new_classes: classes that it
    does not know, or of which most labels are new or changed. merged: whether classes were merged
    since, or a merge was undone.
    """

    run: Run
    changed: int
    labelled: int
    new_classes: tuple[str, ...]
    merged: bool

    @property
    def serves(self) -> bool:
        """Whether it is good enough for the dataset as it is now."""
        few = self.changed <= MOST_CHANGED * self.labelled
        return few and not self.new_classes and not self.merged

    @property
    def why(self) -> str:
        """Whether it serves, and why: the second half of a sentence for the user."""
        share = f"{self.changed / max(self.labelled, 1):.1%} of the labels are new or changed"
        name = self.run.name
        if self.serves:
            return f"{share} since run {name}, at most {MOST_CHANGED:.0%}"
        if self.merged:
            return f"classes were merged or separated since run {name}"
        if self.new_classes:
            return f"run {name} knows too few images of class {self.new_classes[0]!r}"
        return f"{share} since run {name}, over {MOST_CHANGED:.0%}"

    @property
    def training_note(self) -> str:
        """One sentence for the user: whether a model is trained again, and why."""
        if self.serves:
            return f"No model was trained again: {self.why} (train=True or --train trains)."
        return f"A model was trained again: {self.why}."


def earlier_training(dataset: Dataset) -> EarlierRun | None:
    """Return the latest training, if the dataset was synced since; else None."""
    runs = [dataset.run(name) for name in dataset.trained_runs]
    runs = [run for run in runs if run.has_model and run.has_predictions()]
    if not runs:
        return None
    frame, run = dataset.view().frame, runs[-1]
    with frame.steady():
        begun = run.info["created"]
        later = [each for each in history_log.entries(frame) if each.time >= begun]
        return _since(frame, run, later)


def earlier_first_look(dataset: Dataset, features: str) -> EarlierRun | None:
    """Return the first look of all samples with these features, if the dataset was synced since,
    and if a new fit would take long; else None. features: see `first_look`."""
    if FIRST_LOOK_RUN not in dataset.runs:
        return None
    frame, run = dataset.view().frame, dataset.run(FIRST_LOOK_RUN)
    with frame.steady():
        look = run.info.get(FIRST_LOOK, {})
        if look.get("asked") != features:  # also of some samples only, or of an earlier version
            return None
        if features == AUTO and look["imported"] != imported_features(frame):  # a new choice
            return None
        then = look["state"]
        if then["samples"] < LEAST_KEPT:
            return None
        later = [each for each in history_log.entries(frame) if each.id > then["history"]]
        added = _added(frame, [each.id for each in later])
        if len(frame.ids) - then["samples"] != len(added):  # samples were added without a sync
            return None
        return _since(frame, run, later)


def present_state(frame: Frame) -> dict:
    """Return what `earlier_first_look` compares with, JSON values: the last entry of the history
    and the number of samples."""
    last = max((each.id for each in history_log.entries(frame)), default=0)
    return {"history": last, "samples": len(frame.ids)}


def _since(frame: Frame, run: Run, later: list[Entry]) -> EarlierRun | None:
    """Return what a run is worth after these changes; None if none of them is a sync."""
    if not any(each.kind == history_log.SYNC for each in later):
        return None
    has_label = frame.label != MISSING
    changed = has_label & np.isin(frame.ids, _changed(frame, [each.id for each in later]))
    labelled = has_label & ~frame.tagged(REMOVED)
    size = len(frame.classes)
    new_of = np.bincount(frame.label[labelled & changed], minlength=size)
    all_of = np.bincount(frame.label[labelled], minlength=size)
    untaught = set(run.info.get("untaught", []))
    new_classes = [
        name
        for code, name in enumerate(frame.classes)
        if (all_of[code] and code >= len(run.classes))
        or (new_of[code] and name in untaught)
        or new_of[code] > MOST_OF_CLASS * all_of[code]
    ]
    return EarlierRun(
        run,
        int(changed.sum()),
        int((labelled | changed).sum()),
        tuple(new_classes),
        any(_merges(each) for each in later),
    )


def _merges(change: Entry) -> bool:
    """Whether a change of the history merged classes, or undid a merge."""
    names = change.info.get(NAMES)
    return bool(names) and names["before"]["hidden"] != names["after"]["hidden"]


def _changed(frame: Frame, changes: list[int]) -> np.ndarray:
    """Return the ids of samples that these changes added, removed, restored, or gave another label,
    int64 (n,)."""
    columns = ["sample", "label_before", "label_after", "added", "removed"]
    rows = frame.store.read("changes", columns, f"change >= {int(min(changes))}")
    rows = schema.CHANGES.empty_table() if rows is None else rows
    before, after = (rows[n].fill_null(MISSING).to_numpy() for n in ("label_before", "label_after"))
    moved = before != after
    for name in ("added", "removed"):
        tags = rows[name].combine_chunks()
        removal = pc.equal(pc.list_flatten(tags), REMOVED).to_numpy(zero_copy_only=False)
        moved[pc.list_parent_indices(tags).to_numpy()[removal]] = True
    return np.union1d(rows["sample"].to_numpy()[moved], _added(frame, changes))


def _added(frame: Frame, changes: list[int]) -> np.ndarray:
    """Return the ids of samples that these syncs added, int64 (n,)."""
    files = frame.read("source-files", ["id", "sync"])
    if files is None:
        return np.empty(0, np.int64)
    return files["id"].to_numpy()[np.isin(files["sync"].to_numpy(), changes)]
