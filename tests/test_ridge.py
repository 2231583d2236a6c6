from __future__ import annotations

import numpy as np
import pytest

from labelaudit.scores import ridge
from labelaudit.scores.ridge import JITTER, leave_one_out


@pytest.fixture
def blobs():
    """60 samples in three directions, with labels; every tenth label is wrong."""
    rng = np.random.default_rng(0)
    true = np.arange(60) % 3
    features = 3 * np.eye(5)[true] + rng.normal(size=(60, 5))
    labels = np.where(np.arange(60) % 10 == 0, (true + 1) % 3, true)
    return features, labels, true


def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return np.exp(-ridge.WIDTH * np.square(a[:, None] - b[None]).sum(axis=2))


def fitted_without(features: np.ndarray, targets: np.ndarray, strength: float) -> np.ndarray:
    """The value of each sample from a regression that is fitted to all others."""
    k, values = kernel(features, features) + JITTER * np.eye(60), np.empty(targets.shape)
    for i in range(60):
        rest = np.delete(np.arange(60), i)
        weights = np.linalg.solve(k[np.ix_(rest, rest)] + strength * np.eye(59), targets[rest])
        values[i] = k[i, rest] @ weights
    return values


def test_leaving_one_out_is_fitting_again_without_it(blobs):
    features, labels, _ = blobs
    given = np.eye(3)[labels]
    base = given.mean(axis=0)
    fit = leave_one_out(features, labels, 3, rounds=0)
    expected = fitted_without(features, given - base, fit.strength) + base
    np.testing.assert_allclose(fit.logits / fit.temperature, expected, atol=1e-4)


def test_with_landmarks_it_is_ridge_on_their_features(blobs):
    features, labels, _ = blobs
    given = np.eye(3)[labels]
    base = given.mean(axis=0)
    fit = leave_one_out(features, labels, 3, rounds=0, landmarks=20, seed=0)
    chosen = features[np.random.default_rng(0).permutation(60)[:20]]
    root = np.linalg.cholesky(kernel(chosen, chosen) + JITTER * np.eye(20))
    x = np.linalg.solve(root, kernel(features, chosen).T).T
    for i in range(0, 60, 7):
        rest = np.delete(np.arange(60), i)
        gram = x[rest].T @ x[rest] + fit.strength * np.eye(20)
        value = x[i] @ np.linalg.solve(gram, x[rest].T @ (given - base)[rest]) + base
        np.testing.assert_allclose(fit.logits[i] / fit.temperature, value, atol=1e-3)


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


def test_refinement_moves_only_labels_that_the_others_hardly_believe(blobs):
    features, labels, true = blobs
    given = np.eye(3)[labels]
    base = given.mean(axis=0)
    plain, refined = (leave_one_out(features, labels, 3, rounds=r) for r in (0, 1))
    p = np.exp(plain.logits - plain.logits.max(axis=1, keepdims=True))
    keep = np.minimum((p * given).sum(axis=1, keepdims=True) / ridge.DOUBT, 1)  # 1: best class
    assert 0 < (keep < 1).sum() < 20
    targets = keep * given + (1 - keep) * p / p.sum(axis=1, keepdims=True)
    expected = fitted_without(features, targets - base, refined.strength) + base
    np.testing.assert_allclose(refined.logits / refined.temperature, expected, atol=1e-4)
    rows = np.flatnonzero(labels != true)
    margins = [f.logits[rows, true[rows]] - f.logits[rows, labels[rows]] for f in (plain, refined)]
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
