"""The review queue: which samples a reviewer sees, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadInputError, NotFoundError
from ..dataset import verdict_log
from ..dataset.arrays import MISSING, find
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..dataset.target import Target, as_dataset, as_view
from ..dataset.view import View
from ..ranking.image_kinds import match_image
from ..ranking.ranking import check_score, ranked, suspects
from ..scores.suspicion import SUSPICION
from ..storage.schema import REMOVED
from .checks import (
    BLOCK,
    CHECKS_EVERY,
    MOST_BETWEEN,
    beginning,
    random_order,
    with_checks,
)
from .estimate_data import AgreedVerdicts, read_scored
from .notes import with_note
from .opinions import UNANIMOUS, opinions
from .shares import in_share
from .verdicts import Review

if TYPE_CHECKING:
    from .blind_controls import Control

ALL, TODO, MINE, DISAGREED = STATUSES = ("all", "todo", "mine", "disagreed")
SIMILAR = 300  # samples in the queue of similar images


@dataclass(frozen=True)
class QueueFilter:
    """Which suspects a reviewer sees, and in which order. None does not filter."""

    run: str | None = None  # None: the latest with predictions
    score: str | None = None  # None: the best that the run has
    given: str | None = None
    predicted: str | None = None
    tag: str | None = None
    split: str | None = None
    low: float | None = None  # bounds of the score
    high: float | None = None
    # "all"; "todo", "mine": without or with a verdict of this reviewer; "disagreed": with verdicts
    # of several reviewers between which `rule` does not decide (see `pending_decisions`)
    status: str = ALL
    everything: bool = False  # all predicted samples, not only suspects
    checks: bool = False  # insert random checks, and end with them
    image: str | None = None  # a kind of `ranking.image_kinds`, of all samples, not only suspects
    suggested: str | None = None  # the class that suspicion suggests
    text: str | None = None  # of the file path or id, of all samples, not only suspects
    # Name of somebody: the samples that they have decided, also if they are no suspects.
    reviewer: str | None = None
    # Id of a sample: it and the SIMILAR samples that look most similar to it, most similar first,
    # also if they are no suspects.
    similar: int | None = None
    samples: tuple[int, ...] | None = None  # only these ids, also if they are no suspects
    noted: bool | None = None  # True: only samples with a note, also if they are no suspects
    rule: str = UNANIMOUS  # used by the status "disagreed" only
    share: str | None = None  # a reviewer's name: only their share (see `assign`)

    @property
    def whole(self) -> bool:
        """Whether all suspects pass the filter."""
        free = ("run", "score", "status", "everything", "checks", "rule", "share")
        narrow = [value for name, value in vars(self).items() if name not in free]
        is_narrow = any(value is not None for value in narrow)
        return not is_narrow and self.status in (ALL, TODO) and not self.everything

    @property
    def of_all(self) -> bool:
        """Whether it selects from all predicted samples, not only from suspects."""
        chosen = (self.image, self.text, self.reviewer, self.similar, self.samples, self.noted)
        return self.everything or any(value is not None for value in chosen)


class Queue:
    """Sample ids in review order. A queue does not change while it is reviewed.

    `ids`: what is still to be reviewed. `scope`: all ids that pass the filter whatever their
    verdicts, in the same order. `checks`: the random checks among them. `controls`: the blind
    controls in the queue by id (`review.blind_controls`).
    """

    def __init__(
        self,
        ids: np.ndarray,
        scope: np.ndarray,
        checks: Iterable[int] = (),
        controls: Mapping[int, Control] | None = None,
    ) -> None:
        self.ids, self.scope = ids, scope
        self.checks, self.controls = frozenset(checks), controls or {}

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.ids)
        return self.ids[order], order

    def place(self, sample: int) -> int | None:
        """Return the place of a sample, from 0; None if it is not in the queue."""
        ids, order = self._sorted
        at, known = find(ids, np.array([sample]))
        return int(order[at[0]]) if known[0] else None

    def places(self, samples: np.ndarray) -> np.ndarray:
        """Return the places of samples that are all in the queue, int64 (n,)."""
        ids, order = self._sorted
        return order[np.searchsorted(ids, samples)]

    def holds(self, samples: np.ndarray) -> np.ndarray:
        """Return a mask, bool (n,), of the samples that are in the queue."""
        return find(self._sorted[0], samples)[1]

    @cached_property
    def _sorted_scope(self) -> np.ndarray:
        return self._sorted[0] if self.scope is self.ids else np.sort(self.scope)

    def covers(self, samples: np.ndarray) -> np.ndarray:
        """Return a mask, bool (n,), of the samples that are in the scope."""
        return find(self._sorted_scope, samples)[1]


def make_queue(dataset: Target, wanted: QueueFilter, reviewer: str) -> Queue:
    """Return the samples for a reviewer, most suspicious first.

    They are suspects; with the status "mine" or "disagreed", or where the filter says so, they are
    any predicted samples.
    dataset: or its name, or a view: then only its samples, without random checks.
    Removed samples are included only with these statuses and if the filter asks for the tag
    `removed`. Random checks are inserted only if all suspects pass the filter.
    Raises BadInputError for an unknown status, rule or class, or a reviewer without a share, and
    NotFoundError for an unknown run, score or sample, or if similar images are wanted of a run
    without embeddings.
    """
    if wanted.status not in STATUSES:
        raise BadInputError(
            f"there is no status {wanted.status!r}: use one of {', '.join(STATUSES)}."
        )
    target, dataset = as_view(dataset, wanted.run), as_dataset(dataset)
    run = dataset.run(target.run)
    score = check_score(run, wanted.score)
    view = _filtered(target.use_run(run.name), wanted, score)
    scope, checks = view.ids, np.empty(0, np.int64)
    if wanted.reviewer is not None:
        scope = scope[np.isin(scope, Review(dataset, wanted.reviewer).judged())]
    if wanted.similar is not None:
        scope = _by_similarity(run, scope, wanted.similar)
    if wanted.checks and wanted.whole and not target.steps:
        scope, is_check = with_checks(scope, random_checks(dataset, run.name, len(scope)))
        checks = scope[is_check]
    if wanted.share is not None:
        scope = scope[in_share(dataset.view().frame, wanted.share, scope)]
        checks = checks[np.isin(checks, scope)]
    ids = _with_status(dataset, scope, wanted, reviewer)
    return Queue(ids, ids if wanted.status in (MINE, DISAGREED) else scope, checks.tolist())


def _filtered(target: View, wanted: QueueFilter, score: str) -> View:
    """Return the samples that pass the filter except for its status, most suspicious first."""
    keeps_removed = wanted.tag == REMOVED or wanted.status in (MINE, DISAGREED)
    if wanted.of_all or keeps_removed:
        view = target.above("confidence", 0)  # predicted samples only
        view = view if keeps_removed else view.exclude_tag(REMOVED)
        view = ranked(view, score)
    else:
        view = suspects(target, score=score)
    view = view.match(label=wanted.given, prediction=wanted.predicted, split=wanted.split)
    view = view.match(suggested=wanted.suggested)
    view = view.match_tag(wanted.tag) if wanted.tag else view
    view = view.search(wanted.text) if wanted.text else view
    view = view if wanted.samples is None else view.select(wanted.samples)
    view = match_image(view, wanted.image) if wanted.image else view
    view = with_note(view) if wanted.noted else view
    if wanted.low is None and wanted.high is None:
        return view
    low = -np.inf if wanted.low is None else wanted.low
    return view.between(score, low, np.inf if wanted.high is None else wanted.high)


def random_checks(dataset: Dataset, run: str, suspects: int) -> np.ndarray:
    """Return the ids of the random checks that a queue with so many suspects shows.

    They are the beginning of a random order of all samples that can be reviewed. The order depends
    only on the dataset, the run and its suspicions, so it is the same for all reviewers and
    sessions. There are at least BLOCK checks that nobody has decided on when the order begins.
    """
    view = dataset.view(run)
    with view.steady():
        if SUSPICION not in view.score_names():
            ids = view.exclude_tag(REMOVED).above("confidence", 0).ids
            ids = ids[view.frame.label[view.frame.positions(ids)] != MISSING]
            order = random_order(ids, dataset.created, dataset.run(run).id)
            return ids[order[: max(min(suspects // (CHECKS_EVERY - 1), MOST_BETWEEN), BLOCK)]]
        scored = read_scored(dataset, view)
        state = AgreedVerdicts.read(dataset, scored).states(scored)
        done = len(beginning(scored.order, state))
        count = max(
            min(suspects // (CHECKS_EVERY - 1), MOST_BETWEEN), done // BLOCK * BLOCK + BLOCK
        )
        usable = scored.current[scored.order]
        return scored.ids[scored.order[usable]][:count]


def _by_similarity(run: Run, ids: np.ndarray, sample: int) -> np.ndarray:
    """Return the sample itself and those most similar to it, as far as they are among the ids."""
    found = run.neighbours([sample], SIMILAR)
    if found is None:
        raise NotFoundError(
            f"run {run.name!r} has no embeddings, so similar images are not known: choose another "
            "run, or predict again."
        )
    near = np.concatenate([[sample], found[0][0]])
    return near[np.isin(near, ids)]


def _with_status(
    dataset: Dataset, ids: np.ndarray, wanted: QueueFilter, reviewer: str
) -> np.ndarray:
    if wanted.status == ALL:
        return ids
    if wanted.status == DISAGREED:
        said = opinions(verdict_log.read(dataset.view().frame), rule=wanted.rule)
        return ids[np.isin(ids, said.samples[~said.agreed])]
    return ids[np.isin(ids, Review(dataset, reviewer).judged(), invert=wanted.status == TODO)]
