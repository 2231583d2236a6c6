"""What the reviewers together say about each sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..dataset import verdict_log
from ..dataset.verdict_log import KEEP, REMOVE, UNSURE

OUT = -2  # class index of a sample that is to be removed from the dataset


@dataclass(frozen=True)
class Opinions:
    """What the reviewers say about each sample, without the verdict "unsure"."""

    samples: np.ndarray  # ids, int64 (n,), sorted
    agreed: np.ndarray  # bool (n,), whether all reviewers say the same
    target: np.ndarray  # int64 (n,), the class that one of them gives, or OUT
    rows: np.ndarray  # int64 (m,), the verdicts' rows in the log
    at: np.ndarray  # int64 (m,), the place of each verdict's sample in `samples`
    said: np.ndarray  # int64 (m,), the class that each verdict gives, or OUT


def opinions(log: verdict_log.VerdictLog, reviewers: Sequence[str] | None = None) -> Opinions:
    """Return what these reviewers (None: all) say about each sample.

    Keeping a label and changing another one to it are the same opinion.
    """
    rows = log.current
    rows = rows[log.verdict[rows] != UNSURE]
    if reviewers is not None:
        rows = rows[np.isin(log.reviewer[rows], [log.code(name) for name in reviewers])]
    kept, removed = log.verdict[rows] == KEEP, log.verdict[rows] == REMOVE
    target = np.where(kept, log.given[rows], log.label[rows]).astype(np.int64)
    target[removed] = OUT
    samples, first, at = np.unique(log.sample[rows], return_index=True, return_inverse=True)
    agreed = np.ones(len(samples), bool)
    agreed[at[target != target[first][at]]] = False
    return Opinions(samples, agreed, target[first], rows, at, target)
