"""How far reviewers agree on the samples that several of them decided."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from ..core.plural import counted
from ..dataset import verdict_log
from ..dataset.dataset import Dataset
from .opinions import opinions


def reviewer_agreement(dataset: Dataset) -> pd.DataFrame:
    """Return the agreement of each two reviewers, most common samples first.

    Columns: first, second (names), samples (decided by both, without "unsure"), agree (share, 0 to
    1), kappa (Cohen's kappa of their classes, where removal counts as a class; NaN if both gave
    only one and the same class). Pairs without a common sample are left out.
    """
    from sklearn.metrics import cohen_kappa_score  # importing it takes a second

    log = verdict_log.read(dataset.view().frame)
    said = opinions(log)
    given = {}
    for code in np.unique(log.reviewer[said.rows]):
        own = log.reviewer[said.rows] == code
        given[log.reviewers[code]] = dict(
            zip(said.at[own].tolist(), said.said[own].tolist(), strict=True)
        )
    rows = []
    for a, b in combinations(sorted(given), 2):
        both = sorted(given[a].keys() & given[b].keys())
        if both:
            x, y = ([given[name][place] for place in both] for name in (a, b))
            same = float(np.mean(np.array(x) == np.array(y)))
            kappa = cohen_kappa_score(x, y) if len({*x, *y}) > 1 else float("nan")
            rows.append((a, b, len(both), same, kappa))
    table = pd.DataFrame(rows, columns=["first", "second", "samples", "agree", "kappa"])
    return table.sort_values("samples", ascending=False, kind="stable").reset_index(drop=True)


@dataclass(frozen=True)
class AgreementOfAll:
    """How far all reviewers agree.

    samples: those that two or more of them decided, without "unsure". alpha: Krippendorff's alpha
    of their classes, where removal counts as a class: 1 for full agreement, 0 for chance; NaN if
    there are no such samples, or all have one and the same class.
    """

    samples: int
    alpha: float

    def sentence(self) -> str:
        """Return it in words."""
        alpha = (
            "is not defined: all say the same class"
            if np.isnan(self.alpha)
            else f"is {self.alpha:.2f}"
        )
        decided = f"{counted(self.samples, 'sample')} decided by two or more reviewers"
        return f"On {decided}, Krippendorff's alpha {alpha}."


def agreement_of_all(dataset: Dataset) -> AgreementOfAll:
    """Return the agreement of all reviewers together."""
    said = opinions(verdict_log.read(dataset.view().frame))
    samples = int((np.bincount(said.at, minlength=1) > 1).sum())
    return AgreementOfAll(samples, krippendorff_alpha(said.at, said.said))


def krippendorff_alpha(units: np.ndarray, values: np.ndarray) -> float:
    """Return Krippendorff's alpha for nominal values: 1 - observed / expected disagreement.

    units: int (m,), what each value is about, from 0. values: int (m,), classes. Units with one
    value do not count. NaN without two values on any unit, and if all values are the same.
    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C.
    """
    given = np.bincount(units, minlength=1) if len(units) else np.zeros(1, np.int64)
    paired = given[units] > 1
    units, values = units[paired], values[paired]
    total = len(units)
    (unit, value), count = np.unique(np.stack([units, values]), axis=1, return_counts=True)
    of_class = np.bincount(np.unique(value, return_inverse=True)[1], weights=count)
    expected = total**2 - (of_class**2).sum()
    if not expected:
        return float("nan")
    agreeing = (count * (count - 1) / (given[unit] - 1)).sum()
    return float(1 - (total - 1) * (total - agreeing) / expected)
