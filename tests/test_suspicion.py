"""Suspicion compared with known true labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from labelaudit.scores.noise_fit import fit_noise_model, most_rows
from labelaudit.scores.noise_model import NoiseModel
from labelaudit.scores.self_confidence import self_confidence
from labelaudit.scores.suspicion import findings, is_suspect, suspicion

C, N = 6, 4000


def network(rng: np.random.Generator, truth: np.ndarray, classes: int = C) -> np.ndarray:
    """Logits of a network that is right in about 85 %, and slightly underconfident."""
    signal = 3.2 * np.eye(classes)[truth] + rng.normal(0, 1.4, (len(truth), classes))
    return (0.7 * signal).astype(np.float32)


def scored(labels: np.ndarray, logits: np.ndarray, rows: int = 1000):
    def batches():
        for start in range(0, len(logits), rows):
            yield np.arange(start, min(start + rows, len(logits))), logits[start : start + rows]

    return suspicion(labels, batches, out_of_sample=True)


def corrupted(kind: str, rng: np.random.Generator, truth: np.ndarray, logits: np.ndarray):
    labels = truth.copy()
    if kind == "uniform":
        at = rng.permutation(N)[: N // 5]
        labels[at] = (truth[at] + rng.integers(1, C, len(at))) % C
    elif kind == "pair":
        at = rng.permutation(N)[: N // 5]
        labels[at] = (truth[at] + 1) % C
    elif kind == "lookalike":  # where the image is doubtful, as the class that it looks like
        other = logits.copy()
        other[np.arange(N), truth] = -np.inf
        doubt = other.max(1) - logits[np.arange(N), truth] + rng.logistic(0, 1, N)
        at = np.argsort(-doubt)[: N // 10]
        labels[at] = other[at].argmax(1)
    return labels


@pytest.mark.parametrize(("kind", "error", "off"), [("uniform", 0.04, 0.1), ("pair", 0.04, 0.1)])
def test_it_is_a_probability_and_adds_up_to_the_number_of_wrong_labels(kind, error, off):
    rng = np.random.default_rng(1)
    truth = rng.integers(0, C, N)
    logits = network(rng, truth)
    labels = corrupted(kind, rng, truth, logits)
    wrong = labels != truth
    p, suggested, suggested_p = scored(labels, logits)
    at = np.minimum((p * 10).astype(int), 9)
    gaps = [
        abs(p[at == k].mean() - wrong[at == k].mean()) * (at == k).mean() for k in np.unique(at)
    ]
    assert sum(gaps) < error
    assert p.sum() == pytest.approx(wrong.sum(), rel=off)
    sure = wrong & (p > 0.9)
    assert sure.sum() > 300
    assert (suggested[sure] == truth[sure]).mean() > 0.9
    assert suggested_p[sure].mean() == pytest.approx(
        (suggested[sure] == truth[sure]).mean(), abs=0.1
    )


def test_knowing_which_classes_are_taken_for_each_other_finds_more():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, C, N)
    logits = network(rng, truth)
    labels = corrupted("pair", rng, truth, logits)
    wrong = labels != truth
    plain = average_precision_score(wrong, self_confidence(labels, logits))
    better = average_precision_score(wrong, scored(labels, logits)[0])
    assert better > plain + 0.03


def test_errors_of_doubtful_images_are_distinguished_from_errors_that_strike_all_alike():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, C, N)
    logits = network(rng, truth)
    alike = fit_noise_model(corrupted("uniform", rng, truth, logits), logits, True)
    looks = fit_noise_model(corrupted("lookalike", rng, truth, logits), logits, True)
    assert abs(alike.likeness) < 0.15 < looks.likeness + looks.ambiguity


def test_posteriors_are_bayes_rule():
    """Compare with the sum over true classes, computed directly for one sample."""
    pair = np.log(np.array([[1.0, 3, 1], [1, 1, 1], [2, 1, 1]]))
    target = np.log([1.0, 2.0, 1.0])
    rate = np.array([-1.0, -2.0, 0.0])
    no_bias = [0.0] * 3
    model = NoiseModel([1.0], 0.0, 0.0, no_bias, rate.tolist(), target.tolist(), pair.tolist())
    p = np.array([0.6, 0.3, 0.1])
    wrong = 1 / (1 + np.exp(-rate))
    given = 1
    # as class 1, of all wrong labels of class 0: 2 * 3 of 2 * 3 + 1; of class 2: 2 * 1 of 2 + 2
    likelihood = np.array([wrong[0] * 6 / 7, 1 - wrong[1], wrong[2] * 2 / 4])
    expected = p * likelihood / (p * likelihood).sum()
    found = model.posterior(np.array([given]), np.log(p)[None])
    np.testing.assert_allclose(found[0], expected, atol=1e-3)  # probabilities have a floor
    alone = model.posterior(np.array([-1]), np.log(p)[None])
    np.testing.assert_allclose(alone[0], p, atol=1e-3)


def test_samples_without_label_or_prediction_have_none():
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, 200)
    logits = network(rng, truth, 3)
    labels = truth.copy()
    labels[:5] = [-1, -1, 3, 7, -1]
    p, suggested, suggested_p = suspicion(
        np.append(labels, 1), lambda: iter([(np.arange(200), logits)]), True
    )
    assert np.flatnonzero(np.isnan(p)).tolist() == [0, 1, 2, 3, 4, 200]
    assert (suggested[np.isnan(p)] == -1).all()
    np.testing.assert_array_equal(np.isnan(p), np.isnan(suggested_p))
    assert (suggested[5:200] != labels[5:]).all()
    nothing = suspicion(np.full(3, -1), lambda: iter([(np.arange(3), logits[:3])]), True)
    assert np.isnan(nothing[0]).all()


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("classes", [2, 3, 150])
def test_it_stays_a_probability_whatever_the_network_says(scale, classes):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, classes, 300)
    labels[0] = classes - 1
    logits = (scale * rng.normal(size=(300, classes))).astype(np.float32)
    p, suggested, suggested_p = scored(labels, logits)
    assert ((p >= 0) & (p <= 1)).all()
    assert ((suggested_p >= 0) & (suggested_p <= p + 1e-9)).all()
    assert ((suggested >= 0) & (suggested < classes)).all()


def test_it_does_not_depend_on_how_the_logits_come_in_batches_unless_it_draws_a_sample():
    rng = np.random.default_rng(6)
    truth = rng.integers(0, C, 900)
    logits = network(rng, truth)
    first, second = scored(truth, logits, rows=100), scored(truth, logits, rows=900)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_more_than_enough_samples_are_drawn_from():
    assert most_rows(10) == 20_000
    assert most_rows(1000) == 1_000
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 2, 60_000)
    logits = network(rng, truth, 2)
    labels = np.where(rng.random(60_000) < 0.1, 1 - truth, truth)
    p = scored(labels, logits, rows=10_000)[0]
    assert p.sum() == pytest.approx((labels != truth).sum(), rel=0.15)


def test_findings():
    p = np.array([0.95, 0.85, 0.6, 0.3, 0.1, np.nan])
    other = np.array([0.9, 0.3, 0.5, 0.1, 0.05, np.nan])
    assert findings(p, other).tolist() == [
        "mislabelled", "mislabelled", "ambiguous", "ambiguous", "fitting", "",
    ]  # fmt: skip
    differs = np.array([True, False, True, False, True, True])
    assert is_suspect(p, differs).tolist() == [True] * 5 + [False]
    assert findings(p, other, differs)[4] == "ambiguous"
