"""How many labels are wrong, how many of them are found, and when to stop looking.

Of each sample a run has stored `suspicion`, p: the calibrated probability that its label is wrong.
A calibration is never exact, and verdicts tell how far it is off:

    P(wrong) = f + (1 - f - g) sigmoid(a + b x + h(x)),  x = logit p

a and b, offset and slope on the logit scale, are 0 and 1 where the calibration is right (Cox 1958,
"Two further applications of a model for binary regression"); h is a piecewise linear function that
is small: without it thousands of verdicts at high p would seem to tell exactly what is at low p.
f is the share of wrong labels that no suspicion tells of: a and b could not raise the many samples
of low p without lowering the few of high p, and only a random check finds what they hold. f is a
share of the mean of p, so that the prior means the same on clean and on dirty data: half of the
time under 2 % more are wrong than p says, one time in forty over 38 %. g is the share of samples
that are right, or are kept by a tired reviewer, however suspicious: without it a few such verdicts
would say that the calibration is worthless, and make hundreds of samples of low p wrong.

Verdicts may come in any order, also the most suspicious first: given p, which samples were looked
at says nothing of their labels. All is worked out over bins of p: at 1,000,000 samples a verdict
costs what it does at a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..core.errors import LabelAuditError
from ..dataset import verdict_log
from ..dataset.arrays import MISSING, find
from ..dataset.dataset import Dataset
from ..dataset.verdict_log import KEEP
from ..features.duplicates import has_copy
from ..scores.suspicion import SUSPICION
from ..storage import schema
from ..storage.schema import REMOVED
from .queue import OUT, opinions

SPREAD = (0.25, 0.12)  # standard deviations of a and b
LOCAL = 0.25  # … and of h at each of its knots, logits of p; it is 0 beyond the outer ones
KNOTS = np.array([-7.0, -5, -3, -1, 1, 3, 5])
# Medians of f / mean p and of g, and the standard deviation of their logarithms. With half the
# spread a dataset that hides 40 % of its wrong labels keeps them however many checks find one.
MISSED, DOUBTED, RARE = 0.015, 0.01, (1.2, 1.5)
LOWEST, HIGHEST = 1e-6, 0.998  # p beyond is taken as these: one verdict must not decide on all
BINS = 160
DRAWS = 800  # of the parameters
STEPS, CLOSE = 50, 1e-4  # of Fisher scoring
LEAST_DRAWS = 30  # that the weights leave; with fewer, the draws count as they are
FREEDOM = 6  # of the t distribution that they are drawn from: with wider tails than a normal one
QUANTILES = (0.025, 0.5, 0.975)
# How much a class, and a pair of classes, may differ from what p says of it (standard deviation of
# the ratio); its own verdicts tell.
CLASS_SPREAD, PAIR_SPREAD = 0.3, 0.4
SHOWN_PAIRS = 100
AHEAD = 50  # samples that the advice looks ahead
ENOUGH = 0.95  # of the wrong labels found is enough
LEAST_YIELD = 1.0  # of the next AHEAD: fewer are not worth the time


def has_suspicion(dataset: Dataset, run: str | None = None) -> bool:
    """Whether `estimate_wrong` can say something of this run."""
    return SUSPICION in dataset.view(run).score_names()


def estimate_wrong(dataset: Dataset, run: str | None = None, reviewed: bool = True) -> Estimate:
    """How many labels are wrong, by a run's `suspicion` and by what reviewers found.

    run: by default the latest with predictions. reviewed: False for what was to be expected before
    any review. What all who are not unsure of a sample agree on counts; a sample that they disagree
    on counts as not looked at. Raises LabelAuditError for a run without suspicion.
    """
    view = dataset.view(dataset.run(run).name)
    with view.steady():
        if SUSPICION not in view.score_names():
            looked = dataset.run(view.run).is_first_look
            raise LabelAuditError(
                f"run {view.run!r} has no suspicion{'' if looked else ' yet'}: "
                f"{'train' if looked else 'score the run'} to see how many wrong labels are left."
            )
        scored = view.frame.cached(
            ("scored", view.run), view.fields.stamp(), lambda: _Scored.read(dataset, view)
        )
        log = view.frame.stamp("verdicts")
        return view.frame.cached(
            ("estimate", view.run, reviewed), (view.fields.stamp(), log),
            lambda: Estimate(scored, _Found.read(dataset, scored) if reviewed else None),
        )  # fmt: skip


class Estimate:
    """What is known of the number of wrong labels. Numbers of labels are floats, of samples ints.

    found: that reviewers found. reviewed: samples that they agree on. left: expected among all
    others. wrong: both together; `low` to `high` holds it with 95 %.
    """

    def __init__(self, scored: _Scored, said: _Found | None) -> None:
        self._there = scored.known if said is None else scored.alive
        said = said or _Found.none()
        self._scored, self._said = scored, said
        self.found, self.reviewed = len(said.found), len(said.samples)
        decided = said.at[self._there[said.at]]
        self._counts = scored.counts[self._there is scored.alive] - np.bincount(
            scored.bin[decided], minlength=BINS)  # fmt: skip
        judged = scored.bin[said.at] if len(said.at) else np.empty(0, np.int64)
        wrong = np.bincount(judged[said.wrong], minlength=BINS)
        right = np.bincount(judged[~said.wrong], minlength=BINS)
        self._q, self._weights = _posterior(scored.logit, scored.mean, wrong, right)
        self._expected = self._q @ self._weights  # of a sample in each bin
        # the median: the mean follows the small chance that very many are hidden
        low, self.left, high = (float(bound[0]) for bound in self._bounds(self._counts[None]))
        self.wrong, self.low, self.high = self.found + np.array([self.left, low, high])

    def __repr__(self) -> str:
        return (
            f"Estimate({self.wrong:,.0f} wrong labels ({self.low:,.0f} to {self.high:,.0f}), "
            f"{self.found:,} found)"
        )

    @cached_property
    def _open(self) -> np.ndarray:
        """Mask, bool (n,), of the samples that are not decided."""
        there = self._there.copy()
        there[self._said.at] = False
        return there

    @property
    def open(self) -> int:
        """Samples that are not decided yet."""
        return int(self._counts.sum())

    def expected_in(self, ids: np.ndarray) -> float:
        """Wrong labels to be found among these ids, (n,); those that are decided hold none."""
        at, known = find(self._scored.ids, np.asarray(ids, np.int64))
        at = at[known & self._there[at]] if len(self._there) else at
        at = at[~find(self._said.samples, self._scored.ids[at])[1]]
        return float(self._expected[self._scored.bin[at]].sum())

    def next(self, n: int = AHEAD) -> float:
        """Wrong labels to be found in the n most suspicious samples that are not decided."""
        return float(np.interp(n, *self._yields))

    def until(self, share: float = ENOUGH) -> int:
        """How many more samples to look at, most suspicious first, until this share is found."""
        wanted = share * self.wrong - self.found
        return int(np.ceil(np.interp(wanted, *self._yields[::-1]))) if wanted > 0 else 0

    @cached_property
    def _yields(self) -> tuple[np.ndarray, np.ndarray]:
        """Samples looked at, and wrong labels found in them, most suspicious first."""
        counts = self._counts[::-1]
        found = np.cumsum(counts * self._expected[::-1])
        return np.concatenate([[0], np.cumsum(counts)]), np.concatenate([[0.0], found])

    # --- in words ---

    def sentence(self, ahead: float | None = None, n: int = AHEAD, who: str = "You have") -> str:
        """You have found 190 of an estimated 205 (195 to 221); the next 50 should hold 6.

        ahead: expected in the n samples that come next; by default the most suspicious ones.
        """
        n = min(n, self.open)
        ahead = self.next(n) if ahead is None else ahead
        numbers = f"{self.wrong:,.0f} ({self.low:,.0f} to {self.high:,.0f})"
        if self.found:
            text = f"{who} found {self.found:,} of an estimated {numbers}"
        else:
            text = f"An estimated {numbers} of {len(self._scored):,} labels are wrong"
        return f"{text}; {_hold(n, ahead)}." if n else f"{text}."

    def advice(
        self, ahead: float | None = None, n: int = AHEAD, least: float = LEAST_YIELD,
        queued: int | None = None,
    ) -> tuple[bool, str]:  # fmt: skip
        """Whether to stop, and a sentence that says why, or how many more to look at.

        ahead, n: as in `sentence`. least: fewer wrong ones expected among those are not worth it.
        queued: how many are still to come in the queue that is gone through.
        """
        n = min(n, self.open)
        ahead = self.next(n) if ahead is None else ahead
        more, rest = self.until(), f"about {self.left:,.0f} are left among {self.open:,} samples"
        if not n:
            done = f"Nothing is left in this queue; {rest}." if self.open else "All are decided."
            return True, done
        if self.reviewed and not more:
            return True, f"You can stop: {ENOUGH:.0%} are found; {rest}.".replace("%", " %")
        if ahead < least:
            return True, f"You can stop: {_hold(n, ahead)}; {rest}."
        if more > self.open / 3:  # the rest hides where no suspicion tells of it
            return False, f"Go on; to find 95 % takes {more:,} of the {self.open:,} samples left."
        text = f"Go on: about {more:,} more until {100 * ENOUGH:.0f} % are found"
        if queued is not None and queued < more:  # suspects end where suspicion does
            return False, f"{text}, {queued:,} of them in this queue, the rest by “All samples”."
        return False, f"{text}."

    # --- by class ---

    @cached_property
    def by_class(self) -> pd.DataFrame:
        """Columns class, samples, found, wrong, low, high (float); most wrong labels first."""
        scored, said = self._scored, self._said
        C = len(scored.classes)
        given = scored.label[said.found_at]
        found = np.bincount(given[given != MISSING], minlength=C)
        codes = np.arange(C)
        left, low, high = self._groups(scored.label, codes, CLASS_SPREAD)
        left *= self.left / max(left.sum(), 1e-9)  # the classes are all of it
        table = {"class": scored.classes, "samples": np.bincount(
            scored.label[scored.known], minlength=C), "found": found}  # fmt: skip
        return _table(table, found, left, low, high)

    @cached_property
    def by_pair(self) -> pd.DataFrame:
        """Columns given, suggested, found, wrong, low, high (float); most wrong labels first, at
        most SHOWN_PAIRS. suggested: the most probable other class, None for none. Of what was found
        it is what the reviewers said, None for what they removed."""
        scored, said = self._scored, self._said
        C = len(scored.classes)
        none = C  # "class" that nothing suggests
        suggested = np.where(scored.suggested == MISSING, none, scored.suggested)
        pair = np.where(scored.label == MISSING, MISSING, scored.label * (C + 1) + suggested)
        target = np.where(said.found_target == OUT, none, said.found_target)
        given = scored.label[said.found_at].astype(np.int64)
        there = given != MISSING
        found = np.bincount(given[there] * (C + 1) + target[there], minlength=C * (C + 1))
        at = np.flatnonzero(self._open)
        total = np.bincount(pair[at], self._expected[scored.bin[at]], minlength=C * (C + 1)) + found
        codes = np.argsort(-total, kind="stable")[:SHOWN_PAIRS]
        codes = codes[total[codes] > 0]
        left, low, high = self._groups(pair, codes, PAIR_SPREAD)
        names = np.array([*scored.classes, None], object)
        table = {"given": names[codes // (C + 1)], "suggested": names[codes % (C + 1)],
                 "found": found[codes]}  # fmt: skip
        return _table(table, found[codes], left, low, high)

    def _groups(
        self, group: np.ndarray, codes: np.ndarray, spread: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Expected left, and its bounds, of the samples of each group.

        A group's ratio to what p says is gamma distributed around 1; its verdicts sharpen that as
        counts do (conjugate to Poisson counts).
        """
        scored, said = self._scored, self._said
        order = np.argsort(codes)
        place, known = find(codes[order], group)
        place = order[place] if len(codes) else place
        n = len(codes)

        def counts(at: np.ndarray) -> np.ndarray:
            at = at[known[at]]
            cells = np.bincount(place[at] * BINS + scored.bin[at], minlength=n * BINS)
            return cells.reshape(n, BINS)

        shape = 1 / spread**2
        seen = np.bincount(place[said.at[known[said.at]]], said.wrong[known[said.at]], n)
        ratio = np.stack([shape + seen, shape + counts(said.at) @ self._expected])
        left = counts(np.flatnonzero(self._open))
        low, _, high = self._bounds(left, ratio)
        # as the total, which is a median, and not a mean
        scale = self.left / max(self._counts @ self._expected, 1e-9)
        return left @ self._expected * ratio[0] / ratio[1] * scale, low, high

    def _bounds(self, counts: np.ndarray, ratio: np.ndarray | None = None) -> list[np.ndarray]:
        """QUANTILES of the wrong labels in groups of samples, counts (G, BINS): from what is not
        known of the calibration, and from chance. ratio (2, G): shape and rate of each group's."""
        rng = np.random.default_rng(0)  # the same one: figures must not flicker
        mean = counts @ self._q
        squares = counts @ self._q**2
        if ratio is not None:
            factor = rng.standard_gamma(ratio[0][:, None], mean.shape) / ratio[1][:, None]
            mean, squares = mean * factor, squares * factor**2
        total = counts.sum(axis=1, keepdims=True)
        mean = np.minimum(mean, total)
        # a binomial with the mean and the variance of the sum of these Bernoulli variables
        trials = np.ceil(mean**2 / np.maximum(squares, 1e-12)).clip(0, total).astype(np.int64)
        drawn = rng.binomial(trials, np.clip(mean / np.maximum(trials, 1), 0, 1))
        order = np.argsort(drawn, axis=1)
        share = np.cumsum(self._weights[order], axis=1)
        at = [np.minimum((share < part).sum(axis=1), DRAWS - 1) for part in QUANTILES]
        return [np.take_along_axis(drawn, order, 1)[np.arange(len(drawn)), i] for i in at]


def _hold(n: int, ahead: float) -> str:
    number = f"{ahead:,.0f}" if ahead >= 1 else "fewer than one"
    subject = f"the next {n:,} are" if n > 1 else "the next one is"
    return f"{subject} expected to hold {number}"


def _table(columns: dict, found, left, low, high) -> pd.DataFrame:
    table = pd.DataFrame({**columns, "wrong": found + left, "low": found + low,
                          "high": found + high})  # fmt: skip
    return table.sort_values("wrong", ascending=False, kind="stable").reset_index(drop=True)


# --- what is read ---


@dataclass(frozen=True)
class _Scored:
    """The suspicion of every sample, as bins of its logit. Arrays (n,) are aligned to `ids`."""

    ids: np.ndarray
    label: np.ndarray  # class that suspicion judges
    bin: np.ndarray  # MISSING where there is no suspicion
    alive: np.ndarray  # bool: with suspicion, of the label that it has now, and not removed
    logit: np.ndarray  # (BINS,), of the mean p in each
    mean: float  # of p
    suggested: np.ndarray  # class that it most probably is instead; MISSING for none
    classes: list[str]

    @classmethod
    def read(cls, dataset: Dataset, view) -> _Scored:
        frame, run = view.frame, dataset.run(view.run)
        table = schema.table("scores", run.id)
        # not `view.fields.number`: verdicts on a label say what they said also once it is corrected
        p = frame.number(table, SUSPICION, np.nan)
        label = frame.number(table, "label", MISSING)
        known = np.isfinite(p)
        bins, logit, mean = _binned(p[known])
        every = np.full(len(p), MISSING, np.int16)
        every[known] = bins
        return cls(
            frame.ids, label, every, known & (label == frame.label) & ~frame.tagged(REMOVED),
            logit, mean, frame.number(table, "suggested", MISSING), frame.classes,
        )  # fmt: skip

    def __len__(self) -> int:
        return int(self.counts[0].sum())

    @cached_property
    def known(self) -> np.ndarray:
        """Mask, bool (n,), of the samples that have a suspicion."""
        return self.bin != MISSING

    @cached_property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Samples in each bin, int64 (BINS,): all that have a suspicion, and those alive."""
        return tuple(
            np.bincount(self.bin[mask], minlength=BINS) for mask in (self.known, self.alive)
        )


@dataclass(frozen=True)
class _Found:
    """What reviewers agree on. `at`: places of those that have a suspicion; wrong: bool, of these;
    found: samples that were found to be wrong, `found_at` where they are, `found_target`: what they
    are instead."""

    samples: np.ndarray
    at: np.ndarray
    wrong: np.ndarray
    found: np.ndarray
    found_at: np.ndarray
    found_target: np.ndarray

    @classmethod
    def none(cls) -> _Found:
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, nothing.astype(bool), nothing, nothing, nothing)

    @classmethod
    def read(cls, dataset: Dataset, scored: _Scored) -> _Found:
        log = verdict_log.read(dataset.view().frame)
        said = opinions(log)
        changed = np.bincount(said.at[log.verdict[said.rows] != KEEP], minlength=len(said.samples))
        at, known = find(scored.ids, said.samples)
        agreed = said.agreed & known
        agreed &= ~((said.target == OUT) & has_copy(dataset, said.samples))
        found = agreed & (changed > 0)
        usable = agreed & (scored.bin[at] != MISSING) if len(scored.ids) else agreed
        return cls(
            said.samples[agreed], at[usable], said.target[usable] != scored.label[at[usable]],
            said.samples[found], at[found], said.target[found],
        )  # fmt: skip


def _binned(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Bin of each p, int16 (n,), of even steps of its logit; the logit of the mean p of each bin
    (of its middle where it is empty), float64 (BINS,); the mean p."""
    clipped = np.clip(p, LOWEST, HIGHEST)
    first, last = _logit(np.array([LOWEST, HIGHEST]))
    step = (last - first) / BINS
    bins = np.minimum((_logit(clipped) - first) / step, BINS - 1).astype(np.int16)
    counts = np.bincount(bins, minlength=BINS)
    middle = first + (np.arange(BINS) + 0.5) * step
    means = np.bincount(bins, clipped, BINS) / np.maximum(counts, 1)
    logit = np.where(counts > 0, _logit(np.where(counts > 0, means, 0.5)), middle)
    return bins, logit, float(clipped.mean()) if len(p) else 0.0


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)


# --- the posterior ---


def _posterior(
    x: np.ndarray, mean: float, wrong: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """P(wrong) in each bin for DRAWS draws of the parameters, float64 (BINS, DRAWS), and their
    weights. x: logits of the bins; wrong, right: verdicts in each.

    Importance sampling from a t distribution around the mode, which Fisher scoring finds: as sharp
    as the verdicts are, and right also where the posterior is skewed.
    """
    model = _Model(x, mean)
    used = np.flatnonzero(wrong + right)  # mostly few
    mode, information = model.mode(used, wrong[used], right[used])
    rng, size = np.random.default_rng(0), len(mode)
    half = rng.normal(size=(DRAWS // 2, size))
    scale = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, DRAWS // 2))[:, None]
    steps = np.concatenate([half * scale, -half * scale])
    root = np.linalg.cholesky(np.linalg.inv(information))
    theta = mode + steps @ root.T
    proposal = -(FREEDOM + size) / 2 * np.log1p((steps**2).sum(axis=1) / FREEDOM)
    q = model.wrong(theta, slice(None))
    logs = model.log_density(theta, q[used], wrong[used], right[used]) - proposal
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    if 1 / (weights**2).sum() < LEAST_DRAWS:  # verdicts that no calibration explains
        weights = np.full(DRAWS, 1 / DRAWS)
    return q, weights


class _Model:
    """P(wrong) by parameters a, b, h at the knots, log(f / mean p), log g; and their prior."""

    def __init__(self, x: np.ndarray, mean: float) -> None:
        local = [np.interp(x, KNOTS, row, 0, 0) for row in np.eye(len(KNOTS))]
        self._features = np.stack([np.ones(len(x)), x, *local], axis=1)
        self._mean = max(mean, 1e-9)
        K = len(KNOTS)
        self.centre = np.array([0.0, 1.0, *np.zeros(K), np.log(MISSED), np.log(DOUBTED)])
        self.deviation = np.maximum([*SPREAD, *np.full(K, LOCAL), *RARE], 1e-3)

    def _parts(self, theta: np.ndarray, bins) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """f and g, (m,), and the sigmoid, (bins, m), of parameters (m, P)."""
        # not `@`: on a busy machine its threads wait for each other longer than they work
        z = np.einsum("bp,mp->bm", self._features[bins], theta[:, :-2]).clip(-30, 30)
        f = np.minimum(np.exp(theta[:, -2]) * self._mean, 0.45)
        return f, np.minimum(np.exp(theta[:, -1]), 0.45), 1 / (1 + np.exp(-z))

    def wrong(self, theta: np.ndarray, bins) -> np.ndarray:
        f, g, s = self._parts(theta, bins)
        return np.clip(f + (1 - f - g) * s, 1e-12, 1 - 1e-9)

    def log_density(self, theta: np.ndarray, q: np.ndarray, wrong, right) -> np.ndarray:
        """Of the posterior, but for a constant, (m,). q: P(wrong) by them, (bins, m)."""
        prior = -0.5 * (((theta - self.centre) / self.deviation) ** 2).sum(axis=1)
        return prior + wrong @ np.log(q) + right @ np.log1p(-q)

    def mode(self, bins, wrong, right) -> tuple[np.ndarray, np.ndarray]:
        """The most probable parameters, (P,), and the information there, (P, P)."""
        theta, seen = self.centre.copy(), wrong + right

        def at(theta: np.ndarray) -> float:
            theta = theta[None]
            return self.log_density(theta, self.wrong(theta, bins), wrong, right)[0]

        best = at(theta)
        for _ in range(STEPS):
            q = self.wrong(theta[None], bins)[:, 0]
            slopes, weight = self._slopes(theta, bins), 1 / (q * (1 - q))
            gradient = (wrong - seen * q) * weight @ slopes
            gradient -= (theta - self.centre) / self.deviation**2
            information = (slopes.T * (seen * weight)) @ slopes + np.diag(1 / self.deviation**2)
            step = np.linalg.solve(information, gradient)
            while True:
                now = at(theta + step)
                if now >= best or np.abs(step).max() < CLOSE:
                    break
                step /= 2
            if np.abs(step).max() < CLOSE:
                break
            theta, best = theta + step, now
        return theta, information

    def _slopes(self, theta: np.ndarray, bins) -> np.ndarray:
        """Of P(wrong) by each parameter, (bins, P)."""
        f, g, s = self._parts(theta[None], bins)
        inner = (1 - f - g) * s * (1 - s)
        return np.concatenate([inner * self._features[bins], f * (1 - s), -g * s], axis=1)
