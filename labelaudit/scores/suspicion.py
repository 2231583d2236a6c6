from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .noise_model import fit_noise_model, most_rows

SEED = 0  # of the samples that the noise model is fitted to
Batches = Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]


def suspicion(labels: np.ndarray, batches: Batches) -> tuple[np.ndarray, dict]:
    """The probability that the given label is wrong, 0 to 1, by a model of the annotators.

    labels: int (n,), negative for none. batches: yields (places, logits float (m, C)) of all that
    is predicted, each time it is called. Returns float64 (n,), NaN without a given label among the
    C classes or without a prediction; and what is to be kept: "noise_model" (see `NoiseModel`).
    """
    told, logits = _sample(labels, batches)
    scores = np.full(len(labels), np.nan)
    if not len(told):
        return scores, {}
    model = fit_noise_model(told, logits)
    for places, logits in batches():
        given = labels[places]
        known = (given >= 0) & (given < logits.shape[1])
        p = model.posterior(given[known], logits[known])
        scores[places[known]] = 1 - p[np.arange(len(p)), given[known]]
    return scores, {"noise_model": model.to_dict()}


def _sample(labels: np.ndarray, batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Labels, int (m,), and logits, float32 (m, C), of some samples that have both: all, or a
    share of each batch, drawn at random."""
    rng = np.random.default_rng(SEED)
    found_labels, found_logits = [np.empty(0, np.int64)], []
    for places, logits in batches():
        given = labels[places]
        known = np.flatnonzero((given >= 0) & (given < logits.shape[1]))
        share = most_rows(logits.shape[1]) / max(len(labels), 1)
        if share < 1:
            known = known[rng.random(len(known)) < share]
        found_labels.append(given[known])
        found_logits.append(logits[known])
    some = np.concatenate(found_labels)
    return some, np.concatenate(found_logits) if found_logits else np.empty((0, 0), np.float32)
