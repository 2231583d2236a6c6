from __future__ import annotations

import numpy as np
import pytest

from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.core.progress import Task
from labelaudit.features import neighbours
from labelaudit.features.neighbours import all_nearest, how_many
from labelaudit.ranking.scoring import compute_scores


def brute(vectors, counted, k):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    product = unit @ unit.T
    np.fill_diagonal(product, -9)
    product[:, ~counted] = -9
    order = np.argsort(-product, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(product, order, axis=1)


@pytest.mark.parametrize(("n", "k"), [(30, 5), (700, 3), (2500, 20)])
def test_it_is_what_sorting_all_pairs_finds(n, k, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 400_000)  # several blocks
    rng = np.random.default_rng(n)
    vectors = rng.normal(size=(n, 8)).astype(np.float32)
    counted = rng.random(n) < 0.6
    near, cosine = all_nearest(vectors, counted, k)
    expected, value = brute(vectors, counted, k)
    np.testing.assert_array_equal(near, expected)
    np.testing.assert_allclose(cosine, value, atol=1e-6)


def test_fewer_neighbours_than_asked_for_and_rows_without_a_direction():
    vectors = np.array([[1, 0], [2, 0], [0, 1], [0, 0], [np.nan, 1]], np.float32)
    near, cosine = all_nearest(vectors, np.array([True, True, True, True, True]), 4)
    np.testing.assert_array_equal(near[:3], [[1, 2, -1, -1], [0, 2, -1, -1], [0, 1, -1, -1]])
    np.testing.assert_array_equal(cosine[0], [1, 0, np.nan, np.nan])
    assert (near[3:] == -1).all()
    assert np.isnan(cosine[3:]).all()
    near, _ = all_nearest(vectors[:3], np.array([False, False, True]), 2)
    np.testing.assert_array_equal(near, [[2, -1], [2, -1], [-1, -1]])
    assert (all_nearest(vectors, np.zeros(5, bool), 2)[0] == -1).all()
    assert all_nearest(vectors[:0], np.zeros(0, bool), 2)[0].shape == (0, 2)


def test_equal_similarities_are_ordered_by_place_below_zero_too():
    rng = np.random.default_rng(0)
    vectors = rng.choice([-1, 1], 90)[:, None] * np.eye(2)[rng.integers(0, 2, 90)]
    near, cosine = all_nearest(vectors, np.ones(90, bool), 89)
    expected, value = brute(vectors, np.ones(90, bool), 89)
    np.testing.assert_array_equal(near, expected)
    np.testing.assert_array_equal(cosine, value)


@pytest.mark.parametrize(("share", "searched"), [(0.9, 4_000), (0.3, 1_200)])
def test_cells_find_most_of_what_comparing_all_finds(share, searched, monkeypatch):
    monkeypatch.setattr(neighbours, "CELL", 400)  # 18 cells or 6
    monkeypatch.setattr(neighbours, "SEARCHED", searched)
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(40, 16))
    vectors = middles[rng.integers(0, 40, 8_000)] + 0.3 * rng.normal(size=(8_000, 16))
    counted = rng.random(8_000) < share
    near, _ = all_nearest(vectors, counted, 10, exact=1_000)
    asked = np.arange(0, 8_000, 16)
    all_of_them, _ = all_nearest(vectors, counted, 10)
    found = [np.isin(all_of_them[i], near[i]).mean() for i in asked]
    assert np.mean(found) > 0.97
    assert counted[near[near >= 0]].all()
    assert (near != np.arange(8_000)[:, None]).all()


def test_how_many_neighbours():
    assert how_many(np.repeat(np.arange(10), 1000)) == neighbours.K
    assert how_many(np.repeat([0, 1, 2], [40, 44, 4])) == 20
    assert how_many(np.array([0, 1, -1])) == neighbours.LEAST
    assert how_many(np.array([-1, -1])) == neighbours.LEAST


def test_a_stop_ends_it():
    with pytest.raises(StoppedError):
        all_nearest(np.eye(4, dtype=np.float32), np.ones(4, bool), 2, task=Task(stop=lambda: True))


@pytest.fixture
def embedded(make_dataset):
    """24 samples of two classes in two directions; sample 1 lies among the other class."""
    dataset = make_dataset(24, classes=2)
    run = dataset.new_run("hand").finish({"classes": dataset.classes})
    label = dataset.view().frame.label.copy()
    label[0] = 1 - label[0]
    rng = np.random.default_rng(0)
    vectors = 5 * np.eye(2)[label] + rng.normal(size=(24, 2)) / 10
    run.write_predictions([(dataset.view().ids, np.eye(2, dtype=np.float32)[label], vectors)])
    return dataset, run


def test_the_score_of_a_run(embedded):
    dataset, run = embedded
    assert "neighbours" in compute_scores(dataset)
    values = dataset.view().values("neighbours")
    assert values[0] == 1
    assert (values[1:] < 0.35).all()
    ids, vectors = run.all_embeddings()
    np.testing.assert_array_equal(ids, dataset.view().ids)
    np.testing.assert_array_equal(vectors, run.embeddings(ids))


def test_removed_and_unlabelled_neighbours_do_not_count(embedded):
    dataset, _ = embedded
    frame = dataset.view().frame
    others = frame.ids[1:][frame.label[1:] != frame.label[0]]
    dataset.tag(others[:-1], "removed")
    compute_scores(dataset, names=["neighbours"])
    few = dataset.view().values("neighbours")[0]
    assert 0 < few < 1  # one other of its kind is left, and then come those of its own label
    dataset.set_labels(others[-1:], None)
    compute_scores(dataset, names=["neighbours"])
    values = dataset.view().values("neighbours")
    assert values[0] == pytest.approx(0)
    assert np.isnan(values[frame.positions(others[-1:])]).all()


def test_a_run_without_embeddings_does_without(make_dataset):
    dataset = make_dataset(8)
    run = dataset.new_run("hand").finish({"classes": dataset.classes})
    run.write_predictions([(dataset.view().ids, np.zeros((8, 4), np.float32))])
    assert run.all_embeddings() is None
    assert "neighbours" not in compute_scores(dataset)
    with pytest.raises(LabelAuditError, match="needs embeddings, and run 'hand' has none"):
        compute_scores(dataset, names=["neighbours"])
