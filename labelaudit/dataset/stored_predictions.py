"""Predictions become a run: written as they come, and counted once all are there."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import numpy as np

from ..core.errors import LabelAuditError
from ..core.progress import Task
from .columns import BROUGHT, Frame
from .dataset import Dataset
from .runs import Run, begin_run, refuse_second_training

PREPARING = "preparing the search for similar images"


def refuse_to_replace(dataset: Dataset, name: str) -> None:
    """Raises LabelAuditError where a run of this name was made here: only a brought one is
    replaced without asking."""
    made = name in dataset.runs and not dataset.run(name).is_brought
    if made or name in dataset.unfinished_runs:
        raise LabelAuditError(
            f"run {name!r} of dataset {dataset.name!r} was made here, and these predictions would "
            "replace it: give them another name (run=)."
        )
    refuse_second_training(dataset.view().frame, name)


def bring(
    frame: Frame, name: str, info: dict, batches: Iterable[tuple[np.ndarray, ...]],
    task: Task,
) -> Run:  # fmt: skip
    """A run of predictions of a model that was not trained here; see `Run.write_predictions` for
    `batches`. info: of the run; its BROUGHT says what was brought.

    The run counts when all is written: an error on the way, or a kill, leaves what was there.
    """
    run = begin_run(frame, name)
    try:
        with run.training():
            run.write_predictions(batches, classes=len(info["classes"]))
            task.announce(PREPARING)
            run.index_embeddings()
            run.finish(info)
    except BaseException:
        with suppress(Exception):  # the dataset may be gone; what went wrong first counts
            run.abandon()
        raise
    return run


def keep(run: Run, batches: Iterable, task: Task) -> int:
    """Write a finished run's predictions. Returns how many."""
    written = run.write_predictions(batches)
    task.announce(PREPARING)
    run.index_embeddings()
    return written


def info_of(frame: Frame, brought: dict, seconds: float, notes: list[str]) -> dict:
    """What such a run says of itself."""
    return {"classes": frame.classes, BROUGHT: brought, "seconds": seconds, "notes": notes}
