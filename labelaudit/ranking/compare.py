"""Compares the suspects of two runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..dataset.dataset import Dataset
from ..dataset.view import View
from .ranking import suspects


@dataclass(frozen=True)
class Comparison:
    """The suspects of two runs, each as a view of its own run, most suspicious first.

    both: the suspects of both, in the order of the first run. first, second: those of one only.
    """

    both: View
    first: View
    second: View


def compare_suspects(dataset: Dataset, first: str, second: str) -> Comparison:
    """Return which suspects two runs have in common, by the best score of each.

    Raises NotFoundError for a run that does not exist or has no scores.
    """
    a, b = suspects(dataset, first), suspects(dataset, second)
    ids_a, ids_b = a.ids, b.ids
    return Comparison(
        both=a.select(ids_a[np.isin(ids_a, ids_b)]),
        first=a.select(ids_a[~np.isin(ids_a, ids_b)]),
        second=b.select(ids_b[~np.isin(ids_b, ids_a)]),
    )
