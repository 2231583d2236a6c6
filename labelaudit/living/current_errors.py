"""How many labels are wrong now, in a part of a dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..core.errors import NotFoundError
from ..dataset.arrays import MISSING, find
from ..dataset.dataset import Dataset
from ..dataset.view import View
from ..review.blind_controls import all_answers
from ..review.count import CONFIDENCE
from ..review.estimate import Estimate
from ..review.estimate_data import AgreedVerdicts, ScoredSamples, read_scored
from ..review.opinions import OUT
from ..review.reviewer_errors import ReviewerErrors
from ..scores.suspicion import SUSPICION
from ..storage.schema import REMOVED

NO_IDS = np.empty(0, np.int64)


@dataclass(frozen=True)
class CurrentErrors:
    """Wrong labels of a part of a dataset that are still there, not those that were corrected.

    labels: labelled samples of the part, without removed ones. wrong: the estimate; low to high is
    its interval. not_judged: labels without a suspicion and without a verdict; `high` counts them
    all as wrong. reviewed: labels with a verdict that all reviewers agree on, or accepted.
    """

    labels: int
    wrong: float
    low: float
    high: float
    not_judged: int
    reviewed: int

    def share(self, number: float) -> float:
        """Return a number of labels as a share of all, 0 to 1; 0 without labels."""
        return number / self.labels if self.labels else 0.0


class JudgedRun:
    """What a run and the reviewers say about all labels; `errors` answers for a part of them."""

    def __init__(
        self, dataset: Dataset, run: str | None = None, accepted: np.ndarray = NO_IDS
    ) -> None:
        """run: by default the latest with predictions. accepted: ids whose label is right.

        Raises NotFoundError for a run without suspicion. Use it within `dataset.steady()`.
        """
        self.dataset = dataset
        self.view: View = dataset.view(dataset.run(run).name)
        if SUSPICION not in self.view.score_names():
            raise NotFoundError(
                f"run {self.view.run!r} of dataset {dataset.name!r} has no suspicion, which counts "
                f"wrong labels: run `labelaudit audit {dataset.name}` first."
            )
        self.frame = self.view.frame
        self.scored = read_scored(dataset, self.view)
        self.accepted = np.unique(accepted)
        said = AgreedVerdicts.read(dataset, self.scored)
        self.verdicts = _with_accepted(said, self.scored, self.accepted)
        self.test = dataset.run(self.view.run).self_test()
        self._answers = all_answers(dataset)

    @cached_property
    def is_label(self) -> np.ndarray:
        """Mask, bool (n,), of the labelled samples that are not removed."""
        return (self.frame.label != MISSING) & ~self.frame.tagged(REMOVED)

    @cached_property
    def is_corrected(self) -> np.ndarray:
        """Mask, bool (n,), of the samples that reviewers found wrong and that are corrected."""
        verdicts, corrected = self.verdicts, np.zeros(len(self.frame.ids), bool)
        at, target = verdicts.found_at, verdicts.found_target
        out = self.frame.tagged(REMOVED)[at]
        corrected[at] = np.where(target == OUT, out, self.frame.label[at] == target)
        return corrected

    @cached_property
    def is_decided(self) -> np.ndarray:
        """Mask, bool (n,), of the samples that reviewers agree on, or that are accepted."""
        decided = np.zeros(len(self.frame.ids), bool)
        decided[find(self.frame.ids, self.verdicts.samples)[0]] = True
        return decided

    def errors(
        self, part: np.ndarray | None = None, confidence: float = CONFIDENCE
    ) -> CurrentErrors:
        """Count the wrong labels among these samples. part: bool (n,), by default all."""
        part = np.ones(len(self.frame.ids), bool) if part is None else part
        labels = part & self.is_label
        not_judged = int((labels & ~self.scored.current & ~self.is_decided).sum())
        reviewed = int((labels & self.is_decided).sum())
        size = int(labels.sum())
        scored, verdicts = _part(self.scored, part), _part_of_verdicts(self.verdicts, part)
        if not len(scored):
            return CurrentErrors(size, 0.0, 0.0, float(not_judged), not_judged, reviewed)
        errors = ReviewerErrors.of(self._answers.values())
        before = Estimate(scored, None, None, self.test, confidence=confidence)
        found = Estimate(scored, verdicts, errors, self.test, before, confidence)
        corrected = int((part & self.is_corrected).sum())
        low, wrong, high = (
            min(max(number - corrected, 0.0), size)
            for number in (found.low, found.wrong, found.high)
        )
        return CurrentErrors(size, wrong, low, min(high + not_judged, size), not_judged, reviewed)


def _with_accepted(
    said: AgreedVerdicts, scored: ScoredSamples, accepted: np.ndarray
) -> AgreedVerdicts:
    """Add the accepted samples as labels that are right, unless reviewers decided on them."""
    new = np.setdiff1d(accepted, said.samples)
    at = find(scored.ids, new)[0]
    known = at[scored.known[at]]
    return replace(
        said,
        samples=np.union1d(said.samples, new),
        at=np.concatenate([said.at, known]),
        wrong=np.concatenate([said.wrong, np.zeros(len(known), bool)]),
        undecided=np.setdiff1d(said.undecided, at),
    )


def _part(scored: ScoredSamples, part: np.ndarray) -> ScoredSamples:
    return replace(
        scored,
        p=np.where(part, scored.p, np.nan),
        current=scored.current & part,
        order=scored.order[part[scored.order]],
    )


def _part_of_verdicts(verdicts: AgreedVerdicts, part: np.ndarray) -> AgreedVerdicts:
    inside, found = part[verdicts.at], part[verdicts.found_at]
    return replace(
        verdicts,
        at=verdicts.at[inside],
        wrong=verdicts.wrong[inside],
        found=verdicts.found[found],
        found_at=verdicts.found_at[found],
        found_target=verdicts.found_target[found],
        undecided=verdicts.undecided[part[verdicts.undecided]],
    )
