"""Predictions become a run: written as they come, and counted once all are there."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import numpy as np

from ..dataset import Dataset
from ..edits import tag
from ..errors import LabelAuditError
from ..frame import BEGUN, BROUGHT, Frame
from ..progress import Meter, ProgressCallback
from ..runs import Run, begin_run, refuse_second_training
from ..schema import PROCESSED

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
    frame: Frame, name: str, info: dict, ids: np.ndarray,
    batches: Iterable[tuple[np.ndarray, ...]], progress: ProgressCallback,
) -> Run:  # fmt: skip
    """A run of predictions of a model that was not trained here; see `Run.write_predictions` for
    `batches`. info: of the run; its BROUGHT says what was brought.

    The run counts when all is written: an error on the way, or a kill, leaves what was there.
    """
    run = begin_run(frame, name)
    try:
        with run.training():
            _forget_cut_short(frame, run)
            run.write_predictions(batches, classes=len(info["classes"]))
            Meter(PREPARING, None, progress).report()
            run.index_embeddings()
            run.finish(info)
    except BaseException:
        with suppress(Exception):  # the dataset may be gone; what went wrong first counts
            run.abandon()
        raise
    tag(frame, ids, PROCESSED)
    return run


def keep(
    run: Run, frame: Frame, ids: np.ndarray, batches: Iterable, progress: ProgressCallback
) -> int:
    """Write a finished run's predictions of these samples. Returns how many."""
    written = run.write_predictions(batches)
    Meter(PREPARING, None, progress).report()
    run.index_embeddings()
    tag(frame, ids, PROCESSED)
    return written


def info_of(frame: Frame, brought: dict, seconds: float, notes: list[str]) -> dict:
    """What such a run says of itself."""
    return {"classes": frame.classes, BROUGHT: brought, "seconds": seconds, "notes": notes}


def _forget_cut_short(frame: Frame, run: Run) -> None:
    """Delete what an earlier one of this name had written when it was killed: no other run has
    predictions before it is finished."""
    rows = frame.store.read("runs", ["id", "name"], f"state = '{BEGUN}'")
    for row in rows.to_pylist():
        left = Run(frame, row["id"])
        others = row["name"] == run.name and left.id != run.id and not left.in_training
        if others and left.has_predictions():
            left.abandon()
