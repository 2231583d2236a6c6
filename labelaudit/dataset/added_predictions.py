"""Predictions that are added bit by bit: one sample or one batch at a time, to the same run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.errors import BadInputError
from ..core.plural import counted
from ..core.progress import QUIET
from ..storage import paths
from ..storage.schema import IMPORTED
from .arrays import as_ids
from .columns import Frame
from .run_lifecycle import refuse_second_training
from .runs import Run, unfinished_runs
from .stored_predictions import create_imported_run, imported_run_info

SOURCE = "predictions added in Python"
NOTE_END = " a prediction."  # of the note that says how many there are


def add(frame: Frame, ids: Sequence[int] | np.ndarray, logits, run: str) -> int:
    """Add logits to a run, which is created if necessary; see Dataset.add_predictions."""
    if frame.pending is not None:
        return frame.pending.add_predictions(np.atleast_1d(ids), logits, run)
    found = target(frame, run)
    rows = checked(ids, logits, len(found.classes if found else frame.classes))
    frame.positions(ids)  # raises NotFoundError
    store(frame, as_ids(ids), rows, run)
    return len(rows)


def target(frame: Frame, name: str) -> Run | None:
    """Return the run to which predictions can be added; None if there is none of this name yet.

    Raises BadInputError for an unsuitable name and for a run that was created here, and BusyError
    while it is being trained.
    """
    paths.check_name(name, "run")
    found = next((run for run in frame.runs if run["name"] == name), None)
    if (found and IMPORTED not in found) or name in [run.name for run in unfinished_runs(frame)]:
        raise BadInputError(
            f"run {name!r} of dataset {frame.name!r} was created here, so predictions of another "
            "model cannot be added to it: give another name (run=)."
        )
    refuse_second_training(frame, name)
    return Run(frame, found["id"]) if found else None


def checked(ids: Sequence[int] | np.ndarray, logits, classes: int) -> np.ndarray:
    """Return logits as float32 (n, classes). Raises BadInputError for another shape, for numbers
    that are not finite, and for an id that is given twice."""
    if hasattr(logits, "detach"):  # a tensor of torch, maybe with gradients or on a GPU
        logits = logits.detach().float().cpu().numpy()
    rows = np.array(logits, np.float32, ndmin=2)  # a copy: the caller may reuse the buffer
    if rows.shape != (len(ids), classes):
        raise BadInputError(
            f"logits of shape {np.shape(logits)} were given for {len(ids)} samples and {classes} "
            f"classes: give ({len(ids)}, {classes}), or ({classes},) for one sample."
        )
    if not np.isfinite(rows).all():
        row = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise BadInputError(
            f"the logits of sample {ids[row]} are not finite ({rows[row].tolist()[:5]} …). For "
            "probabilities give np.log(np.maximum(p, 1e-12))."
        )
    if classes > 1 and (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-4):
        raise BadInputError(
            f"the values of sample {ids[0]} are probabilities, which sum to 1: give logits, or "
            "np.log(np.maximum(p, 1e-12))."
        )
    if len(ids) > 1 and len(np.unique(ids)) != len(ids):
        raise BadInputError("an id is given twice: give each sample one row of logits.")
    return rows


def store(frame: Frame, ids: np.ndarray, logits: np.ndarray, name: str) -> Run:
    """Store checked logits, float32 (n, C). Existing predictions of these ids are replaced."""
    found, batches = target(frame, name), [(ids, logits)]
    if found is None:
        return create_imported_run(frame, name, _info(frame, len(ids)), batches, QUIET)
    found.write_predictions(batches)
    imported = found.info[IMPORTED]
    count = len(found.predicted_ids())
    if imported.get("rows") != count:
        notes = [note for note in found.info.get("notes", []) if not note.endswith(NOTE_END)]
        more = {IMPORTED: {**imported, "rows": count}, "notes": [*notes, _note(count)]}
        found.set_info(more)
    return found


def _info(frame: Frame, rows: int) -> dict:
    imported = {
        "source": SOURCE,
        "rows": rows,
        "samples": len(frame.ids),
        "by": "id",
        "kind": "logits",
        "missing": [],
        "extra": [],
        "embeddings": None,
        "doubt": None,
        "out_of_sample": False,
    }
    return imported_run_info(frame, imported, 0.0, [_note(rows)])


def _note(rows: int) -> str:
    return f"{counted(rows, 'sample', 'has', 'have')}{NOTE_END}"
