"""Estimates how many labels are wrong and how many of them are left."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from ..core.errors import NotFoundError
from ..dataset.arrays import MISSING, find
from ..dataset.dataset import Dataset
from ..scores.suspicion import SUSPICION
from . import advice
from .advice import AHEAD, ENOUGH, LEAST_YIELD
from .calibration import BINS, posterior
from .estimate_data import AgreedVerdicts, ScoredSamples
from .interval import quantiles
from .opinions import OUT

# How far a class, or a pair of classes, may differ from the calibration (standard deviation of the
# ratio). The verdicts on it narrow this down.
CLASS_SPREAD, PAIR_SPREAD = 0.3, 0.4
SHOWN_PAIRS = 100


def has_suspicion(dataset: Dataset, run: str | None = None) -> bool:
    """Whether `estimate_wrong` works for this run."""
    return SUSPICION in dataset.view(run).score_names()


def estimate_wrong(dataset: Dataset, run: str | None = None, reviewed: bool = True) -> Estimate:
    """Estimate how many labels are wrong, from a run's `suspicion` and the reviewers' verdicts.

    run: by default the latest with predictions. reviewed: False ignores the verdicts. A verdict
    counts if all reviewers agree; "unsure" is ignored, and samples with disagreement count as not
    reviewed. Raises NotFoundError for a run without suspicion.
    """
    view = dataset.view(dataset.run(run).name)
    with view.steady():
        if SUSPICION not in view.score_names():
            raise NotFoundError(_no_suspicion(dataset, view.run))
        scored = view.frame.cached(
            ("scored", view.run), view.fields.stamp(), lambda: ScoredSamples.read(dataset, view)
        )

        def compute() -> Estimate:
            verdicts = AgreedVerdicts.read(dataset, scored) if reviewed else None
            return Estimate(scored, verdicts)

        stamps = view.fields.stamp(), view.frame.stamp("verdicts")
        return view.frame.cached(("estimate", view.run, reviewed), stamps, compute)


def _no_suspicion(dataset: Dataset, run: str) -> str:
    reason, fix = "has no suspicion yet", "score the run"
    if dataset.run(run).is_first_look:
        reason, fix = "has no suspicion", "train"
    return f"run {run!r} {reason}: {fix} to see how many wrong labels are left."


class Estimate:
    """The estimated number of wrong labels. Numbers of labels are floats, of samples ints.

    found: wrong labels that reviewers found. reviewed: samples that they agree on. samples: those
    with a suspicion. left: wrong labels expected among the samples that are not decided. wrong:
    found and left together; `low` to `high` is its 95 % interval.
    """

    def __init__(self, scored: ScoredSamples, verdicts: AgreedVerdicts | None) -> None:
        self._counted = scored.known if verdicts is None else scored.current
        verdicts = verdicts or AgreedVerdicts.none()
        self._scored, self._verdicts = scored, verdicts
        self.found, self.reviewed = len(verdicts.found), len(verdicts.samples)
        self.samples = len(scored)
        decided = verdicts.at[self._counted[verdicts.at]]
        self._counts = scored.counts[self._counted is scored.current] - np.bincount(
            scored.bin[decided], minlength=BINS
        )
        judged = scored.bin[verdicts.at] if len(verdicts.at) else np.empty(0, np.int64)
        wrong = np.bincount(judged[verdicts.wrong], minlength=BINS)
        right = np.bincount(judged[~verdicts.wrong], minlength=BINS)
        self._q, self._weights = posterior(scored.logit, scored.mean, wrong, right)
        self._expected = self._q @ self._weights  # P(wrong) of a sample in each bin
        bounds = quantiles(self._q, self._weights, self._counts[None])
        # the median, because a small chance of very many hidden errors dominates the mean
        low, self.left, high = (float(bound[0]) for bound in bounds)
        self.wrong, self.low, self.high = self.found + np.array([self.left, low, high])

    def __repr__(self) -> str:
        return (
            f"Estimate({self.wrong:,.0f} wrong labels ({self.low:,.0f} to {self.high:,.0f}), "
            f"{self.found:,} found)"
        )

    @cached_property
    def _open(self) -> np.ndarray:
        """Mask, bool (n,), of the samples that are not decided."""
        mask = self._counted.copy()
        mask[self._verdicts.at] = False
        return mask

    @property
    def open(self) -> int:
        """Number of samples that are not decided yet."""
        return int(self._counts.sum())

    def expected_in(self, ids: np.ndarray) -> float:
        """Return the wrong labels expected among these ids, (n,), without decided samples."""
        at, known = find(self._scored.ids, np.asarray(ids, np.int64))
        at = at[known & self._counted[at]] if len(self._counted) else at
        at = at[~find(self._verdicts.samples, self._scored.ids[at])[1]]
        return float(self._expected[self._scored.bin[at]].sum())

    def next(self, n: int = AHEAD) -> float:
        """Return the wrong labels expected in the n most suspicious samples not decided yet."""
        return float(np.interp(n, *self._yields))

    def until(self, share: float = ENOUGH) -> int:
        """Return how many samples to review, most suspicious first, to find this share."""
        needed = share * self.wrong - self.found
        return int(np.ceil(np.interp(needed, *self._yields[::-1]))) if needed > 0 else 0

    @cached_property
    def _yields(self) -> tuple[np.ndarray, np.ndarray]:
        """Reviewed samples, and wrong labels expected among them, most suspicious first."""
        counts = self._counts[::-1]
        found = np.cumsum(counts * self._expected[::-1])
        return np.concatenate([[0], np.cumsum(counts)]), np.concatenate([[0.0], found])

    def sentence(self, ahead: float | None = None, n: int = AHEAD, who: str = "You have") -> str:
        """Return the estimate in words.

        "You have found 190 of an estimated 205 wrong labels (195 to 221). The next 50 samples are
        expected to contain 6."
        ahead: wrong labels expected in the next n samples, by default the most suspicious ones.
        """
        n = min(n, self.open)
        return advice.sentence(self, self.next(n) if ahead is None else ahead, n, who)

    def advice(
        self,
        ahead: float | None = None,
        n: int = AHEAD,
        least: float = LEAST_YIELD,
        queued: int | None = None,
    ) -> tuple[bool, str]:
        """Return whether to stop, and a sentence that says why, or how many samples remain.

        ahead, n: as in `sentence`. least: the number of expected wrong labels that is worth
        reviewing the next n samples. queued: samples left in the current queue.
        """
        n = min(n, self.open)
        return advice.advice(self, self.next(n) if ahead is None else ahead, n, least, queued)

    @cached_property
    def by_class(self) -> pd.DataFrame:
        """The estimate by given class, most wrong labels first.

        Columns: class, samples, found, wrong, low, high (float).
        """
        scored, verdicts = self._scored, self._verdicts
        C = len(scored.classes)
        given = scored.label[verdicts.found_at]
        found = np.bincount(given[given != MISSING], minlength=C)
        left, low, high = self._groups(scored.label, np.arange(C), CLASS_SPREAD)
        left *= self.left / max(left.sum(), 1e-9)  # the classes add up to the total
        table = {
            "class": scored.classes,
            "samples": np.bincount(scored.label[scored.known], minlength=C),
            "found": found,
        }
        return _table(table, found, left, low, high)

    @cached_property
    def by_pair(self) -> pd.DataFrame:
        """The estimate by given and suggested class, most wrong labels first.

        Columns: given, suggested, found, wrong, low, high (float); at most SHOWN_PAIRS rows.
        suggested is the most probable other class, None for none. For labels that were found it is
        the reviewers' class, None for removed samples.
        """
        scored, verdicts = self._scored, self._verdicts
        C = len(scored.classes) + len(scored.others)
        none = C  # stands for no suggested class
        suggested = np.where(scored.suggested == MISSING, none, scored.suggested)
        pair = np.where(scored.label == MISSING, MISSING, scored.label * (C + 1) + suggested)
        target = np.where(verdicts.found_target == OUT, none, verdicts.found_target)
        given = scored.label[verdicts.found_at].astype(np.int64)
        labelled = given != MISSING
        found = given[labelled] * (C + 1) + target[labelled]
        found = np.bincount(found, minlength=C * (C + 1))
        at = np.flatnonzero(self._open)
        total = np.bincount(pair[at], self._expected[scored.bin[at]], minlength=C * (C + 1)) + found
        codes = np.argsort(-total, kind="stable")[:SHOWN_PAIRS]
        codes = codes[total[codes] > 0]
        left, low, high = self._groups(pair, codes, PAIR_SPREAD)
        names = np.array([*scored.classes, *scored.others, None], object)
        table = {
            "given": names[codes // (C + 1)],
            "suggested": names[codes % (C + 1)],
            "found": found[codes],
        }
        return _table(table, found[codes], left, low, high)

    def _groups(
        self, group: np.ndarray, codes: np.ndarray, spread: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the wrong labels left in each group, and their bounds, (G,) each.

        group: int (n,), of each sample. codes: the groups, int (G,). The ratio of a group to the
        calibration is gamma distributed around 1. The verdicts on the group update it (the gamma
        distribution is conjugate to Poisson counts).
        """
        scored, verdicts = self._scored, self._verdicts
        order = np.argsort(codes)
        place, known = find(codes[order], group)
        place = order[place] if len(codes) else place
        n = len(codes)

        def counts(at: np.ndarray) -> np.ndarray:
            at = at[known[at]]
            cells = np.bincount(place[at] * BINS + scored.bin[at], minlength=n * BINS)
            return cells.reshape(n, BINS)

        shape = 1 / spread**2
        inside = known[verdicts.at]
        seen = np.bincount(place[verdicts.at[inside]], verdicts.wrong[inside], n)
        ratio = shape + seen, shape + counts(verdicts.at) @ self._expected
        left = counts(np.flatnonzero(self._open))
        low, _, high = quantiles(self._q, self._weights, left, ratio)
        # scaled like the total, which is a median rather than a mean
        scale = self.left / max(self._counts @ self._expected, 1e-9)
        return left @ self._expected * ratio[0] / ratio[1] * scale, low, high


def _table(columns: dict, found, left, low, high) -> pd.DataFrame:
    table = pd.DataFrame(
        {**columns, "wrong": found + left, "low": found + low, "high": found + high}
    )
    return table.sort_values("wrong", ascending=False, kind="stable").reset_index(drop=True)
