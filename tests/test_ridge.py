from __future__ import annotations

import numpy as np
import pytest

from labelaudit.scores import ridge
from labelaudit.scores.ridge import JITTER, _kernel, _refined, _Smoother, _unit, leave_one_out


@pytest.fixture
def blobs():
    """60 samples in three directions, with labels; every tenth label is wrong."""
    rng = np.random.default_rng(0)
    true = np.arange(60) % 3
    features = 3 * np.eye(5)[true] + rng.normal(size=(60, 5))
    labels = np.where(np.arange(60) % 10 == 0, (true + 1) % 3, true)
    return features, labels, true


def test_leaving_one_out_is_fitting_again_without_it(blobs):
    features, labels, _ = blobs
    targets = np.eye(3, dtype=np.float32)[labels]
    smoother = _Smoother(features, 100, np.random.default_rng(0))
    left_out = smoother.without_own(targets, 0.5)
    unit = _unit(features)
    kernel = _kernel(unit, unit).astype(np.float64) + JITTER * np.eye(60)
    for i in range(60):
        rest = np.delete(np.arange(60), i)
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + 0.5 * np.eye(59), targets[rest])
        np.testing.assert_allclose(left_out[i], kernel[i, rest] @ weights, atol=1e-4)


def test_with_landmarks_it_is_ridge_on_their_features(blobs):
    features, labels, _ = blobs
    targets = np.eye(3, dtype=np.float32)[labels]
    smoother = _Smoother(features, 20, np.random.default_rng(0))
    left_out = smoother.without_own(targets, 0.5)
    kernel = _kernel(smoother.landmarks, smoother.landmarks).astype(np.float64)
    root = np.linalg.cholesky(kernel + JITTER * np.eye(20))
    x = np.linalg.solve(root, _kernel(features, smoother.landmarks).T.astype(np.float64)).T
    for i in range(0, 60, 7):
        rest = np.delete(np.arange(60), i)
        gram = x[rest].T @ x[rest] + 0.5 * np.eye(20)
        np.testing.assert_allclose(
            left_out[i], x[i] @ np.linalg.solve(gram, x[rest].T @ targets[rest]), atol=1e-3
        )


@pytest.mark.parametrize("landmarks", [100, 30])
def test_wrong_labels_are_contradicted_by_the_others(blobs, landmarks):
    features, labels, true = blobs
    fit = leave_one_out(features, labels, 3, landmarks=landmarks)
    assert fit.logits.dtype == np.float32
    assert (fit.logits.argmax(axis=1) == true).mean() > 0.93
    assert fit.strength in ridge.STRENGTHS
    logits, embeddings = fit.predict(features)  # … with their labels known
    assert logits.shape == (60, 3)
    np.testing.assert_allclose(embeddings, fit.embeddings, atol=2e-2)
    assert fit.predict(10 * features)[0] == pytest.approx(logits, abs=1e-3)  # only the direction


def test_a_label_does_not_reach_its_own_prediction(blobs):
    """Without refinement, because refinement changes the targets of the other samples."""
    features, labels, _ = blobs
    other = labels.copy()
    other[5] = (labels[5] + 1) % 3
    one, two = (_Smoother(features, 100, np.random.default_rng(0)).without_own(
        np.eye(3, dtype=np.float32)[y], 1.0) for y in (labels, other))  # fmt: skip
    np.testing.assert_allclose(one[5], two[5], atol=1e-5)
    assert np.abs(one - two).max() > 0.01


def test_refinement_moves_only_labels_that_the_others_hardly_believe(blobs):
    given = np.eye(2, dtype=np.float32)[[0, 0, 0]]
    p = np.array([[0.7, 0.3], [0.2, 0.8], [1 / 21, 20 / 21]])  # believed 1, 0.25 and 0.05 times
    expected = [[1, 0], [1, 0], [0.5 + 0.5 / 21, 0.5 * 20 / 21]]
    np.testing.assert_allclose(_refined(given, np.log(p)), expected, atol=1e-6)
    features, labels, true = blobs
    plain, refined = (leave_one_out(features, labels, 3, rounds=r).logits for r in (0, 1))
    rows = np.flatnonzero(labels != true)
    margins = [z[rows, true[rows]] - z[rows, labels[rows]] for z in (plain, refined)]
    assert (margins[1] > margins[0]).mean() > 0.8


def test_classes_that_nobody_has_and_twins(blobs):
    features, labels, _ = blobs
    fit = leave_one_out(np.repeat(features, 2, axis=0), np.repeat(labels, 2), 6)
    assert np.isfinite(fit.logits).all()
    assert (fit.logits.argmax(axis=1) < 3).all()
    zeros = leave_one_out(np.zeros((4, 3)), np.array([0, 0, 1, 1]), 2)
    assert np.isfinite(zeros.logits).all()


@pytest.mark.parametrize(
    ("features", "labels", "says"),
    [
        (np.ones((3, 2)), [0, 1], "3 features and 2 labels"),
        (np.ones((1, 2)), [0], "at least two"),
        (np.ones((2, 2)), [0, 2], "labels from 0 to 2"),
        (np.ones((2, 2)), [-1, 0], "labels from -1 to 0"),
        (np.array([[1, np.nan], [0, 1]]), [0, 1], "not finite"),
    ],
)
def test_bad_input_is_reported(features, labels, says):
    with pytest.raises(ValueError, match=says):
        leave_one_out(features, np.array(labels), 2)
