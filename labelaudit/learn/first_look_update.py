"""Adds the images of a sync to a first look, without fitting it again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..core.plural import counted
from ..core.progress import QUIET, Task
from ..dataset.arrays import find
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..features.choice import FeatureSet, named_features
from ..features.duplicates import duplicates
from ..features.extraction import Compute
from ..storage.schema import FIRST_LOOK
from .first_look_fit import StoredFit, digest_of

ROWS = 5_000  # predicted at once


def update_first_look(
    run: Run, dataset: Dataset, task: Task = QUIET, compute: Compute | None = None
) -> str | None:
    """Predict the samples that a first look has not predicted with the fit that it stored.

    Earlier predictions stay: none of them was made with the sample's own label. A new copy of a
    known image gets the prediction of that image, because the fit has learned from it. All
    predictions are one commit. compute: see `features.extraction.extract`.
    Returns what was done, the first half of a sentence for the user; None, without a change, if the
    fit cannot be used because the features or the version of LabelAudit changed.
    Raises StoppedError after a stop.
    """
    packed = run.fit()
    fit = None if packed is None else StoredFit.unpack(packed)
    if fit is None:
        return None
    frame = dataset.view().frame
    ids = frame.ids
    chosen = named_features(frame, ids, run.info[FIRST_LOOK]["features"], compute)
    chosen.extract(ids, task)
    if not chosen.available(fit.landmarks).all():
        return None
    landmarks = chosen.read(fit.landmarks)
    if not np.array_equal(digest_of(landmarks), fit.digest):
        return None
    task.check("the first look")
    known, ids = run.predicted_ids(), ids[chosen.available(ids)]
    new = np.setdiff1d(ids, known)
    if len(new):
        predicted = _predict(fit, fit.joined.transform(landmarks), chosen, new)
        run.write_predictions(_with_copies(dataset, run, predicted))
    if (notes := chosen.notes(frame.ids)) != run.info["notes"]:
        run.set_info({"notes": notes})
    return (
        f"The first look kept the predictions of {counted(len(known), 'image')} and predicted "
        f"{counted(len(new), 'new image')} with its stored fit"
    )


Predictions = tuple[np.ndarray, np.ndarray, np.ndarray]  # ids, logits, embeddings


def _predict(
    fit: StoredFit, landmarks: np.ndarray, chosen: FeatureSet, ids: np.ndarray
) -> Iterator[Predictions]:
    for start in range(0, len(ids), ROWS):
        some = ids[start : start + ROWS]
        features = fit.joined.transform(chosen.read(some))
        yield some, *fit.predictor.predict(features, landmarks)


def _with_copies(
    dataset: Dataset, run: Run, batches: Iterator[Predictions]
) -> Iterator[Predictions]:
    """Replace the logits of new copies by those of the known image."""
    originals = _originals(dataset, run)
    logits_of = _logits(run, np.unique(originals[:, 1]))
    for ids, logits, embeddings in batches:
        at, found = find(originals[:, 0], ids)
        for row in np.flatnonzero(found):
            logits[row] = logits_of[int(originals[at[row], 1])]
        yield ids, logits, embeddings


def _originals(dataset: Dataset, run: Run) -> np.ndarray:
    """Return pairs of ids, int64 (m, 2), sorted: a sample without a prediction, and a copy of it
    with one. Their labels do not matter: the copy may have had another one when it was learned."""
    known, ids = duplicates(dataset), dataset.view().ids
    if known is None:
        return np.empty((0, 2), np.int64)
    groups = known.group_of(ids)
    predicted = np.isin(ids, run.predicted_ids())
    group, first = np.unique(groups[predicted], return_index=True)
    at, found = find(group, groups[~predicted])
    return np.stack([ids[~predicted][found], ids[predicted][first[at[found]]]], axis=1)


def _logits(run: Run, ids: np.ndarray) -> dict[int, np.ndarray]:
    """Return the stored logits of these samples, float32 (C,), by id. ids: sorted."""
    found: dict[int, np.ndarray] = {}
    if len(ids):
        for some, logits in run.logits():
            wanted = np.isin(some, ids)
            found |= dict(zip(some[wanted].tolist(), logits[wanted], strict=True))
    return found
