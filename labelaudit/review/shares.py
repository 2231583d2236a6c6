"""Shares: which reviewer reviews which samples.

A hash of the sample's id and of the reviewers' names decides, so no table is needed, every copy of
the dataset has the same shares, and a sample that is added belongs to a share at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from ..core.errors import BadInputError
from ..dataset import verdict_log
from ..dataset.columns import Frame
from ..dataset.history_log import write_meta
from ..dataset.target import Target, as_dataset
from .sampling import hashed

SHARES = "shares"  # key in `meta`


@dataclass(frozen=True)
class Shares:
    """The reviewers of a dataset, sorted by name. overlap: share of the samples, 0 to 1, that all
    of them review; each other sample has one reviewer."""

    reviewers: tuple[str, ...]
    overlap: float

    def mask(self, reviewer: str, ids: np.ndarray) -> np.ndarray:
        """Return a mask, bool (n,), of the ids, int64 (n,), that this reviewer reviews.

        Raises BadInputError if the reviewer has no share.
        """
        if reviewer not in self.reviewers:
            raise BadInputError(
                f"{reviewer!r} has no share: the reviewers with one are "
                f"{', '.join(self.reviewers)}."
            )
        # The reviewer with the highest hash, so that another reviewer takes samples from each of
        # the present ones, and moves none between them. Source: Thaler and Ravishankar 1998,
        # "Using name-based mappings to increase hit rates" (rendezvous hashing).
        scores = np.stack([hashed(ids, ("share", name)) for name in self.reviewers])
        own = scores.argmax(0) == self.reviewers.index(reviewer)
        return own | (hashed(ids, ("overlap",)) / 2.0**64 < self.overlap)


def assign(dataset: Target, reviewers: Sequence[str], overlap: float = 0.0) -> Shares:
    """Divide the samples among reviewers, and store that with the dataset.

    reviewers: two or more names; an empty list ends the division. overlap: the share of the
    samples, 0 to 1, that all of them review, to measure how far they agree. The review page then
    shows each of them their own share; `QueueFilter(share=name)` selects it. Verdicts stay as they
    are, whoever gave them. Raises BadInputError for one reviewer, a name that is not valid or
    given twice, and another overlap.
    """
    dataset = as_dataset(dataset, "assign")
    frame = dataset.view().frame
    found = _checked(reviewers, overlap)
    with frame.transaction():
        entry = {"reviewers": list(found.reviewers), "overlap": found.overlap}
        write_meta(frame.store, {**frame.meta, SHARES: entry if found.reviewers else None})
    return found


def read_shares(frame: Frame) -> Shares | None:
    """Return how the samples are divided among reviewers; None if they are not."""
    entry = frame.meta.get(SHARES)
    return Shares(tuple(entry["reviewers"]), entry["overlap"]) if entry else None


def in_share(frame: Frame, reviewer: str, ids: np.ndarray) -> np.ndarray:
    """Return a mask, bool (n,), of the ids, int64 (n,), that this reviewer reviews.

    Raises BadInputError if the reviewer has no share.
    """
    shares = read_shares(frame)
    if shares is None:
        raise BadInputError(
            f"{reviewer!r} has no share of dataset {frame.name!r}: divide the samples among "
            f'reviewers first, with labelaudit.assign({frame.name!r}, ["ann", "ben"]).'
        )
    return shares.mask(reviewer, ids)


def _checked(reviewers: Sequence[str], overlap: float) -> Shares:
    if isinstance(reviewers, str) or reviewers is None:
        raise BadInputError(
            f'reviewers={reviewers!r}: give a list of names, such as ["ann", "ben"], or an empty '
            "list to end the division."
        )
    names = [verdict_log.check_reviewer(name).strip() for name in reviewers]
    if len(names) == 1:
        raise BadInputError(f"{names[0]!r} is the only reviewer: give two or more.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadInputError(f"reviewer {twice!r} is given twice: give each name once.")
    if isinstance(overlap, bool) or not isinstance(overlap, Real) or not 0 <= overlap <= 1:
        raise BadInputError(
            f"overlap={overlap!r}: give a number from 0 to 1, such as 0.2 for 20 %."
        )
    return Shares(tuple(sorted(names)), float(overlap))
