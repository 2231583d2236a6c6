"""How far reviewers agree on the samples that they both decided."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

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
