"""Whether an earlier training still serves, after a sync brought new images and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..dataset import history_log
from ..dataset.arrays import MISSING
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..storage import schema
from ..storage.schema import REMOVED

# Share of the labels that may be new or changed since: see "Data that changes" in docs/decisions.md
MOST_CHANGED = 0.1


@dataclass(frozen=True)
class EarlierTraining:
    """The latest training of a dataset that was synced since.

    changed: number of labelled samples that are new since, or have another label. labelled: number
    of all. new_classes: classes that it does not know.
    """

    run: Run
    changed: int
    labelled: int
    new_classes: tuple[str, ...]

    @property
    def serves(self) -> bool:
        """Whether its model is good enough for the dataset as it is now."""
        return not self.new_classes and self.changed <= MOST_CHANGED * self.labelled

    @property
    def why(self) -> str:
        """One sentence for the user: whether a model is trained again, and why."""
        share = f"{self.changed / max(self.labelled, 1):.1%} of the labels are new or changed"
        name = self.run.name
        if self.serves:
            return (
                f"No model was trained again: {share} since run {name}, at most {MOST_CHANGED:.0%} "
                "(train=True or --train trains)."
            )
        if self.new_classes:
            return f"A model was trained again: run {name} does not know {self.new_classes[0]!r}."
        return f"A model was trained again: {share} since run {name}, over {MOST_CHANGED:.0%}."


def earlier_training(dataset: Dataset) -> EarlierTraining | None:
    """Return the latest training, if the dataset was synced since; else None."""
    runs = [dataset.run(name) for name in dataset.trained_runs]
    runs = [run for run in runs if run.has_model and run.has_predictions()]
    if not runs:
        return None
    run, frame = runs[-1], dataset.view().frame
    with frame.steady():
        begun = frame.run_info(run.name)["created"]
        later = [each for each in history_log.entries(frame) if each.time >= begun]
        if not any(each.kind == history_log.SYNC for each in later):
            return None
        labelled = (frame.label != MISSING) & ~frame.tagged(REMOVED)
        changed = np.isin(frame.ids, _changed(frame, [each.id for each in later]))
        unknown = frame.classes[len(run.classes) :]
        used = {frame.classes[code] for code in np.unique(frame.label[labelled]).tolist()}
        return EarlierTraining(
            run,
            int((labelled & changed).sum()),
            int(labelled.sum()),
            tuple(name for name in unknown if name in used),
        )


def _changed(frame: Frame, changes: list[int]) -> np.ndarray:
    """Return the ids of samples that these changes added or gave another label, int64 (n,)."""
    rows = frame.store.read(
        "changes", ["sample", "label_before", "label_after"], f"change >= {int(min(changes))}"
    )
    rows = schema.CHANGES.empty_table() if rows is None else rows
    before, after = (rows[n].fill_null(MISSING).to_numpy() for n in ("label_before", "label_after"))
    relabelled = rows["sample"].to_numpy()[before != after]
    files = frame.read("source-files", ["id", "sync"])
    if files is None:
        return relabelled
    added = files["id"].to_numpy()[np.isin(files["sync"].to_numpy(), changes)]
    return np.union1d(relabelled, added)
