from __future__ import annotations

import base64
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import confusion_matrix

from labelaudit import TrainConfig, compute_scores, suspects, train
from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.ranking import insights, umap_plane
from labelaudit.ui import charts, sample_map


@pytest.fixture
def mixed(make_dataset):
    """60 samples of 30 classes, all but four predicted correctly: both of c1 and one of c2 are
    taken for c5, and one of c3 for c9."""
    dataset = make_dataset(60, classes=30)
    run = dataset.new_run("hand").finish({"classes": dataset.classes})
    predicted = dataset.view().frame.label.copy()
    predicted[[1, 31, 2, 3]] = [dataset.classes.index(name) for name in ("c5", "c5", "c5", "c9")]
    logits = 4 * np.eye(30, dtype=np.float32)[predicted]
    run.write_predictions([(dataset.view().ids, logits)])
    compute_scores(dataset)
    return dataset


def test_confusion_counts_as_scikit_learn_does(audited):
    found = insights.confusion(audited.view())
    given, predicted = (audited.view().values(f) for f in ("ground_truth", "prediction"))
    expected = confusion_matrix(given, predicted, labels=audited.classes)
    np.testing.assert_array_equal(found.counts, expected)
    assert found.classes == audited.classes
    assert found.labelled == 1797
    assert found.differ == len(audited.view().match(wrong=True))


def test_of_many_classes_those_most_mixed_up_are_shown(mixed):
    found = insights.confusion(mixed.view(), limit=4)
    assert found.classes == ["c1", "c2", "c3", "c5"]  # of the most frequent pairs; no place for c9
    assert found.counts.tolist() == [[0, 0, 0, 2], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 2]]
    assert (found.labelled, found.differ) == (60, 4)  # of all classes
    mixed.set_labels([1], None)
    assert insights.confusion(mixed.view()).labelled == 59
    assert len(insights.confusion(mixed.view(), limit=50).classes) == 30


def test_suspects_by_class(mixed):
    table = insights.class_suspects(mixed.view(), suspects(mixed))
    assert table.head(3)["class"].tolist() == ["c1", "c2", "c3"]
    assert table.loc[0, ["samples", "suspects", "share"]].tolist() == [2, 2, 1.0]
    assert table.loc[1, ["samples", "suspects", "share"]].tolist() == [2, 1, 0.5]
    assert table["suspects"].sum() == len(suspects(mixed))
    mixed.set_labels([1, 31], "c8")
    table = insights.class_suspects(mixed.view(), suspects(mixed))
    assert "c0" not in set(table["class"])  # no sample is left of it


def test_points_are_chosen_with_half_of_them_suspects(audited):
    view, found = audited.view(), suspects(audited)
    ids = insights.choose_points(view, found, limit=400)
    assert len(ids) == len(set(ids)) == 400
    assert np.isin(ids, found.ids).sum() == 200
    assert (np.diff(ids) > 0).all()
    np.testing.assert_array_equal(ids, insights.choose_points(view, found, limit=400))
    np.testing.assert_array_equal(insights.choose_points(view, found), view.ids)  # few: all
    few = insights.choose_points(view, found.limit(7), limit=400)
    assert np.isin(found.limit(7).ids, few).all()
    assert len(few) == 400
    only = insights.choose_points(found, found, limit=300)  # nothing else to fill up with
    assert len(only) == 300


def test_the_training_map_is_mean_and_deviation_of_what_was_recorded(audited):
    ids = np.array([3, 900, 1797])
    points = insights.dynamics_map(audited.run(), ids)
    p = audited.run().dynamics(audited.view().ids).p_label[:, ids - 1].astype(np.float64)
    assert points["id"].tolist() == ids.tolist()
    np.testing.assert_allclose(points["x"], p.std(axis=0))
    np.testing.assert_allclose(points["y"], p.mean(axis=0))
    np.testing.assert_allclose(1 - points["y"], [audited[i].scores["cartography"] for i in ids])


def test_samples_that_were_not_watched_are_not_on_the_training_map(audited):
    run = train(audited.view().limit(100), "part", TrainConfig(epochs=1, threads=1))
    points = insights.dynamics_map(run, np.array([1, 50, 1000]))
    assert points["id"].tolist() == [1, 50]
    imported = audited.new_run("imported").finish({"classes": audited.classes})
    assert insights.dynamics_map(imported, np.array([1])) is None


@pytest.mark.parametrize("shape", [(500, 40), (300, 700), (5, 2), (4, 1)])
def test_the_principal_plane_is_scikit_learns(shape):
    rng = np.random.default_rng(0)
    spread = np.r_[[9, 4], np.ones(max(shape[1] - 2, 0))][: shape[1]]
    vectors = (rng.normal(size=shape) * spread + 3).astype(np.float32)
    got = insights.principal_plane(vectors)
    assert got.shape == (shape[0], 2)
    count = min(2, *shape)
    expected = PCA(count, svd_solver="full").fit_transform(vectors.astype(np.float64))
    for axis in range(count):
        sign = np.sign(got[:, axis] @ expected[:, axis])
        np.testing.assert_allclose(sign * got[:, axis], expected[:, axis], atol=0.05)
    np.testing.assert_array_equal(got, insights.principal_plane(vectors))


def test_the_axes_of_many_points_are_fitted_to_a_part(monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(400, 3)) * [9, 3, 0.1] + 5
    whole = insights.principal_plane(vectors)
    monkeypatch.setattr(insights, "FITTED", 150)
    part = insights.principal_plane(vectors)
    assert part.shape == (400, 2)
    for axis in range(2):
        assert abs(np.corrcoef(whole[:, axis], part[:, axis])[0, 1]) > 0.99


def test_the_look_alike_map_brings_classes_together(audited):
    points = insights.embedding_map(audited.run(), audited.view().ids)
    points = insights.describe_points(audited.view(), points, suspects(audited))
    truth = points.assign(true=audited.view().values("original_label"))
    centres = truth.groupby("true")[["x", "y"]].mean()
    within = truth[["x", "y"]].to_numpy() - centres.loc[truth["true"]].to_numpy()
    assert np.square(within).mean() < 0.4 * points[["x", "y"]].var(ddof=0).mean()


def test_points_say_what_is_known_of_them(audited):
    ids = np.array([5, 70, 1500])
    found = suspects(audited)
    points = pd.DataFrame({"id": ids, "x": 0.0, "y": 0.0})
    points = insights.describe_points(audited.view(), points, found)
    for row in points.to_dict("records"):
        sample = audited[row["id"]]
        assert row["given"] == sample.ground_truth
        assert row["predicted"] == sample.prediction.label
        assert row["suspect"] == (row["id"] in found.ids)
        assert row["aum"] == sample.scores["aum"]


def test_without_embeddings_there_is_no_look_alike_map(mixed):
    run = mixed.run()
    assert insights.embedding_map(run, mixed.view().ids) is None
    logits, vectors = np.zeros((2, 30), np.float32), np.ones((2, 3), np.float32)
    run.write_predictions([(np.array([1, 2]), logits, vectors)])
    assert insights.embedding_map(run, mixed.view().ids) is None  # two make no map
    logits, vectors = np.zeros((4, 30), np.float32), np.ones((4, 3), np.float32)
    vectors[3] = 0  # points nowhere
    run.write_predictions([(np.arange(1, 5), logits, vectors)])
    assert insights.embedding_map(run, mixed.view().ids)["id"].tolist() == [1, 2, 3]


# --- what is drawn of it ---


@pytest.mark.parametrize("count", [1, 6, 10, 11, 100, 1000])
def test_class_colors_are_stable_and_distinguishable(count):
    names = [f"class {i}" for i in range(count)]
    colors = charts.class_colors(names)
    assert list(colors) == names
    assert colors == charts.class_colors(names)
    assert all(len(color) == 7 and int(color[1:], 16) >= 0 for color in colors.values())
    assert len(set(colors.values())) > 0.95 * count
    for color in colors.values():  # neither lost on white nor on black
        light = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) @ [0.299, 0.587, 0.114]
        assert 50 < light < 215


POINTS = pd.DataFrame(
    {
        "id": [4, 7, 9, 11],
        "x": [0.0, 1.0, 2.0, 2.0],
        "y": [5.0, 5.0, 5.0, 5.0],
        "given": ["cat", None, "dog", "cat"],
        "predicted": ["cat", "fox", None, "dog"],
        "suspect": [False, False, False, True],
        "aum": [-1.0, 0.0, np.nan, 3.0],
    }
)


def numbers(found: dict, name: str) -> list:
    """A column as the browser gets it."""
    column = sample_map.packed(found)["columns"][name]
    return np.frombuffer(
        base64.b64decode(column["base64"]), f"<{np.dtype(column['kind']).str[1:]}"
    ).tolist()


def test_a_map_is_sent_with_its_classes():
    found = sample_map.drawn(POINTS, "given", ["cat", "dog"], None)
    assert found["names"] == ["cat", "dog", "fox"]  # with a class that only the model knows
    assert numbers(found, "given") == [0, -1, 1, 0]
    assert numbers(found, "suggested") == [0, 2, -1, 1]
    assert numbers(found, "id") == [4, 7, 9, 11]
    for most in (300, 70_000, 1 << 40):  # the smallest numbers that hold them are sent
        assert numbers({**found, "id": np.array([4, 7, 9, most])}, "id") == [4, 7, 9, most]
    assert numbers(found, "suspect") == [0, 0, 0, 1]
    assert numbers(found, "color") == found["color"].tolist()
    assert json.dumps(sample_map.packed(found))  # nothing else than the columns is an array
    assert [found["palette"][i] for i in found["color"]] == [
        charts.PALETTE[0], sample_map.UNKNOWN, charts.PALETTE[1], charts.PALETTE[0],
    ]  # fmt: skip
    assert [each["name"] for each in found["legend"]["classes"]] == ["cat", "dog"]
    assert "value" not in found
    assert found["axes"] is None


def test_a_map_is_sent_with_a_score_and_axes():
    found = sample_map.drawn(POINTS, "aum", ["cat", "dog"], ("across", "up"))
    first, middle, missing, last = (found["palette"][i] for i in found["color"])
    assert (first, last) == (sample_map.SUSPICION[0], sample_map.SUSPICION[-1])
    assert missing == sample_map.UNKNOWN
    assert middle not in (first, last, missing)
    np.testing.assert_array_equal(numbers(found, "value"), [-1.0, 0.0, np.nan, 3.0])
    assert (found["legend"]["low"], found["legend"]["high"]) == ("-1.00", "3.00")
    assert 0 < found["x"][0] < found["x"][1] < found["x"][2] == found["x"][3] < 1
    across = found["axes"]["x"]
    assert across["title"] == "across"
    assert [text for _, text in across["ticks"]] == ["0", "0.5", "1", "1.5", "2"]
    places = [place for place, _ in across["ticks"]][::2]  # where the values are
    assert places == pytest.approx(found["x"][:3], abs=1e-4)
    sent = np.array(numbers(found, "x")) / sample_map.MOST_COORDINATE
    assert sent == pytest.approx(found["x"], abs=1e-5)
    ((place, text),) = found["axes"]["y"]["ticks"]  # all the same
    assert (place, text) == (pytest.approx(found["y"][0], abs=1e-4), "5")


def test_a_map_of_many_classes_has_no_legend():
    many = POINTS.iloc[[0] * 30].assign(given=[f"c{i}" for i in range(30)])
    found = sample_map.drawn(many, "given", [f"c{i}" for i in range(30)], None)
    assert found["legend"] == {"classes": []}
    assert len({found["palette"][i] for i in found["color"]}) == 30


# --- UMAP, which is not installed here: another program takes its place ---


def test_umap_runs_in_a_process_that_can_be_stopped_and_says_why_it_failed(tmp_path, monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    umap = tmp_path / "umap.py"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    umap.write_text(
        "class UMAP:\n"
        "    def __init__(self, **options): self.options = options\n"
        "    def fit_transform(self, v): return v[:, :2] * self.options['n_neighbors']\n"
    )
    np.testing.assert_array_equal(umap_plane.umap_plane(vectors), vectors[:, :2] * 11)
    umap.write_text("import time; time.sleep(600)")

    def leave() -> None:
        raise StoppedError("the page was left")

    with pytest.raises(StoppedError):
        umap_plane.umap_plane(vectors, leave)
    umap.write_text("raise ImportError('numba is broken')")
    with pytest.raises(LabelAuditError, match=r"UMAP failed .*numba is broken"):
        umap_plane.umap_plane(vectors)


def test_umap_is_not_asked_for_a_few_samples(audited):
    few = audited.view().ids[:5]
    assert len(insights.embedding_map(audited.run(), few, umap_plane.umap_plane)) == 5
