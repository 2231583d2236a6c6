"""What `detection.py` measures of a run, and of cleanlab on the same features."""

from __future__ import annotations

import time

import numpy as np
from sklearn.metrics import average_precision_score

SCORES = ("suspicion", "self_confidence", "hardness", "mistakenness")
BINS = 10  # of the calibration error
FOLDS = 5  # of cleanlab's predictions
PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0)  # C of its logistic regression
PENALTY_SAMPLES = 2_000  # that C is chosen with
COMPONENTS = 400  # of the features that it is fitted to


def judged(dataset, run: str, wrong: np.ndarray) -> dict:
    """Average precision of each score of a run, its estimate, and its calibration error."""
    import labelaudit

    view = dataset.view(run)
    scores = {name: view.fields.number(name) for name in view.score_names()}
    estimate = labelaudit.estimate_wrong(dataset, run, reviewed=False)
    return {
        "precision": {name: average_precision(values, wrong) for name, values in scores.items()},
        "estimate": [estimate.wrong, estimate.low, estimate.high],
        "ece": calibration_error(np.nan_to_num(scores["suspicion"]), wrong),
    }


def average_precision(values: np.ndarray, wrong: np.ndarray) -> float | None:
    """Return the average precision of a ranking, or None if no label is known to be wrong."""
    if not wrong.any():
        return None
    return float(average_precision_score(wrong, np.nan_to_num(values, nan=-1e9)))


def calibration_error(p: np.ndarray, wrong: np.ndarray) -> float:
    """Return the expected calibration error over ten equal intervals of p."""
    at = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = [abs(p[at == k].sum() - wrong[at == k].sum()) for k in range(BINS)]
    return float(sum(gaps) / len(p))


def cleanlab_result(dataset, given: np.ndarray, wrong: np.ndarray, extraction: float) -> dict:
    """What cleanlab finds with a logistic regression on the features of the first look."""
    from cleanlab.count import num_label_issues
    from cleanlab.rank import get_label_quality_scores

    started = time.process_time()
    p = cross_validated(dataset, given)
    precision = {}
    for method in ("self_confidence", "normalized_margin"):
        quality = get_label_quality_scores(given, p, method=method)
        precision[method] = average_precision(-quality, wrong)
    count = int(num_label_issues(given, p))
    cpu = time.process_time() - started + extraction
    return {"precision": precision, "count": count, "cpu": cpu}


def cross_validated(dataset, given: np.ndarray) -> np.ndarray:
    """Return out-of-sample probabilities, (n, C), of a logistic regression on stored features."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict, cross_val_score

    from labelaudit.features.choice import named_features
    from labelaudit.learn.config import FIRST_LOOK_RUN
    from labelaudit.scores.cross_fit import FeatureMap

    view = dataset.view()
    chosen = named_features(
        view.frame, view.ids, dataset.run(FIRST_LOOK_RUN).info["first_look"]["features"]
    )
    blocks = chosen.read(view.ids)
    x = FeatureMap.fit(blocks, chosen.weights, chosen.least_deviations).transform(blocks)
    if x.shape[1] > COMPONENTS:
        x = PCA(min(COMPONENTS, len(x)), random_state=0).fit_transform(x)
    x /= x.std()
    some = np.random.default_rng(0).permutation(len(x))[:PENALTY_SAMPLES]
    models = [LogisticRegression(C=c, max_iter=300) for c in PENALTIES]
    best = max(
        models,
        key=lambda model: cross_val_score(
            model, x[some], given[some], cv=3, scoring="neg_log_loss"
        ).mean(),
    )
    best.C *= len(some) / len(x)  # the loss is a sum
    return cross_val_predict(best, x, given, cv=FOLDS, method="predict_proba")
