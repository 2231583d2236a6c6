"""Compares the labels of a source with those that it had, and with those of the dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..dataset import verdict_log
from ..dataset.arrays import MISSING, find
from ..dataset.columns import Frame
from ..review.opinions import OUT, opinions

REVIEWED = "reviewers decided otherwise"
DISPUTED = "reviewers disagree about it"
CHANGED_HERE = "its label was changed here"


@dataclass(frozen=True)
class LabelChanges:
    """What happens to samples whose label in the source is another one than before.

    Arrays are aligned to `ids`; classes are indices, with new classes after those of the dataset.
    """

    ids: np.ndarray  # int64 (n,), sorted
    before: np.ndarray  # int32, in the source; MISSING for none
    after: np.ndarray  # int32, in the source
    here: np.ndarray  # int32, in the dataset
    takes: np.ndarray  # bool: the dataset takes the new label
    conflict: np.ndarray  # bool: a person must decide
    why: np.ndarray  # text for conflicts


def rename_classes(
    before: np.ndarray, after: np.ndarray, known: int, used: set[int]
) -> dict[int, int]:
    """Return which classes the source calls differently: old index to new index.

    before, after: class index of each image that is still there, int (n,), and now; indices from
    `known` on are new classes. used: the classes that any image of the source has now. A class is
    renamed if it is gone, and all its images are in one new class that has no other known image.
    """
    labelled = (before != MISSING) & (after != MISSING)
    pairs = np.unique(np.stack([before[labelled], after[labelled]]), axis=1)
    old, old_count = np.unique(pairs[0], return_counts=True)
    new, new_count = np.unique(pairs[1], return_counts=True)
    only_old, only_new = set(old[old_count == 1].tolist()), set(new[new_count == 1].tolist())
    return {
        a: b
        for a, b in pairs.T.tolist()
        if b >= known and a in only_old and b in only_new and a not in used
    }


def compare_labels(
    frame: Frame, ids: np.ndarray, before: np.ndarray, after: np.ndarray
) -> LabelChanges:
    """Decide what happens to each sample. ids: int64 (n,). before, after: class indices, int (n,),
    in the source when it was read last, and now."""
    order = np.argsort(ids)
    differs = order[before[order] != after[order]]
    ids, before, after = ids[differs], before[differs], after[differs]
    here = frame.label[frame.positions(ids)] if len(ids) else np.empty(0, np.int32)
    log = verdict_log.read(frame)
    said = opinions(log)
    at, known = find(said.samples, ids)
    agreed = np.zeros(len(ids), bool)
    target = np.full(len(ids), MISSING, np.int64)
    if len(said.samples):
        agreed, target = known & said.agreed[at], np.where(known, said.target[at], MISSING)
    settled = here == after
    fits = agreed & (target == after) & (target != OUT)
    takes = ~settled & (fits | (~known & (here == before)))
    why = np.where(known, np.where(agreed, REVIEWED, DISPUTED), CHANGED_HERE)
    return LabelChanges(ids, before, after, here, takes, ~settled & ~takes, why)
