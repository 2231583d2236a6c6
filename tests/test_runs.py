"""How a run stores and finds embeddings, neighbours and dynamics of a few samples."""

from __future__ import annotations

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from labelaudit import Dataset
from labelaudit.core.errors import BadInputError, LabelAuditError
from labelaudit.storage import schema, vector_search


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    return a @ b.T


def table_of(dataset: Dataset, kind: str, run):
    """A table of a run as LanceDB opens it."""
    return lancedb.connect(dataset.view().store.uri).open_table(schema.table(kind, run.id))


@pytest.fixture
def embedded(make_dataset):
    """200 samples with embeddings of 8 numbers, and these embeddings."""
    dataset = make_dataset(200)
    run = dataset.new_run("hand").finish({"classes": dataset.classes})
    vectors = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    ids, logits = dataset.view().ids, np.zeros((200, 4), np.float32)
    run.write_predictions(
        (ids[at], logits[at], vectors[at]) for at in (slice(0, 90), slice(90, None))
    )
    return dataset, run, vectors


def test_embeddings_are_kept_in_half_precision(embedded):
    _, run, vectors = embedded
    got = run.embeddings([7, 200, 7])
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got, vectors[[6, 199, 6]].astype(np.float16))
    with pytest.raises(LabelAuditError, match="no sample with id 900"):
        run.embeddings([900])


@pytest.mark.parametrize("rows", [50_000, 50])
def test_neighbours_are_the_nearest_others_best_first(embedded, monkeypatch, rows):
    """With the index, which searches all partitions of so few rows, the result is the same."""
    _, run, vectors = embedded
    monkeypatch.setattr(vector_search, "UNINDEXED_ROWS", rows)
    monkeypatch.setattr(vector_search, "ROWS_PER_PARTITION", 50)
    assert run.index_embeddings() == (rows == 50)
    assert not run.index_embeddings()  # nothing has come since
    near, cosine = run.neighbours([12, 3], 5)
    assert (near.dtype, cosine.dtype) == (np.int64, np.float32)
    expected = cosines(vectors[[11, 2]], vectors.astype(np.float16).astype(np.float32))
    expected[[0, 1], [11, 2]] = -2  # not itself
    order = np.argsort(-expected, axis=1)[:, :5]
    np.testing.assert_array_equal(near, order + 1)
    np.testing.assert_allclose(cosine, np.take_along_axis(expected, order, 1), atol=2e-3)


def test_neighbours_that_are_no_samples_do_not_appear(embedded):
    dataset, run, vectors = embedded
    ghosts = np.arange(1000, 1050)  # all nearer to sample 5 than any other
    run.write_predictions([(ghosts, np.zeros((50, 4), np.float32), vectors[[4] * 50])])
    near, _ = run.neighbours([5], 3)
    real = np.argsort(-cosines(vectors[[4]], vectors)[0])[1:4] + 1
    assert near[0].tolist() == real.tolist()
    assert set(near[0]) <= set(dataset.view().ids)


def test_neighbours_are_padded(embedded, make_dataset):
    _, run, _ = embedded
    near, cosine = run.neighbours([1], 250)
    assert (near[0, :199] > 0).all()
    assert (near[0, 199:] == -1).all()
    assert np.isnan(cosine[0, 199:]).all()
    other = make_dataset(8, name="other")
    run = other.new_run().finish({"classes": other.classes})
    zeros, vectors = np.zeros((2, 4), np.float32), np.array([[1, 0], [0, 0]], np.float32)
    run.write_predictions([(np.array([1, 2]), zeros, vectors)])  # the second has no direction
    near, cosine = run.neighbours([1, 2, 3], 2)
    assert (near == -1).all()
    assert np.isnan(cosine).all()
    assert run.neighbours([], 2)[0].shape == (0, 2)


def test_predictions_of_earlier_versions_are_read_and_made_again(make_dataset):
    dataset = make_dataset(6)
    run = dataset.new_run().finish({"classes": dataset.classes})
    logits = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1]]
    run.write_predictions([(dataset.view().ids, logits)])
    table = schema.table("predictions", run.id)
    assert "embedding" not in dataset.view().store.columns(table)
    assert not run.has_embeddings()
    assert run.embeddings([1]) is None
    assert run.neighbours([1], 3) is None
    assert not run.index_embeddings()

    vectors = np.array([[1, 0], [1, 0.1]], np.float32)
    run.write_predictions([(np.array([2, 4]), logits[[3, 3]], vectors)])
    run = Dataset("plain").run()
    assert run.has_embeddings()
    assert np.isnan(run.embeddings([1])).all()
    near, _ = run.neighbours([2, 1], 2)
    assert near.tolist() == [[4, -1], [-1, -1]]
    predicted = dataset.view().values("prediction").tolist()
    assert predicted == ["c0", "c3", "c2", "c3", "c0", "c1"]
    # and imported logits may still come without
    run.write_predictions([(np.array([2]), logits[[0]])])
    assert np.isnan(run.embeddings([2])).all()
    assert np.isfinite(run.embeddings([4])).all()


def test_some_predictions_may_have_no_embedding(make_dataset):
    dataset = make_dataset(6)
    run = dataset.new_run().finish({"classes": dataset.classes})
    logits = np.zeros((2, 4), np.float32)
    run.write_predictions([(np.array([1, 2]), logits, np.ones((2, 3))), (np.array([3, 4]), logits)])
    assert np.isnan(run.embeddings([1, 3, 6, 2])).any(axis=1).tolist() == [False, True, True, False]
    assert run.neighbours([1, 3], 1)[0].tolist() == [[2], [-1]]


def test_embeddings_that_do_not_fit_are_refused(embedded):
    _, run, vectors = embedded
    logits = np.zeros((2, 4), np.float32)
    with pytest.raises(LabelAuditError, match=r"embeddings of 3 numbers .* has embeddings of 8"):
        run.write_predictions([(np.array([1, 2]), logits, np.ones((2, 3)))])
    with pytest.raises(LabelAuditError, match="embeddings of sample 2 are not finite"):
        run.write_predictions([(np.array([1, 2]), logits, np.array([[1] * 8, [np.inf] * 8]))])
    with pytest.raises(LabelAuditError, match=r"\(2, 8\) were given for 1 samples .* \(1, 8\)"):
        run.write_predictions([(np.array([1]), logits[:1], np.ones((2, 8)))])
    run.write_predictions([(np.array([1]), logits[:1], np.full((1, 8), 1e9))])  # beyond half's
    assert np.isfinite(run.embeddings([1])).all()
    np.testing.assert_array_equal(run.embeddings([2]), vectors[[1]].astype(np.float16))


# --- dynamics of a few ---


def record(run, ids, epochs=3, seed=0, first=1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    margin, p = rng.normal(size=(2, epochs, len(ids))).astype(np.float32)
    for i in range(epochs):
        run.append_dynamics(first + i, ids, ids % 4, margin[i], p[i])
    return margin, p


def test_dynamics_of_a_few_of_a_finished_run(make_dataset):
    dataset = make_dataset(100)
    run = dataset.new_run()
    assert run.dynamics_of([1]) is None
    ids = dataset.view().ids[::2]  # half of the samples were trained on
    margin, p = record(run, ids)
    run.finish({"classes": dataset.classes})
    assert not dataset.view().store.exists(schema.table("dynamics", run.id))
    some = run.dynamics_of([99, 4, 1, 99])
    np.testing.assert_array_equal(some.margin[:, [0, 2, 3]], margin[:, [49, 0, 49]])
    np.testing.assert_array_equal(some.p_label[:, [0, 2, 3]], p[:, [49, 0, 49]])
    assert np.isnan(some.margin[:, 1]).all()  # not trained on
    assert some.labels.tolist() == [3, -1, 1, 3]
    assert run.dynamics_of([2]).margin.shape == (3, 1)
    with pytest.raises(BadInputError, match=r"run 1 of dataset .* is finished"):
        record(run, ids, 1, first=4)


def test_epochs_of_different_samples_are_not_mixed_up(make_dataset):
    dataset = make_dataset(20)
    run = dataset.new_run()
    ids, margin = dataset.view().ids, np.arange(40, dtype=np.float32).reshape(2, 20)
    margin[0, 19] = margin[1, 5] = np.nan  # are left out: both epochs have 19 rows
    for i in range(2):
        run.append_dynamics(i + 1, ids, ids % 4, margin[i], margin[i])
    folds, learned = run.folds(ids), run.learned_labels(ids[:-1])
    for state in ("in training", "finished"):
        np.testing.assert_array_equal(run.dynamics(ids).margin, margin, state)
        np.testing.assert_array_equal(run.dynamics_of([6, 20, 5]).margin, margin[:, [5, 19, 4]])
        np.testing.assert_array_equal(run.folds(ids), folds)
        np.testing.assert_array_equal(run.learned_labels(ids[:-1]), learned)
        if state == "in training":
            run.finish({"classes": dataset.classes})


def test_a_sample_that_was_not_trained_on_has_its_out_of_sample_values(make_dataset):
    dataset = make_dataset(4)
    run, ids = dataset.new_run(), dataset.view().ids
    margin = np.array([1, np.nan, 3, np.nan], np.float32)
    out = np.array([np.nan, 6, 7, 8], np.float32)
    run.append_dynamics(1, ids, ids % 4, margin, margin, out, out)
    run.finish({"classes": dataset.classes})
    found = run.dynamics(ids)
    assert found.margin.tolist() == found.p_label.tolist() == [[1, 6, 3, 8]]
    np.testing.assert_array_equal(found.out_margin, [out])


def test_dynamics_of_a_training_agree_with_the_whole_table(audited):
    run, ids = audited.run(), audited.view().ids
    whole = run.dynamics(ids)
    some = run.dynamics_of([1500, 2, 77])
    np.testing.assert_array_equal(some.p_label, whole.p_label[:, [1499, 1, 76]])
    np.testing.assert_array_equal(some.labels, whole.labels[[1499, 1, 76]])


def test_class_curves_are_medians_of_the_recorded(audited):
    run = audited.run()
    curves, whole = run.class_curves(), run.dynamics(audited.view().ids)
    assert (curves.shape, curves.dtype) == ((6, 10), np.float32)
    for c in range(10):
        expected = np.median(whole.p_label[:, whole.labels == c], axis=1)
        np.testing.assert_allclose(curves[:, c], expected, atol=1e-4)


def test_a_run_without_class_curves_says_none(make_dataset):
    dataset = make_dataset(4)
    assert dataset.new_run().finish({"classes": dataset.classes}).class_curves() is None


def test_the_index_is_made_again_only_for_many_new_rows(embedded, monkeypatch):
    _, run, vectors = embedded
    monkeypatch.setattr(vector_search, "UNINDEXED_ROWS", 100)
    monkeypatch.setattr(vector_search, "ROWS_PER_PARTITION", 50)
    assert run.index_embeddings()
    few = np.arange(1, 21)
    run.write_predictions([(few, np.zeros((20, 4), np.float32), -vectors[few - 1])])
    assert not run.index_embeddings()
    near, cosine = run.neighbours([1], 199)  # rows that the index lacks are found all the same
    assert set(near[0]) == set(range(2, 201))
    now = np.concatenate([-vectors[:20], vectors[20:]])
    np.testing.assert_allclose(cosine[0, 0], np.sort(cosines(now[:1], now)[0])[-2], atol=2e-3)


def test_the_embedding_column_is_half_precision(embedded):
    dataset, run, _ = embedded
    handle = dataset.view().store._handle(schema.table("predictions", run.id))
    assert handle.schema.field("embedding").type == pa.list_(pa.float16(), 8)
    assert handle.schema.field("embedding").nullable
