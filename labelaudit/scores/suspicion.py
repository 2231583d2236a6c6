from __future__ import annotations

import numpy as np

from .beliefs import Beliefs
from .noise_fit import fit_noise_model, most_rows
from .noise_model import NoiseModel
from .probability import Batches, known_labels

SUSPICION = "suspicion"
SEED = 0  # of the samples that the noise model is fitted to
PLAUSIBLE = 0.2  # a class that is this probable is not to be ruled out
MISLABELLED, AMBIGUOUS, FITTING = FINDINGS = ("mislabelled", "ambiguous", "fitting")


class Suspicion:
    """The score that `suspicion` describes, of blocks: first `look` at all, then `fit`, then
    `score` each.

    labelled: how many samples have a label, of which some are drawn to fit the noise model to.
    """

    def __init__(self, labelled: int, out_of_sample: bool) -> None:
        self._labelled, self._out_of_sample = labelled, out_of_sample
        self._rng = np.random.default_rng(SEED)
        self._labels: list[np.ndarray] = []
        self._logits: list[np.ndarray] = []
        self._model: NoiseModel | None = None

    def look(self, labels: np.ndarray, beliefs: Beliefs) -> None:
        drawn = known_labels(labels, beliefs.classes)
        share = most_rows(beliefs.classes) / max(self._labelled, 1)
        if share < 1:
            drawn &= self._rng.random(len(labels)) < share
        self._labels.append(labels[drawn])
        self._logits.append(beliefs.logits[drawn])

    def begin_at(self, row: int) -> None:
        """Before the first `look`: that many samples come before. The same are drawn then as by one
        that looks at all of them."""
        self._rng.bit_generator.advance(row)  # one number a sample

    def merge(self, other: Suspicion) -> None:
        """Take in what another one has seen, of the samples that follow."""
        self._labels += other._labels
        self._logits += other._logits

    def fit(self) -> None:
        if any(map(len, self._labels)):
            labels, logits = map(np.concatenate, (self._labels, self._logits))
            self._model = fit_noise_model(labels, logits, self._out_of_sample)
        self._labels, self._logits = [], []

    def score(
        self, labels: np.ndarray, beliefs: Beliefs
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        known = known_labels(labels, beliefs.classes)
        if self._model is None or not known.any():
            return _nothing(len(labels))
        rows, given = np.arange(len(labels)), np.where(known, labels, 0)
        p = self._model.posterior(labels, beliefs)
        p_given = p[rows, given].astype(np.float64)
        p[rows, given] = 0
        others = p.sum(axis=1, dtype=np.float64)
        score = np.where(p_given < 0.5, 1 - p_given, others)  # exact at both ends
        suggested = p.argmax(axis=1)
        suggested_p = np.minimum(p[rows, suggested], score)  # of two classes they are the same
        return (
            np.where(known, score, np.nan),
            np.where(known, suggested, -1).astype(np.int32),
            np.where(known, suggested_p, np.nan),
        )


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
    model = Suspicion(int((labels >= 0).sum()), out_of_sample)
    found = _nothing(len(labels))
    for places, logits in batches():
        model.look(labels[places], Beliefs(logits))
    model.fit()
    for places, logits in batches():
        scored = model.score(labels[places], Beliefs(logits))
        for all_of_them, some in zip(found, scored, strict=True):
            all_of_them[places] = some
    return found


def _nothing(samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    nan = np.full(samples, np.nan)
    return nan, np.full(samples, -1, np.int32), nan.copy()


def findings(scores: np.ndarray, suggested_p: np.ndarray) -> np.ndarray:
    """What each suspicion comes down to, str (n,): the given class is implausible ("mislabelled"),
    both it and another one are plausible ("ambiguous"), or only it is ("fitting"); "" for NaN.

    scores, suggested_p: float (n,), see `suspicion`.
    """
    implausible, other = 1 - scores < PLAUSIBLE, suggested_p >= PLAUSIBLE
    names = np.array([*FINDINGS, ""])
    which = np.where(implausible, 0, np.where(other, 1, 2))
    return names[np.where(np.isnan(scores), len(FINDINGS), which)]
