"""Stores predictions as a run: streamed, and listed only once all of them are stored."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadInputError
from ..core.plural import counted
from ..core.progress import Task
from ..storage.schema import IMPORTED, UNKNOWN
from .columns import Frame
from .run_lifecycle import begin_run, refuse_second_training
from .runs import Run

if TYPE_CHECKING:
    from .dataset import Dataset

INDEXING = "preparing the search for similar images"  # name of a stage


def refuse_to_replace(dataset: Dataset, name: str) -> None:
    """Raise BadInputError if a run with this name was not imported, so that it must not be replaced
    by imported predictions."""
    created_here = name in dataset.runs and not dataset.run(name).is_imported
    if created_here or name in dataset.unfinished_runs:
        raise BadInputError(
            f"run {name!r} of dataset {dataset.name!r} was created here, and these predictions "
            "would replace it: give them another name (run=)."
        )
    refuse_second_training(dataset.view().frame, name)


def refuse_to_lose(dataset: Dataset, name: str, ids: np.ndarray) -> None:
    """Raise BadInputError if an imported run of this name has predictions of other samples than
    these, int64 (n,): importing batch by batch would keep only the last batch."""
    if name not in dataset.runs:
        return
    lost = np.setdiff1d(dataset.run(name).predicted_ids(), ids)
    if len(lost):
        raise BadInputError(
            f"run {name!r} of dataset {dataset.name!r} has predictions of "
            f"{counted(len(lost), 'sample')} that you do not import now, such as {lost[0]}, "
            "and would lose them: add some with dataset.add_predictions, give another name (run=), "
            "or pass replace=True (--replace)."
        )


def create_imported_run(
    frame: Frame,
    name: str,
    info: dict,
    batches: Iterable[tuple[np.ndarray, ...]],
    task: Task,
) -> Run:
    """Store predictions of a model that was not trained here as a new run.

    info: see `imported_run_info`. batches: see `Run.write_predictions`. The run is listed when
    everything is stored: an error or a kill leaves the dataset unchanged.
    """
    run = begin_run(frame, name)
    try:
        with run.training():
            run.write_predictions(batches, classes=len(info["classes"]))
            task.announce(INDEXING)
            run.index_embeddings()
            run.finish(info)
    except BaseException:
        with suppress(Exception):  # the dataset may have been deleted; the first error is raised
            run.abandon()
        raise
    return run


def store_predictions(run: Run, batches: Iterable, task: Task) -> int:
    """Write a finished run's predictions. Returns the number of samples."""
    written = run.write_predictions(batches)
    task.announce(INDEXING)
    run.index_embeddings()
    return written


def imported_run_info(frame: Frame, imported: dict, seconds: float, notes: list[str]) -> dict:
    """Return the information to store with an imported run. imported: what was imported."""
    extra = imported["extra"]
    return {
        "classes": [*frame.classes, *extra],
        **({UNKNOWN: extra} if extra else {}),
        IMPORTED: imported,
        "seconds": seconds,
        "notes": notes,
    }
