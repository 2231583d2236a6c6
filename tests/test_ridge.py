from __future__ import annotations

import numpy as np
import pytest

from labelaudit.scores import ridge
from labelaudit.scores.ridge import JITTER, NOT_LEARNED, _kernel, _unit, leave_one_out


@pytest.fixture
def blobs():
    """60 samples in three directions, with labels; every tenth label is wrong."""
    rng = np.random.default_rng(0)
    true = np.arange(60) % 3
    features = 3 * np.eye(5)[true] + rng.normal(size=(60, 5))
    labels = np.where(np.arange(60) % 10 == 0, (true + 1) % 3, true)
    return features, labels, true


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(3)[labels]


def values(fit: ridge.Fit, logits: np.ndarray) -> np.ndarray:
    return logits / fit.temperature


def columns(features: np.ndarray, landmarks: np.ndarray | None = None) -> np.ndarray:
    """What the kernel ridge regression is linear in: directly computed, float64."""
    unit = _unit(features)
    marks = unit if landmarks is None else landmarks
    kernel = _kernel(marks, marks).astype(np.float64) + JITTER * np.eye(len(marks))
    values, vectors = np.linalg.eigh(kernel)
    return _kernel(features, marks).astype(np.float64) @ (vectors / np.sqrt(values))


def refitted(x: np.ndarray, labels: np.ndarray, rest: np.ndarray, out: int, strength: float):
    """The prediction for one sample by a regression on the rest, fitted anew."""
    base = one_hot(labels).mean(axis=0)
    gram = x[rest].T @ x[rest] + strength * np.eye(x.shape[1])
    return x[out] @ np.linalg.solve(gram, x[rest].T @ (one_hot(labels)[rest] - base)) + base


@pytest.mark.parametrize("landmarks", [100, 20])
def test_leaving_one_out_is_fitting_again_without_it(blobs, landmarks):
    features, labels, _ = blobs
    fit = leave_one_out(features, labels, 3, landmarks=landmarks)
    x = columns(features, fit._directions.landmarks)
    for i in range(0, 60, 7):
        expected = refitted(x, labels, np.delete(np.arange(60), i), i, fit.strength)
        np.testing.assert_allclose(values(fit, fit.logits)[i], expected, atol=1e-3)


@pytest.mark.parametrize("landmarks", [100, 20, 4])  # 4: fewer than samples in a group
def test_leaving_out_a_group_is_fitting_again_without_it(blobs, landmarks):
    features, labels, _ = blobs
    groups = np.arange(60)
    groups[[5, 17, 40]], groups[[2, 3]], groups[[30, 31]] = 5, 2, 30
    groups[50:58] = 50
    features[3] = features[2]
    labels[[3, 5, 17, 40]] = labels[2]
    together = 10 * groups + labels  # a copy with another label is evidence
    fit = leave_one_out(features, labels, 3, groups, landmarks=landmarks)
    x = columns(features, fit._directions.landmarks)
    for i in (2, 3, 5, 17, 31, 40, 55, 59):
        expected = refitted(x, labels, np.flatnonzero(together != together[i]), i, fit.strength)
        np.testing.assert_allclose(values(fit, fit.logits)[i], expected, atol=2e-3)
    np.testing.assert_allclose(
        fit.predict(features, labels, groups), fit.logits, atol=1e-3 * fit.temperature
    )


def test_copies_do_not_vouch_for_the_wrong_label_that_they_share(blobs):
    features, labels, true = blobs
    labels = true.copy()
    copied, groups = features.copy(), np.arange(60)
    copied[1:4], groups[1:4] = features[0], 0
    labels[:4] = (true[0] + 1) % 3
    alone, together = (leave_one_out(copied, labels, 3, g).logits for g in (None, groups))
    assert (together[:4].argmax(axis=1) == true[0]).all()
    margin = together[:4, true[0]] - together[:4, labels[0]]
    assert (margin > alone[:4, true[0]] - alone[:4, labels[0]] + 0.5).all()


@pytest.mark.parametrize("size", [7, 20, 60])
def test_sums_over_blocks_are_those_of_all_samples(blobs, size):
    features, labels, _ = blobs
    held, rest = np.arange(20), np.arange(20, 60)
    blocks = [rest[start : start + size] for start in range(0, 40, size)]

    def more(sums_of):
        return (sums_of(features[block], labels[block]) for block in blocks)

    fit = leave_one_out(features[held], labels[held], 3, more=more)
    x = columns(features, fit._directions.landmarks)
    gram = x.T @ x + fit.strength * np.eye(20)
    base = one_hot(labels).mean(axis=0)
    weights = np.linalg.solve(gram, x.T @ (one_hot(labels) - base))
    plain = values(fit, fit.predict(features))
    np.testing.assert_allclose(plain, x @ weights + base, atol=1e-5)
    left_out = np.concatenate([fit.predict(features[block], labels[block]) for block in blocks])
    for i in (20, 33, 59):
        expected = refitted(x, labels, np.delete(np.arange(60), i), i, fit.strength)
        np.testing.assert_allclose(values(fit, left_out)[i - 20], expected, atol=1e-5)
    for i in (0, 19):
        expected = refitted(x, labels, np.delete(np.arange(60), i), i, fit.strength)
        np.testing.assert_allclose(values(fit, fit.logits)[i], expected, atol=1e-5)


def test_samples_that_were_not_learned_from_keep_nothing_out(blobs):
    features, labels, _ = blobs
    fit = leave_one_out(features[:40], labels[:40], 3)
    groups = np.repeat(np.arange(10), 2)
    unknown = fit.predict(features[40:], np.full(20, NOT_LEARNED), groups)
    np.testing.assert_allclose(unknown, fit.predict(features[40:]), atol=1e-5)


@pytest.mark.parametrize("landmarks", [100, 30])
def test_wrong_labels_are_contradicted_by_the_others(blobs, landmarks):
    features, labels, true = blobs
    fit = leave_one_out(features, labels, 3, landmarks=landmarks)
    assert fit.logits.dtype == np.float32
    assert (fit.logits.argmax(axis=1) == true).mean() > 0.93
    assert fit.strength in ridge.STRENGTHS
    logits = fit.predict(features)  # … with their labels known
    assert logits.shape == (60, 3)
    assert fit.predict(10 * features) == pytest.approx(logits, abs=1e-3)  # only the direction


def test_a_label_does_not_reach_its_own_prediction(blobs):
    features, labels, _ = blobs
    other = labels.copy()
    other[5] = (labels[5] + 1) % 3
    one, two = (leave_one_out(features, y, 3) for y in (labels, other))
    assert one.strength == two.strength
    changes = np.abs(values(one, one.logits) - values(two, two.logits))
    assert changes[5].max() < 0.02 < changes.max()  # the shares of the classes change by 1 / 60


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
