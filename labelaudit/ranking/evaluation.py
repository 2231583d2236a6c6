"""Evaluates scores on injected mistakes: how many of them does each ranking find?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..core.errors import BadInputError
from ..dataset.target import Target, as_view
from ..dataset.view import View
from ..storage.schema import MISTAKE

CURVE_POINTS = 200  # of a precision curve
RANDOM = "random order"
MOST = 0.9  # share of the mistakes, for the column looks_for_90


def check_k(k: int | None) -> None:
    """Raise LabelAuditError unless k is None or at least 1."""
    if k is not None and k < 1:
        raise BadInputError(f"k={k}: k must be at least 1.")


def evaluate(view: Target, k: int | None = None) -> pd.DataFrame | None:
    """Measure how well each score ranks the injected mistakes among a view's predicted samples.

    k: how many suspects a person would review; by default the number of mistakes.
    Returns one row per score, best first, or None if no mistakes were injected. Columns:
    average_precision (0 to 1, the area under the precision-recall curve as scikit-learn defines
    it), precision_at_k, recall_at_k, found (mistakes among the first k), looks_for_90 (samples to
    review until 90 % of the mistakes are found), k, mistakes, samples. Samples without a score come
    last in its ranking.
    If mistakes were injected after training, the model has seen the true labels and the results are
    too good; `outdated` counts such samples.
    """
    view = as_view(view)
    check_k(k)
    with view.steady():
        rankings = list(_rankings(view))
    if not rankings:
        return None
    rows = [_evaluate_ranking(name, mistaken, k) for name, mistaken in rankings]
    table = pd.DataFrame(rows).sort_values("average_precision", ascending=False, kind="stable")
    return table.reset_index(drop=True)


def _evaluate_ranking(name: str, mistaken: np.ndarray, k: int | None) -> dict:
    """Return one row. mistaken: bool (n,), whether each sample is a mistake, by rank."""
    from sklearn.metrics import average_precision_score  # takes a second to import

    total = int(mistaken.sum())
    k = min(k or total, len(mistaken))
    looks = np.searchsorted(np.cumsum(mistaken), np.ceil(MOST * total)) + 1
    found = int(mistaken[:k].sum())
    # Evaluate the ranking rather than the values: people see ties in this order.
    falling = np.arange(len(mistaken), 0, -1)
    return {
        "score": name,
        "average_precision": average_precision_score(mistaken, falling),
        "precision_at_k": found / k,
        "recall_at_k": found / total,
        "found": found,
        "looks_for_90": int(looks),
        "k": k,
        "mistakes": total,
        "samples": len(mistaken),
    }


def precision_curves(view: View) -> pd.DataFrame | None:
    """Return the precision against the number of reviewed samples, for each score.

    Columns: reviewed, precision, score. The rows with score RANDOM show a review in random order.
    None if no mistakes were injected.
    """
    with view.steady():
        rankings = list(_rankings(view))
    if not rankings:
        return None
    curves = [_precision_curve(name, mistaken) for name, mistaken in rankings]
    base = curves[0].assign(score=RANDOM, precision=float(rankings[0][1].mean()))
    return pd.concat([*curves, base], ignore_index=True)


def _precision_curve(name: str, mistaken: np.ndarray) -> pd.DataFrame:
    # geometric steps as well, because people review the start
    steps = np.geomspace(1, len(mistaken), CURVE_POINTS // 2)
    steps = np.concatenate([steps, np.linspace(1, len(mistaken), CURVE_POINTS // 2)])
    reviewed = np.unique(steps.astype(int))
    precision = np.cumsum(mistaken)[reviewed - 1] / reviewed
    return pd.DataFrame({"reviewed": reviewed, "precision": precision, "score": name})


def _rankings(view: View) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of each score and whether each sample is a mistake, most suspicious first.

    All scores are evaluated on the same samples: those of the view that the run has predicted.
    """
    mistakes = view.frame.tags.get(MISTAKE)
    if mistakes is None or not view.score_names():
        return
    predicted = view.above("confidence", 0)
    if not mistakes[predicted.positions()].any():
        return
    for name in view.score_names():
        yield name, mistakes[predicted.sort_by(name, reverse=True).positions()]
