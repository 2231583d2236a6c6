"""Estimates how many labels are wrong, and what the random checks prove."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from ..core.errors import NotFoundError
from ..dataset.dataset import Dataset
from ..dataset.run_scores import SELF_TESTS
from ..dataset.target import Target, as_dataset, as_view
from ..scores.self_test import SelfTest
from ..scores.suspicion import SUSPICION
from . import advice, breakdown
from .blind_controls import all_answers
from .checks import OPEN, WRONG, Population, beginning, has_skipped
from .count import CONFIDENCE, Count, Seen
from .estimate_data import AgreedVerdicts, ScoredSamples, by_stratum, read_scored
from .proof import Proof
from .reviewer_errors import ReviewerErrors
from .strata import STRATA, SUSPECT


def has_suspicion(dataset: Dataset, run: str | None = None) -> bool:
    """Whether `estimate_wrong` works for this run."""
    return SUSPICION in dataset.view(run).score_names()


def estimate_wrong(dataset: Target, run: str | None = None, reviewed: bool = True) -> Estimate:
    """Estimate how many labels are wrong, from a run's `suspicion` and the reviewers' verdicts.

    dataset: or its name, or a view: then the wrong labels among its samples. run: by default that
    of the view, or the latest with predictions. reviewed: False ignores the verdicts. A verdict
    counts if all reviewers agree; "unsure" is ignored, and samples with disagreement count as not
    reviewed. Raises NotFoundError for a run without suspicion.
    """
    target, dataset = as_view(dataset, run), as_dataset(dataset)
    view = target.use_run(dataset.run(target.run).name)
    with view.steady():
        if SUSPICION not in view.score_names():
            raise NotFoundError(_no_suspicion(dataset, view.run))
        scored = read_scored(dataset, view)
        if view.steps:
            only = np.isin(view.frame.ids, view.ids)
            scored = ScoredSamples.read(dataset, view, only)

        def compute_before() -> Estimate:
            return Estimate(scored, None, self_test=dataset.run(view.run).self_test())

        def compute() -> Estimate:
            errors = ReviewerErrors.of(all_answers(dataset).values())
            verdicts = AgreedVerdicts.read(dataset, scored)
            return Estimate(scored, verdicts, errors, before.self_test, before)

        if view.steps:  # not cached: there may be many views, with arrays of all samples each
            before = compute_before()
            return compute() if reviewed else before
        derived = view.fields.derived
        before = derived(("estimate before", view.run), compute_before, SELF_TESTS)
        if not reviewed:
            return before
        return derived(("estimate", view.run), compute, "verdicts", "controls", SELF_TESTS)


def _no_suspicion(dataset: Dataset, run: str) -> str:
    reason, fix = "has no suspicion yet", "score the run"
    if dataset.run(run).is_first_look:
        reason, fix = "has no suspicion", "take the first look again"
    return f"run {run!r} {reason}: {fix} to see how many wrong labels are left."


class Estimate:
    """The estimated number of wrong labels.

    samples: those with a suspicion. reviewed: samples that reviewers agree on. found: wrong labels
    among them. open: samples that are not decided. wrong: all wrong labels; `low` to `high` is the
    interval of 95 %, or of another `confidence`. left: wrong labels that are not found. certain:
    those of them that are certain, because copies of an image have different labels and none of
    them is decided. proof: what the random checks prove. self_test: see `scores.self_test`; None if
    there is none.
    """

    def __init__(
        self,
        scored: ScoredSamples,
        verdicts: AgreedVerdicts | None,
        errors: ReviewerErrors | None = None,
        self_test: SelfTest | None = None,
        before: Estimate | None = None,
        confidence: float = CONFIDENCE,
    ) -> None:
        """before: the estimate without verdicts. It bounds the interval from above."""
        self._scored, self._verdicts = scored, verdicts or AgreedVerdicts.none()
        self.errors, self.self_test = errors or ReviewerErrors.of([]), self_test
        self._counted = scored.known if verdicts is None else scored.current
        verdicts = self._verdicts
        self.samples = len(scored)
        self.found, self.reviewed = len(verdicts.found), len(verdicts.samples)
        # places of samples with verdicts that decide nothing
        self.undecided = verdicts.undecided[scored.current[verdicts.undecided]]
        self._state = verdicts.states(scored)
        self._checked = beginning(scored.order, self._state)
        self._seen = self._by_stratum()
        self.open = int(self._seen.open.sum())
        self._count = Count(self._seen, self.errors, self_test, confidence)
        # labels that were found wrong but are not among the scored ones any more
        others = self.found - int(self._seen.wrong.sum())
        bounds = (self._count.low, self._count.middle, self._count.high)
        self.low, self.wrong, self.high = (max(float(others + n), 0.0) for n in bounds)
        if before:
            self.high = max(self.high, min(self._most_by_checks(), before.high))
        self.certain = self._certain()
        self.low = max(self.low, float(self.found + self.certain))
        self.wrong, self.high = max(self.wrong, self.low), max(self.high, self.low)
        self.left = max(self.wrong - self.found, 0.0)

    def __repr__(self) -> str:
        return f"Estimate({self.headline()})"

    def _by_stratum(self) -> Seen:
        scored, verdicts = self._scored, self._verdicts
        counts, sums = scored.sums[self._counted is scored.current]
        stratum, p = scored.stratum[verdicts.at], scored.p[verdicts.at]

        def count(of: np.ndarray) -> np.ndarray:
            return np.bincount(stratum[of], minlength=STRATA)

        inside = self._counted[verdicts.at]
        left = counts - count(inside)
        of_left = sums - np.bincount(stratum[inside], p[inside], STRATA)
        wrong, right = count(verdicts.wrong), count(~verdicts.wrong)
        low = np.arange(STRATA) < SUSPECT
        checks, of_checks = by_stratum(scored, self._checked)
        hits = by_stratum(scored, self._checked[self._state[self._checked] == WRONG])[0]
        used = np.where(low, checks, wrong + right)
        of_used = np.where(low, of_checks, np.bincount(stratum, p, STRATA))
        hits = np.where(low, hits, wrong)
        return Seen(
            hits=hits,
            misses=used - hits,
            wrong=wrong,
            right=right,
            open=left,
            mean_open=np.maximum(of_left, 0) / np.maximum(left, 1),
            mean_used=of_used / np.maximum(used, 1),
            mean=sums / np.maximum(counts, 1),
        )

    def _most_by_checks(self) -> float:
        """Upper bound of the wrong labels, if random checks alone tell about low suspicion."""
        hidden = self._count.most_hidden(int(self._seen.wrong[:SUSPECT].sum()))
        rest = self._count.rest[:, SUSPECT:].sum(axis=1)
        return self.found + hidden + float(np.median(rest))

    def _certain(self) -> int:
        at, group, least = self._scored.conflicts
        decided = np.bincount(group[self._state[at] != OPEN], minlength=len(least))
        return int(least[decided == 0].sum())

    @property
    def missing(self) -> int:
        """Number of labelled samples without a suspicion, which are not counted."""
        return self._scored.missing

    @property
    def checks(self) -> int:
        """Number of random checks that count."""
        return len(self._checked)

    @cached_property
    def proof(self) -> Proof:
        """What the random checks prove."""
        scored, seen = self._scored, self._seen
        low = scored.is_low
        undecided = self.undecided
        drawn = self._checked[low[self._checked]]
        counts, sums = scored.sums[1]
        low_undecided = int(low[undecided].sum())
        # labels that were decided and then changed count too: they were drawn from all
        size = int((seen.open + seen.wrong + seen.right)[:SUSPECT].sum()) - low_undecided
        share = sums[:SUSPECT].sum() / max(counts[:SUSPECT].sum(), 1)
        return Proof(
            population=Population(size, float(share)),
            drawn=len(drawn),
            hits=int((self._state[drawn] == WRONG).sum()),
            found=self.found,
            found_outside=self.found - int(seen.wrong[:SUSPECT].sum()),
            reviewed=self.reviewed,
            suspects=int(np.count_nonzero(self._state[scored.suspects_at] == OPEN)),
            likely=int(seen.open[SUSPECT:].sum()) - (len(undecided) - low_undecided),
            likely_wrong=float(self._count.expected[SUSPECT:].sum()),
            open=self.open,
            checks=self.checks,
            samples=self.samples,
            skipped=has_skipped(scored.order, self._state, low),
            errors=self.errors,
            kept_suspects=self._kept_suspects(),
        )

    def _kept_suspects(self) -> tuple[int, int] | None:
        """Number of the reviewed labels that are probably wrong by suspicion, and of those of them
        that were kept, if reviewers kept most of them; else None."""
        top, seen = slice(SUSPECT + 1, None), self._seen
        wrong, right = int(seen.wrong[top].sum()), int(seen.right[top].sum())
        claimed = float((seen.mean_used * (seen.wrong + seen.right))[top].sum())
        return (wrong + right, right) if claimed >= 5 and wrong < claimed / 4 else None

    @property
    def corrected(self) -> int:
        """Number of the wrong labels that were found and changed or removed since."""
        at, scored = self._verdicts.found_at, self._scored
        return int(np.count_nonzero(scored.known[at] & ~scored.current[at]))

    def headline(self) -> str:
        """Return the number in words: "About 41 (23 to 82) of 3,781 labels are wrong; 12 found."""
        return advice.headline(self)

    def advice(self) -> tuple[bool, str]:
        """Return whether to stop, and what to do.

        One can stop if the random checks show that 95 % of the wrong labels are found, or that at
        most 1 % of the labels are wrong.
        """
        return advice.advice(self)

    def explanation(self) -> list[str]:
        """Return sentences that say what the number is made of."""
        return advice.explanation(self)

    @property
    def warning(self) -> str | None:
        """Why suspicion is not to be relied on here, by its self-test; else None."""
        return self.self_test.warning if self.self_test else None

    @cached_property
    def by_stratum(self) -> pd.DataFrame:
        """What was seen and is expected, by suspicion.

        Columns: suspicion, samples, reviewed, found, left (float: wrong labels expected among the
        samples that are not reviewed).
        """
        return breakdown.by_stratum(self._seen, self._count)

    @cached_property
    def by_class(self) -> pd.DataFrame:
        """The estimate by given class, most wrong labels first.

        Columns: class, samples, found, wrong, low, high (float). Labels that were found count under
        the class that reviewers called wrong, also after they were corrected.
        """
        parts = breakdown.Parts(self._scored, self._verdicts, self._count, self._state, self.left)
        return breakdown.by_class(parts)

    @cached_property
    def by_pair(self) -> pd.DataFrame:
        """The estimate by given and suggested class, most wrong labels first.

        Columns: given, suggested, found, wrong, low, high (float); at most SHOWN_PAIRS rows.
        suggested is the most probable other class, None for none. For labels that were found it is
        the reviewers' class, None for removed samples.
        """
        parts = breakdown.Parts(self._scored, self._verdicts, self._count, self._state, self.left)
        return breakdown.by_pair(parts)
