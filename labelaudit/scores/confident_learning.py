from __future__ import annotations

import numpy as np

from .probability import Batches, labelled, of_label, probabilities

ROUNDING = 1e-6  # cleanlab's margin in comparisons


def confident_learning(labels: np.ndarray, batches: Batches) -> np.ndarray:
    """1 - q/2 for a label that confident learning counts as wrong, else (1 - q)/2; 0 to 1.

    q is cleanlab's label quality (self-confidence). A label is counted where the class that is
    confidently there (its probability is at least the mean that the samples given this class have
    for it; the most probable class where there are several) and the most probable class are both
    another one: an off-diagonal sample of the confident joint. So those above 0.5 are as many as
    cleanlab's `num_label_issues` says, and each part is ranked by how little the given class is
    believed.

    labels: int (n,), negative for none. batches: called twice, gives (places int (m,), logits
    float (m, C)) of all predicted samples, streamed. Returns float64 (n,), NaN without a given
    class among the model's, or without a prediction. Calibrated probabilities are assumed, of
    samples that were not learned: of learned ones it counts too few.
    Source: Northcutt, Jiang & Chuang 2021, "Confident Learning"; cleanlab, `LabelInspector`.
    """
    out = np.full(len(labels), np.nan)
    inspector = None
    for _, given, p in _believed(labels, batches):
        inspector = inspector or _inspector(p.shape[1])
        inspector.update_confident_thresholds(given, p)
    if inspector is None:  # nothing has both a label and a prediction
        return out
    # a class that nobody has stands at a threshold of cleanlab's own: no sample reaches it
    known = inspector.examples_per_class > 0
    thresholds = np.where(known, inspector.get_confident_thresholds(silent=True), np.inf)
    for places, given, p in _believed(labels, batches):
        quality = inspector.score_label_quality(given, p, update_num_issues=False)
        out[places] = (1 - quality + _is_issue(given, p, thresholds)) / 2
    return out


def _believed(labels: np.ndarray, batches: Batches):
    """(places, labels, probabilities) of the samples with a class that the model knows."""
    for places, given, logits in labelled(labels, batches):
        if len(places):
            yield places, given, probabilities(logits)


def _is_issue(given: np.ndarray, p: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Off-diagonal in the confident joint, and not predicted as given: what cleanlab's
    `count.num_label_issues` counts, which knows no batches."""
    confident = p >= thresholds - ROUNDING
    of_those, best = confident.sum(axis=1), p.argmax(axis=1)
    chosen = np.where(of_those > 1, best, confident.argmax(axis=1))
    predicted_so = of_label(p, given) + ROUNDING >= p.max(axis=1)
    return (of_those > 0) & (chosen != given) & ~predicted_so


def _inspector(classes: int):
    # takes two seconds to import: it brings scikit-learn
    from cleanlab.experimental.label_issues_batched import LabelInspector

    return LabelInspector(num_class=classes, store_results=False, verbose=False)
