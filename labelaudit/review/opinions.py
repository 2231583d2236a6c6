"""What the reviewers together say about each sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import BadInputError
from ..dataset import verdict_log
from ..dataset.verdict_log import KEEP, REMOVE, UNSURE

# How several reviewers' verdicts on a sample are decided: they all say the same, more than half of
# them do, or the one who spoke last is right.
UNANIMOUS, MAJORITY, LATEST = RULES = ("unanimous", "majority", "latest")
OUT = -2  # class index of a sample that is to be removed from the dataset


@dataclass(frozen=True)
class Opinions:
    """What the reviewers say about each sample, without the verdict "unsure"."""

    samples: np.ndarray  # ids, int64 (n,), sorted
    agreed: np.ndarray  # bool (n,), whether the rule decides; by default, if all say the same
    target: np.ndarray  # int64 (n,), the class that is decided, or OUT; any, if none is
    rows: np.ndarray  # int64 (m,), the verdicts' rows in the log
    at: np.ndarray  # int64 (m,), the place of each verdict's sample in `samples`
    said: np.ndarray  # int64 (m,), the class that each verdict gives, or OUT


def opinions(
    log: verdict_log.VerdictLog, reviewers: Sequence[str] | None = None, rule: str = UNANIMOUS
) -> Opinions:
    """Return what these reviewers (None: all) say about each sample, decided by one of RULES.

    Keeping a label and changing another one to it are the same opinion. Raises BadInputError for
    another rule.
    """
    if rule not in RULES:
        raise BadInputError(f"there is no rule {rule!r}: use one of {', '.join(RULES)}.")
    rows = log.current
    rows = rows[log.verdict[rows] != UNSURE]
    if reviewers is not None:
        rows = rows[np.isin(log.reviewer[rows], [log.code(name) for name in reviewers])]
    kept, removed = log.verdict[rows] == KEEP, log.verdict[rows] == REMOVE
    target = np.where(kept, log.given[rows], log.label[rows]).astype(np.int64)
    target[removed] = OUT
    samples, first, at = np.unique(log.sample[rows], return_index=True, return_inverse=True)
    agreed = np.ones(len(samples), bool)
    decided = target[first]
    if rule == UNANIMOUS:
        agreed[at[target != decided[at]]] = False
    elif rule == LATEST:
        last = np.zeros(len(samples), np.int64)
        np.maximum.at(last, at, np.arange(len(rows)))  # rows are oldest first
        decided = target[last]
    else:
        decided, agreed = _majority(at, target, len(samples))
    return Opinions(samples, agreed, decided, rows, at, target)


def _majority(at: np.ndarray, target: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the most frequent class of each sample, int64 (count,), and a mask, bool (count,), of
    those that more than half of its verdicts give."""
    said, votes = np.unique(np.stack([at, target]), axis=1, return_counts=True)
    order = np.lexsort([votes, said[0]])  # the most frequent class of each sample is its last
    best = order[np.searchsorted(said[0][order], np.arange(count), side="right") - 1]
    return said[1][best], 2 * votes[best] > np.bincount(at, minlength=count)
