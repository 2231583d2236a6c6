"""Exact copies under different labels are certain errors."""

from __future__ import annotations

import numpy as np
import pytest

import labelaudit
from labelaudit import Dataset, QueueFilter, make_queue, suspects
from labelaudit.dataset.arrays import MISSING
from labelaudit.features.duplicates import find_duplicates
from labelaudit.ranking.copies import weigh_copies
from labelaudit.ranking.evidence import gather


def test_one_label_of_a_group_is_right():
    copy_of = np.array([0, 0, 0, 3, 3, MISSING, 6, 6])
    labels = np.array([1, 1, 2, 4, 4, 5, 0, 3])
    p_wrong = np.array([0.1, 0.2, 0.4, 0.9, 0.9, 0.5, 0.5, 0.5])
    found = weigh_copies(copy_of, labels, p_wrong)
    assert found.places.tolist() == [0, 1, 2, 6, 7]  # those of the second group agree
    one, two = 0.9 * 0.8 * 0.4, 0.1 * 0.2 * 0.6
    right = one / (one + two)
    np.testing.assert_allclose(found.p_wrong, [1 - right, 1 - right, right, 0.5, 0.5])
    assert found.suggested.tolist() == [2, 2, 1, 3, 0]
    np.testing.assert_allclose(found.suggested_p, [1 - right, 1 - right, right, 0.5, 0.5])


def test_three_labels_and_certain_suspicion():
    found = weigh_copies(np.zeros(3, int), np.array([0, 1, 2]), np.array([0.0, 1.0, 0.5]))
    assert found.p_wrong.sum() == pytest.approx(2)
    assert found.suggested.tolist() == [2, 0, 0]
    assert (found.suggested_p <= found.p_wrong).all()
    assert np.isfinite(found.p_wrong).all()


def test_without_conflicts_nothing_changes():
    for labels in ([1, 1], [1, MISSING]):
        found = weigh_copies(np.zeros(2, int), np.array(labels), np.array([0.3, 0.4]))
        assert len(found.places) == len(found.p_wrong) == 0
    found = weigh_copies(np.zeros(2, int), np.array([0, 1]), np.array([0.3, np.nan]))
    assert len(found.places) == 0


@pytest.fixture
def copied(make_dataset):
    """A dataset with an imported run: samples 1 and 5 show one picture, labelled c0 and c1."""
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), np.uint8)
    images[4] = images[0]
    labels = [f"c{i % 4}" for i in range(40)]
    dataset = labelaudit.load_arrays("copies", images, labels)
    dataset.set_labels([5], "c1")
    logits = np.full((40, 4), -2.0, np.float32)
    logits[np.arange(40), np.arange(40) % 4] = 2.0
    labelaudit.import_predictions(dataset, logits, "mine", kind="logits")
    find_duplicates(dataset)
    labelaudit.compute_scores(dataset, "mine")
    return Dataset("copies")


def test_a_conflict_leads_the_queue_with_its_copy_as_evidence(copied):
    view = suspects(copied, "mine")
    assert view.ids[0] == 5
    assert make_queue(copied, QueueFilter(), "ann").ids[0] == 5
    row = view.to_pandas().iloc[0]
    assert (row["finding"], row["suggested"]) == ("duplicate conflict", "c0")
    s = copied.view("mine").values("suspicion")
    assert s[0] + s[4] == pytest.approx(1)
    assert row["suggested_p"] == pytest.approx(s[4])
    (found,) = gather(copied, "mine", [5])
    assert found.copies == [(1, "c0")]
    assert found.why.startswith("Duplicate conflict: ")
    assert "The same picture is also present with another label: sample 1 as c0." in found.why
    other = copied.view("mine").select([1]).to_pandas().iloc[0]
    assert other["finding"] == "duplicate conflict"
    assert 1 not in view.ids[:1]


def test_a_conflict_ends_with_the_other_label(copied):
    copied.set_labels([5], "c0")
    assert not (copied.view("mine").to_pandas()["finding"] == "duplicate conflict").any()
    assert gather(copied, "mine", [1])[0].copies == []
