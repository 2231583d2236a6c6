"""Suspicion: the probability that a label is wrong, by the noise model."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np

from .base import BlockModel, LogitsInfo, score_batches
from .noise_fit import fit_noise_model, most_rows, usual_scale
from .noise_model import NoiseModel
from .probability import Batches, known_labels
from .self_test import SelfTest, plant
from .softmax import Softmax

SUSPICION = "suspicion"
SEED = 0  # of the sample that the noise model is fitted to
PLAUSIBLE = 0.2  # a class with at least this probability is plausible
BOUNDARY = 0.1  # a label that is wrong with a higher probability is a suspect
CLEAR = 0.5  # a suggestion with at least this probability is clear
FINDINGS = ("mislabelled", "ambiguous", "fitting", "duplicate conflict", "outlier")
MISLABELLED, AMBIGUOUS, FITTING, CONFLICT, OUTLIER = FINDINGS


class Suspicion(BlockModel):
    """Computes the score described in `suspicion`, and the suggested labels."""

    reads_twice = True
    suggests = True

    def __init__(self, info: LogitsInfo) -> None:
        # of many labelled samples, a random share is drawn to fit the noise model
        self._share = most_rows(info.classes) / max(info.labelled, 1)
        self._out_of_sample = info.out_of_sample
        self._calibrated = info.is_first_look
        self._classes, self._lacking = info.classes - info.lacking, info.lacking
        self._bits = np.random.PCG64(SEED)  # as in default_rng
        self._rng = np.random.Generator(self._bits)
        self._labels: list[np.ndarray] = []
        self._sources: list[tuple[np.ndarray, ...]] = []  # logits of each source, per block
        self._model: NoiseModel | None = None
        self.self_test: SelfTest | None = None  # of predictions that did not see the labels

    def start_at(self, row: int) -> None:
        # One number per sample: skipping them draws the same samples as a single pass over all.
        self._bits.advance(row)

    def observe(self, labels: np.ndarray, softmax: Softmax) -> None:
        drawn = known_labels(labels, self._classes)
        if self._share < 1:
            drawn &= self._rng.random(len(labels)) < self._share
        self._labels.append(labels[drawn])
        self._sources.append(tuple(logits[drawn] for logits in (softmax.logits, *softmax.others)))

    def merge(self, other: Self) -> None:
        self._labels += other._labels
        self._sources += other._sources

    def fit(self) -> None:
        if any(map(len, self._labels)):
            sources = [np.concatenate(blocks) for blocks in zip(*self._sources, strict=True)]
            labels = np.concatenate(self._labels)
            self._model = self._fitted(labels, sources)
            if self._out_of_sample:
                self.self_test = plant(self._model, labels, sources)
        self._labels, self._sources = [], []

    def _fitted(self, labels: np.ndarray, sources: list[np.ndarray]) -> NoiseModel:
        if len(sources) == 1:
            return fit_noise_model(
                labels, sources, self._out_of_sample, self._calibrated, self._classes
            )
        # How sure a network is of labels that it may have been trained on cannot be fitted: the fit
        # would explain the errors by its doubt. So the noise is fitted to the first look alone.
        looks = [look[:, : self._classes] for look in sources[1:]]
        model = fit_noise_model(labels, looks, True, calibrated=True)
        return replace(
            model,
            sharpness=[usual_scale(labels, sources[0]), *model.sharpness],
            bias=[*model.bias, *[0.0] * self._lacking],
        )

    def score(
        self, labels: np.ndarray, softmax: Softmax
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        known = known_labels(labels, self._classes)
        if self._model is None or not known.any():
            nan = np.full(len(labels), np.nan)
            return nan, np.full(len(labels), -1, np.int32), nan.copy()
        rows, given = np.arange(len(labels)), np.where(known, labels, 0)
        p = self._model.posterior(labels, [softmax.logits, *softmax.others])
        p_given = p[rows, given].astype(np.float64)
        p[rows, given] = 0
        others = p.sum(axis=1, dtype=np.float64)
        score = np.where(p_given < 0.5, 1 - p_given, others)  # accurate near 0 and near 1
        suggested = p.argmax(axis=1)
        # With two classes both are equal, except for rounding.
        suggested_p = np.minimum(p[rows, suggested], score)
        return (
            np.where(known, score, np.nan),
            np.where(known, suggested, -1).astype(np.int32),
            np.where(known, suggested_p, np.nan),
        )


def suspicion(
    labels: np.ndarray, batches: Batches, out_of_sample: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the probability that the given label is wrong, 0 to 1, and the suggested labels.

    It is computed with a `NoiseModel`, which is fitted to these labels and logits.
    labels: int (n,), negative for none. batches: called twice, returns (rows int (m,), logits float
    (m, C)) of all predicted samples. out_of_sample: whether the network was not trained on these
    labels. Returns three arrays (n,): the score, float64, NaN without a label from 0 to C - 1 or
    without a prediction; the most probable class other than the given one, int32, -1 without a
    score; and the probability of that class, float64.
    """
    return score_batches(Suspicion, labels, batches, out_of_sample)


def is_suspect(scores: np.ndarray, differs: np.ndarray | bool) -> np.ndarray:
    """Return a mask of the suspects, bool (n,): labels that are wrong with a probability above
    BOUNDARY, or that differ from the predicted class.

    scores: suspicion, float (n,); NaN is no suspect. differs: whether another class than the given
    one is predicted, bool (n,).
    """
    return (scores > BOUNDARY) | (differs & np.isfinite(scores))


def findings(
    scores: np.ndarray,
    suggested_p: np.ndarray,
    differs: np.ndarray | bool = False,
    in_conflict: np.ndarray | bool = False,
    is_outlier: np.ndarray | bool = False,
) -> np.ndarray:
    """Return the finding for each suspicion, str (n,); "" for NaN.

    "mislabelled": the given class is not plausible. "ambiguous": any other suspect (see
    `is_suspect`). "fitting": no suspect. "duplicate conflict": an exact copy has another label.
    "outlier": the image looks like no class, and no suggested class is clear.
    scores, suggested_p: float (n,), as `suspicion` returns them. differs: as in `is_suspect`.
    in_conflict, is_outlier: masks, bool (n,).
    """
    implausible = 1 - scores < PLAUSIBLE
    names = np.array([*FINDINGS, ""])
    which = np.where(implausible, 0, np.where(is_suspect(scores, differs), 1, 2))
    which = np.where(is_outlier & ~(implausible & (suggested_p >= CLEAR)), 4, which)
    which = np.where(in_conflict, 3, which)
    return names[np.where(np.isnan(scores), len(FINDINGS), which)]
