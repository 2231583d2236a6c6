from __future__ import annotations

import numpy as np

from .noise_model import fit_noise_model, most_rows
from .probability import Batches, labelled

SUSPICION = "suspicion"
SEED = 0  # of the samples that the noise model is fitted to
PLAUSIBLE = 0.2  # a class that is this probable is not to be ruled out
MISLABELLED, AMBIGUOUS, FITTING = FINDINGS = ("mislabelled", "ambiguous", "fitting")


def suspicion(
    labels: np.ndarray, batches: Batches, out_of_sample: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The probability that the given label is wrong, 0 to 1, by a model of how labels go wrong
    (`NoiseModel`), which is fitted here.

    labels: int (n,), negative for none. batches: yields (places, logits float (m, C)) of all that
    is predicted, each time it is called. out_of_sample: whether they are of a network that did not
    learn these labels. Returns three (n,): the score, float64, NaN without a
    given label among the C classes or without a prediction; the most probable class other than the
    given one, int32, -1 where there is no score; and the probability of that, float64.
    """
    told, logits = _sample(labels, batches)
    scores, suggested_p = np.full((2, len(labels)), np.nan)
    suggested = np.full(len(labels), -1, np.int32)
    if not len(told):
        return scores, suggested, suggested_p
    model = fit_noise_model(told, logits, out_of_sample)
    for at, given, logits in labelled(labels, batches):
        rows, p = np.arange(len(at)), model.posterior(given, logits)
        p_given = p[rows, given]
        p[rows, given] = 0
        scores[at] = np.where(p_given < 0.5, 1 - p_given, p.sum(axis=1))  # exact at both ends
        suggested[at], suggested_p[at] = p.argmax(axis=1), p.max(axis=1)
    return scores, suggested, suggested_p


def findings(scores: np.ndarray, suggested_p: np.ndarray) -> np.ndarray:
    """What each suspicion comes down to, str (n,): the given class is implausible ("mislabelled"),
    both it and another one are plausible ("ambiguous"), or only it is ("fitting"); "" for NaN.

    scores, suggested_p: float (n,), see `suspicion`.
    """
    implausible, other = 1 - scores < PLAUSIBLE, suggested_p >= PLAUSIBLE
    names = np.array([*FINDINGS, ""])
    which = np.where(implausible, 0, np.where(other, 1, 2))
    return names[np.where(np.isnan(scores), len(FINDINGS), which)]


def _sample(labels: np.ndarray, batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Labels, int (m,), and logits, float32 (m, C), of some samples that have both: all, or a
    share of each batch, drawn at random."""
    rng = np.random.default_rng(SEED)
    total = int((labels >= 0).sum())
    found_labels, found_logits = [np.empty(0, np.int64)], []
    for _, given, logits in labelled(labels, batches):
        share = most_rows(logits.shape[1]) / max(total, 1)
        drawn = rng.random(len(given)) < share if share < 1 else slice(None)
        found_labels.append(given[drawn])
        found_logits.append(logits[drawn])
    some = np.concatenate(found_labels)
    return some, np.concatenate(found_logits) if found_logits else np.empty((0, 0), np.float32)
