"""Scores against the definitions' sources: scipy's entropy, cleanlab, FiftyOne's formula."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from cleanlab.rank import get_normalized_margin_for_each_label, get_self_confidence_for_each_label
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labelaudit.scores import SCORES, default_score
from labelaudit.scores.aum import aum
from labelaudit.scores.cartography import cartography
from labelaudit.scores.hardness import hardness
from labelaudit.scores.mistakenness import mistakenness
from labelaudit.scores.normalized_margin import normalized_margin
from labelaudit.scores.self_confidence import self_confidence


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
    np.testing.assert_allclose(hardness(labels, logits), expected, atol=1e-9)


@given(labels_and_logits())
def test_self_confidence_and_margin_are_cleanlabs_turned_round(case):
    labels, logits = case
    p = scipy.special.softmax(logits.astype(float), axis=1)
    np.testing.assert_allclose(
        self_confidence(labels, logits), 1 - get_self_confidence_for_each_label(labels, p)
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
    np.testing.assert_allclose(mistakenness(labels, logits), expected, atol=1e-9)


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
    """Higher means more suspicious, without exception; hardness looks at doubt, not at labels."""
    logits = np.array([[8.0, 0, 0], [0, 8.0, 0]])  # sample 0 fits its label, sample 1 does not
    labels = np.array([0, 0])
    for score in SCORES.values():
        if score.reads == "logits" and score.name != "hardness":
            fits, contradicts = score.function(labels, logits)
        elif score.reads == "margin":
            fits, contradicts = score.function(np.array([[8.0, -8.0]]))
        elif score.reads == "p_label":
            fits, contradicts = score.function(np.array([[0.99, 0.01]]))
        else:
            fits, contradicts = score.function(labels, np.array([[8.0, 0, 0], [1, 1, 1]]))
        assert contradicts > fits, score.name
        if score.boundary is not None:
            assert fits < score.boundary < contradicts, score.name


def test_extreme_logits_stay_finite():
    logits = np.array([[1e4, -1e4, 0.0], [3e38, 0.0, 0.0]], np.float32)
    for score in SCORES.values():
        if score.reads == "logits":
            assert np.isfinite(score.function(np.array([1, 0]), logits)).all(), score.name


def test_the_default_is_the_best_that_is_there():
    assert default_score(list(SCORES)[::-1]) == "self_confidence"
    assert default_score(["hardness", "mistakenness"]) == "mistakenness"
    assert default_score([]) is None
