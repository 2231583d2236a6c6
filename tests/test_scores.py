"""Scores compared with their sources: scipy's entropy, cleanlab, FiftyOne's formula."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from cleanlab.count import num_label_issues
from cleanlab.rank import get_normalized_margin_for_each_label, get_self_confidence_for_each_label
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labelaudit.scores import (
    SCORES,
    AnnotatorScore,
    DynamicsScore,
    FittedScore,
    LogitScore,
    NeighbourScore,
    default_score,
)
from labelaudit.scores.aum import aum
from labelaudit.scores.base import score_batches
from labelaudit.scores.cartography import cartography
from labelaudit.scores.confident_learning import confident_learning
from labelaudit.scores.hardness import hardness
from labelaudit.scores.mistakenness import mistakenness
from labelaudit.scores.neighbours import neighbours
from labelaudit.scores.normalized_margin import normalized_margin
from labelaudit.scores.registry import RESERVED
from labelaudit.scores.self_confidence import self_confidence
from labelaudit.storage.schema import NO_SCORES


@st.composite
def labels_and_logits(draw):
    n, classes = draw(st.integers(1, 20)), draw(st.integers(2, 6))
    finite = st.floats(-60, 60, width=32)
    logits = draw(arrays(np.float32, (n, classes), elements=finite))
    return draw(arrays(np.int32, n, elements=st.integers(0, classes - 1))), logits


@given(labels_and_logits())
def test_hardness_is_scipys_entropy(case):
    labels, logits = case
    expected = scipy.stats.entropy(scipy.special.softmax(logits.astype(float), axis=1), axis=1)
    np.testing.assert_allclose(hardness(labels, logits.astype(float)), expected, atol=1e-9)


@given(labels_and_logits())
def test_self_confidence_and_margin_are_cleanlabs_turned_round(case):
    labels, logits = case
    logits = logits.astype(float)
    p = scipy.special.softmax(logits, axis=1)
    np.testing.assert_allclose(
        self_confidence(labels, logits),
        1 - get_self_confidence_for_each_label(labels, p),
        atol=1e-15,
    )
    # cleanlab's margin is (p_y - p_k + 1) / 2: ours is one minus that
    np.testing.assert_allclose(
        normalized_margin(labels, logits),
        1 - get_normalized_margin_for_each_label(labels, p),
        atol=1e-12,
    )


@given(labels_and_logits())
def test_mistakenness_is_fiftyones_formula(case):
    labels, logits = case
    p = scipy.special.softmax(logits.astype(float), axis=1)
    m = np.where(logits.argmax(axis=1) == labels, -1, 1)
    expected = (m * np.exp(-scipy.stats.entropy(p, axis=1)) + 1) / 2
    found = mistakenness(labels, logits.astype(float))
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(labels_and_logits())
def test_in_single_precision_scores_are_the_same_to_six_digits(case):
    labels, logits = case
    for score in (hardness, self_confidence, normalized_margin, mistakenness):
        exact = score(labels, logits.astype(float))
        np.testing.assert_allclose(score(labels, logits), exact, rtol=2e-6, atol=2e-7)


def test_what_is_nearly_sure_is_still_ranked_in_single_precision():
    margin = np.array([20, 25, 30], np.float32)
    logits = np.stack([np.zeros(3, np.float32), -margin], axis=1)
    fits = self_confidence(np.zeros(3, int), logits)
    np.testing.assert_allclose(fits, np.exp(-margin.astype(float)), rtol=2e-3)


@pytest.mark.parametrize("function", [mistakenness, self_confidence, normalized_margin])
def test_no_label_no_score(function):
    scores = function(np.array([-1, 0, 7]), np.array([[2.0, 1.0]] * 3))
    assert np.isnan(scores[0])
    assert np.isfinite(scores[1])
    assert np.isnan(scores[2])  # a class that the model does not know


def test_hardness_never_reads_the_label():
    logits = np.random.default_rng(0).normal(size=(50, 4))
    np.testing.assert_array_equal(
        hardness(np.full(50, -1), logits), hardness(np.zeros(50, int), logits)
    )


def test_aum_and_cartography_average_over_recorded_epochs_only():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 0.5, np.nan]])
    np.testing.assert_allclose(aum(values), [-2.0, -0.5, np.nan])
    np.testing.assert_allclose(cartography(values / 4), [0.5, 0.875, np.nan])


def test_every_score_says_that_a_clear_mistake_is_worse_than_a_clear_fit():
    """Higher always means more suspicious; hardness depends on uncertainty, not on labels."""
    logits = np.array([[8.0, 0, 0], [0, 8.0, 0]])  # sample 0 fits its label, sample 1 does not
    labels = np.array([0, 0])
    for score in SCORES.values():
        if isinstance(score, FittedScore):
            given, rows = np.repeat([0, 1, 2], 20), 8 * np.eye(3)[np.repeat([0, 1, 2], 20)]
            given[0] = 1  # of sixty samples one contradicts its label
            result = score_batches(score.function, given, as_batches(rows), True)
            contradicts, fits = (result[0] if score.function.suggests else result)[:2]
        elif isinstance(score, NeighbourScore) and score.by_distance:
            distances = np.random.default_rng(0).uniform(0.05, 0.15, (40, 10))
            distances[0] = 1.0
            scores = score.function(np.zeros(40, int), np.zeros((40, 10), int), distances)
            contradicts, fits = scores[:2]
        elif isinstance(score, NeighbourScore):
            near = np.array([[0, 0, 0], [1, 1, 0]])
            fits, contradicts = score.function(labels, near, np.full((2, 3), 0.9))
        elif isinstance(score, AnnotatorScore):
            fits, contradicts = score.function(np.array([0.9, 0.2]))
        elif isinstance(score, DynamicsScore):
            values = [[8.0, -8.0]] if score.measure.endswith("margin") else [[0.99, 0.01]]
            fits, contradicts = score.function(np.array(values))
        elif score.judges_label:
            fits, contradicts = score.function(labels, logits)
        else:
            fits, contradicts = score.function(labels, np.array([[8.0, 0, 0], [1, 1, 1]]))
        assert contradicts > fits, score.name
        if score.boundary is not None:
            assert fits < score.boundary < contradicts, score.name


def test_extreme_logits_stay_finite():
    logits = np.array([[1e4, -1e4, 0.0], [3e38, 0.0, 0.0]], np.float32)
    for score in SCORES.values():
        if isinstance(score, LogitScore):
            assert np.isfinite(score.function(np.array([1, 0]), logits)).all(), score.name


def test_the_default_is_the_best_that_is_there():
    assert default_score(list(SCORES)[::-1]) == "suspicion"
    assert default_score(["hardness", "mistakenness"]) == "mistakenness"
    assert default_score([]) is None


def as_batches(logits, rows: int = 7, known=None):
    """Return a function that streams (rows, logits), as fitted scores take it."""
    known = np.arange(len(logits)) if known is None else known
    return lambda: [
        (known[start : start + rows], logits[known[start : start + rows]])
        for start in range(0, len(known), rows)
    ]


@given(labels_and_logits())
def test_confident_learning_counts_what_cleanlab_counts(case):
    labels, logits = case
    logits = logits.astype(float)
    p = scipy.special.softmax(logits, axis=1)
    scores = confident_learning(labels, as_batches(logits))
    if len(np.unique(labels)) > 1:
        assert (scores > 0.5).sum() == num_label_issues(labels, p, estimation_method="off_diagonal")
    quality = get_self_confidence_for_each_label(labels, p)
    counted = scores > 0.5
    np.testing.assert_allclose(scores, (1 - quality + counted) / 2, atol=1e-15)


def test_confident_learning_by_hand():
    """Mean of p_0 over those given 0 is 0.7; of p_1 over those given 1, 0.55."""
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.8, 0.2], [0.1, 0.9], [0.45, 0.55]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    scores = confident_learning(labels, as_batches(np.log(p), rows=2))
    np.testing.assert_allclose(scores, [0.05, 0.05, 0.85, 0.9, 0.05, 0.225])


def test_confident_learning_with_classes_and_labels_that_are_not_there():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)  # of 6 classes that the model knows
    logits = 3 * np.eye(6)[labels] + rng.normal(size=(200, 6))
    logits[0] = [0, 0, 0, 0, 9, 0]  # surely a class that nobody was given
    labels[1], labels[2] = -1, 6
    known = np.delete(np.arange(200), 3)
    scores = confident_learning(labels, as_batches(logits, known=known))
    assert np.isnan(scores[[1, 2, 3]]).all()
    assert np.isfinite(np.delete(scores, [1, 2, 3])).all()
    kept = np.setdiff1d(known, [1, 2])
    p = scipy.special.softmax(logits, axis=1)
    expected = num_label_issues(labels[kept], p[kept], estimation_method="off_diagonal")
    assert (scores > 0.5).sum() == expected
    assert scores[0] < 0.5  # no threshold to reach, so that confident learning says nothing of it
    nobody = confident_learning(np.full(4, -1), as_batches(np.zeros((4, 3))))
    assert np.isnan(nobody).all()
    assert np.isnan(confident_learning(np.array([0, 1]), list)).all()  # nothing is predicted


def test_neighbours_by_hand():
    near = np.array([[1, 1, 1], [0, 0, 1], [0, -1, 1], [-1, -1, -1], [0, 0, 0], [2, 2, 2]])
    cosine = np.full((6, 3), 0.9)
    cosine[2] = [0.9, 1.0, 0.9 + 0.07 * np.log(3)]  # the last counts three times as much
    cosine[5, 2] = np.nan
    labels = np.array([0, 0, 0, 0, -1, 2])
    np.testing.assert_allclose(
        neighbours(labels, near, cosine), [1, 1 / 3, 0.75, np.nan, np.nan, 0]
    )


def test_no_neighbours_at_all():
    empty = np.empty((3, 0))
    assert np.isnan(neighbours(np.array([0, 1, -1]), empty.astype(int), empty)).all()


def test_columns_of_a_table_of_scores_are_no_names_of_scores():
    assert set(NO_SCORES) <= RESERVED
