"""The self-test of suspicion: would it notice labels that are wrong for certain?"""

from __future__ import annotations

import json

import numpy as np
import pytest

import labelaudit
from labelaudit import compute_scores, estimate_wrong, load_arrays
from labelaudit.scores.base import LogitsInfo
from labelaudit.scores.self_test import SelfTest
from labelaudit.scores.softmax import Softmax
from labelaudit.scores.suspicion import Suspicion


def run_self_test(
    labels: np.ndarray, logits: np.ndarray, out_of_sample: bool = True
) -> SelfTest | None:
    model = Suspicion(LogitsInfo(logits.shape[1], len(labels), out_of_sample))
    model.observe(labels, Softmax(logits))
    model.fit()
    return model.self_test


def world(gap: float, n: int = 1500, classes: int = 6, rate: float = 0.1):
    """Labels of which a share is wrong, and logits that are the clearer the larger the gap is."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, classes, n)
    logits = rng.normal(0, 1.5, (n, classes)).astype(np.float32)
    logits[np.arange(n), truth] += gap
    labels = truth.copy()
    at = rng.permutation(n)[: round(rate * n)]
    labels[at] = (truth[at] + rng.integers(1, classes, len(at))) % classes
    return labels, logits, truth


def test_good_predictions_pass_and_it_foresees_what_real_mistakes_get():
    labels, logits, truth = world(gap=6)
    found = run_self_test(labels, logits)
    assert found.planted > 1200
    assert found.warning is None
    assert found.agrees
    model = Suspicion(LogitsInfo(6, len(labels), True))
    model.observe(labels, Softmax(logits))
    model.fit()
    p = model.score(labels, Softmax(logits))[0]
    assert found.found / found.planted == pytest.approx(p[labels != truth].mean(), abs=0.05)


def test_it_warns_of_predictions_that_know_too_little():
    labels, logits, _ = world(gap=1.2)
    found = run_self_test(labels, logits)
    assert found.noticed < 0.7 * found.planted
    assert (
        "planted mistakes get a suspicion above 10%, so wrong labels may be hidden" in found.warning
    )


def test_it_warns_of_suspicion_that_claims_more_than_it_finds():
    """The given labels seem to be judged with certainty, and planted ones are not."""
    found = SelfTest(planted=1000, found=500.0, noticed=900, claimed=0.9)
    assert found.ratio == pytest.approx(1.8)
    assert found.overstates
    assert not found.understates
    assert "less than the 90% expected" in found.warning
    doubt = SelfTest(planted=1000, found=500.0, noticed=900, claimed=0.1)
    assert doubt.understates
    assert doubt.warning is None
    assert not doubt.agrees
    unknown = SelfTest(planted=1000, found=500.0, noticed=900, claimed=float("nan"))
    assert (unknown.ratio, unknown.agrees) == (1.0, False)
    for each in (found, unknown):
        again = SelfTest.from_dict(json.loads(json.dumps(each.to_dict())))
        assert again.to_dict() == each.to_dict()


def test_predictions_that_learned_the_labels_cannot_be_tested():
    labels, logits, _ = world(gap=6)
    assert run_self_test(labels, logits, out_of_sample=False) is None
    assert run_self_test(np.full(30, -1), logits[:30]) is None  # no label


def test_it_is_stored_with_the_scores_of_a_run(home):
    labels, logits, _ = world(gap=1.2, n=400, classes=4)
    images = np.random.default_rng(1).integers(0, 256, (400, 8, 8), np.uint8)
    dataset = load_arrays("poor", images, labels, classes=list("abcd"))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labelaudit.import_predictions(dataset, p, out_of_sample=True)
    compute_scores(dataset)
    stored = dataset.run().self_test()
    assert 0 < stored.planted <= 400
    found = estimate_wrong(dataset)
    assert found.self_test == stored
    assert found.warning == stored.warning
    compute_scores(dataset, names=["hardness"])
    assert dataset.run().self_test() == stored
    dataset.run().write_self_test(None)
    assert estimate_wrong(dataset).self_test is None  # not the cached estimate
