"""What a score is, and what it needs. One class for each kind of data that a score is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from .probability import Batches
from .softmax import Softmax

# what a score may need
LOGITS, DYNAMICS, NEIGHBOURS, ANNOTATORS = "logits", "dynamics", "neighbours", "annotators"
OUT_OF_SAMPLE = "out_"  # prefix of a measure from models that were not trained on the sample
MEASURES = ("margin", "p_label", OUT_OF_SAMPLE + "margin", OUT_OF_SAMPLE + "p_label")


@dataclass(frozen=True)
class Score:
    """A score and its description. Use one of the classes below.

    name: identifier, also the column in files. title: for people. meaning: one sentence, shown as
    tooltip and help text. function: the formula; its arguments depend on the class.
    boundary: above it the evidence favours another class. None if there is no such value; suspects
    are then the samples with another class predicted (all samples if `judges_label` is False).
    judges_label: False if the score does not depend on the given label.
    """

    name: str
    title: str
    meaning: str
    function: Callable
    boundary: float | None = None
    judges_label: bool = True

    needs: ClassVar[str]  # LOGITS, DYNAMICS, NEIGHBOURS or ANNOTATORS


@dataclass(frozen=True)
class LogitScore(Score):
    """A score of one sample's logits. function(labels int (n,), Softmax) -> float64 (n,)."""

    needs = LOGITS

    def model(self, info: LogitsInfo) -> BlockModel:
        return FormulaModel(self.function)


@dataclass(frozen=True)
class FittedScore(Score):
    """A score with parameters fitted to all logits first. function(LogitsInfo) -> BlockModel."""

    needs = LOGITS

    def model(self, info: LogitsInfo) -> BlockModel:
        return self.function(info)


@dataclass(frozen=True, kw_only=True)
class DynamicsScore(Score):
    """A score of what was recorded during training.

    function(values float (epochs, n), NaN where not recorded) -> float64 (n,).
    measure: one of MEASURES; those that begin with "out_" come from models that were not trained on
    the sample.
    """

    measure: str

    needs = DYNAMICS

    @property
    def out_of_sample(self) -> bool:
        return self.measure.startswith(OUT_OF_SAMPLE)


@dataclass(frozen=True)
class NeighbourScore(Score):
    """A score of the most similar images.

    function(labels int (n,), neighbours' labels int (n, k), cosines float (n, k)) -> float64 (n,).
    by_distance: whether it gets distances instead of cosines; see `features.neighbours.Nearest`.
    """

    by_distance: bool = False

    needs = NEIGHBOURS


@dataclass(frozen=True)
class AnnotatorScore(Score):
    """A score of labels by several annotators.

    function(probability of the given label by them and a model, float (n,), NaN for samples without
    such labels) -> float64 (n,).
    """

    needs = ANNOTATORS


@dataclass(frozen=True)
class LogitsInfo:
    """What is known about a run's logits before they are read."""

    classes: int  # that the model knows, D
    labelled: int  # number of samples with a label
    out_of_sample: bool  # whether the model was not trained on the labels under audit
    others: int = 0  # first looks that are further sources of logits
    is_first_look: bool = False
    lacking: int = 0  # the last so many classes are unknown to the dataset


class BlockModel:
    """Computes a score from logits that are read block by block.

    If `reads_twice`, all blocks go through `observe` first. Then `fit` is called once, then `score`
    for every block, from several threads. Several copies may observe different blocks; they are
    merged in the order of the rows before `fit`.
    """

    reads_twice = False
    suggests = False  # whether `score` also suggests labels

    def __init__(self, info: LogitsInfo) -> None:
        pass

    def start_at(self, row: int) -> None:
        """Called before the first `observe` of a copy; `row` samples come before its blocks."""

    def observe(self, labels: np.ndarray, softmax: Softmax) -> None:
        """Take in the labels, int (m,), and predictions of one block."""

    def merge(self, other: Self) -> None:
        """Take in everything that another copy observed in the blocks that follow."""

    def fit(self) -> None:
        """Determine the parameters."""

    def score(self, labels: np.ndarray, softmax: Softmax):
        """Return the scores of one block, float64 (m,), NaN for none.

        If `suggests`, return a tuple of these, the suggested classes, int32 (m,), -1 for none, and
        their probabilities, float64 (m,).
        """
        raise NotImplementedError


class FormulaModel(BlockModel):
    """A formula without parameters."""

    def __init__(self, function: Callable) -> None:
        self._function = function

    def score(self, labels: np.ndarray, softmax: Softmax) -> np.ndarray:
        return self._function(labels, softmax)


def score_batches(
    kind: type[BlockModel],
    labels: np.ndarray,
    batches: Batches,
    out_of_sample: bool,
):
    """Fit a model of this kind to all batches; return the scores of all samples.

    labels: int (n,). The result is that of `BlockModel.score`, for all n samples.
    """
    nan = np.full(len(labels), np.nan)
    found = (nan, np.full(len(labels), -1, np.int32), nan.copy()) if kind.suggests else (nan,)
    model = None
    for rows, logits in batches():
        if model is None:
            labelled = int((labels >= 0).sum())
            model = kind(LogitsInfo(logits.shape[1], labelled, out_of_sample))
        model.observe(labels[rows], Softmax(logits))
    if model is not None:
        model.fit()
        for rows, logits in batches():
            scored = model.score(labels[rows], Softmax(logits))
            for values, some in zip(found, scored if kind.suggests else (scored,), strict=True):
                values[rows] = some
    return found if kind.suggests else found[0]
