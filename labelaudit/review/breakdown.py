"""The estimate by suspicion, by class and by class pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..dataset.arrays import MISSING, find
from .checks import OPEN
from .count import QUANTILES, Count, Seen
from .estimate_data import AgreedVerdicts, ScoredSamples
from .opinions import OUT
from .strata import NAMES, STRATA

# How far a class, or a pair of classes, may differ from all samples of like suspicion (standard
# deviation of the ratio). The verdicts on it narrow this down.
CLASS_SPREAD, PAIR_SPREAD = 0.3, 0.4
SHOWN_PAIRS = 100


@dataclass(frozen=True)
class Parts:
    """What the tables are made of."""

    scored: ScoredSamples
    verdicts: AgreedVerdicts
    count: Count
    state: np.ndarray
    left: float  # all wrong labels that are not found


def by_stratum(seen: Seen, count: Count) -> pd.DataFrame:
    """Return one row per stratum, most suspicious first."""
    reviewed = seen.wrong + seen.right
    table = {
        "suspicion": NAMES,
        "samples": seen.open + reviewed,
        "reviewed": reviewed,
        "found": seen.wrong,
        "left": count.expected,
    }
    return pd.DataFrame(table).iloc[::-1].reset_index(drop=True)


def by_class(parts: Parts) -> pd.DataFrame:
    """Return one row per class; see `Estimate.by_class`."""
    scored, verdicts = parts.scored, parts.verdicts
    C = len(scored.classes)
    given = verdicts.found_given
    found = np.bincount(given[given != MISSING], minlength=C)
    left, low, high = _groups(parts, scored.label, np.arange(C), CLASS_SPREAD)
    scale = parts.left / max(left.sum(), 1e-9)  # the classes add up to the total
    table = {
        "class": scored.classes,
        "samples": np.bincount(scored.label[scored.known], minlength=C),
        "found": found,
    }
    return _table(table, found, left * scale, low, high)


def by_pair(parts: Parts) -> pd.DataFrame:
    """Return one row per pair of classes; see `Estimate.by_pair`."""
    scored, verdicts = parts.scored, parts.verdicts
    C = len(scored.classes) + len(scored.others)
    none = C  # stands for no suggested class
    suggested = np.where(scored.suggested == MISSING, none, scored.suggested)
    pair = np.where(scored.label == MISSING, MISSING, scored.label * (C + 1) + suggested)
    target = np.where(verdicts.found_target == OUT, none, verdicts.found_target)
    given = verdicts.found_given.astype(np.int64)
    labelled = given != MISSING
    found = given[labelled] * (C + 1) + target[labelled]
    found = np.bincount(found, minlength=C * (C + 1))
    at = np.flatnonzero(parts.state == OPEN)
    total = np.bincount(pair[at], scored.p[at], minlength=C * (C + 1)) + found
    codes = np.argsort(-total, kind="stable")[:SHOWN_PAIRS]
    codes = codes[total[codes] > 0]
    left, low, high = _groups(parts, pair, codes, PAIR_SPREAD)
    whole = _groups(parts, np.zeros(len(pair), np.int64), np.zeros(1, np.int64), PAIR_SPREAD)[0]
    scale = parts.left / max(whole.sum(), 1e-9)
    names = np.array([*scored.classes, *scored.others, None], object)
    table = {
        "given": names[codes // (C + 1)],
        "suggested": names[codes % (C + 1)],
        "found": found[codes],
    }
    return _table(table, found[codes], left * scale, low, high)


def _groups(
    parts: Parts, group: np.ndarray, codes: np.ndarray, spread: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the wrong labels left in each group, and their bounds, (G,) each.

    group: int (n,), of each sample. codes: the groups, int (G,). The suspicions of a group are
    scaled like those of all samples of the same stratum. The ratio of a group to that is gamma
    distributed around 1. The verdicts on the group update it (the gamma distribution is conjugate
    to Poisson counts).
    """
    scored, verdicts = parts.scored, parts.verdicts
    order = np.argsort(codes)
    place, known = find(codes[order], group)
    place = order[place] if len(codes) else place
    G = len(codes)

    def sums(at: np.ndarray, values: np.ndarray) -> np.ndarray:
        inside = known[at]
        cell = place[at[inside]] * STRATA + scored.stratum[at[inside]]
        return np.bincount(cell, values[inside], minlength=G * STRATA).reshape(G, STRATA)

    at = np.flatnonzero(parts.state == OPEN)
    p, open_ = sums(at, scored.p[at]), sums(at, np.ones(len(at)))
    factor = parts.count.rest / np.maximum(np.bincount(
        scored.stratum[at], scored.p[at], minlength=STRATA), 1e-12)  # fmt: skip
    seen = sums(verdicts.at, verdicts.wrong.astype(float)).sum(axis=1)
    claimed = sums(verdicts.at, scored.p[verdicts.at]) @ np.minimum(factor.mean(axis=0), 10)
    shape, rate = 1 / spread**2 + seen, 1 / spread**2 + claimed
    rng = np.random.default_rng(0)  # a constant seed, so that displayed numbers do not flicker
    mean = np.minimum(p @ factor.T, open_.sum(axis=1, keepdims=True))  # (G, DRAWS)
    drawn = mean * rng.standard_gamma(shape[:, None], mean.shape) / rate[:, None]
    drawn = np.minimum(rng.poisson(drawn), open_.sum(axis=1, keepdims=True))
    low, high = np.quantile(drawn, [QUANTILES[0], QUANTILES[2]], axis=1) if G else (p[:, 0],) * 2
    return mean.mean(axis=1) * shape / rate, low, high


def _table(columns: dict, found, left, low, high) -> pd.DataFrame:
    table = pd.DataFrame(
        {**columns, "wrong": found + left, "low": found + low, "high": found + high}
    )
    return table.sort_values("wrong", ascending=False, kind="stable").reset_index(drop=True)
