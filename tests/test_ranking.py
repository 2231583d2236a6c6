from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_score

import labelaudit
from labelaudit.core.errors import LabelAuditError
from labelaudit.features import neighbours
from labelaudit.features.duplicates import duplicates
from labelaudit.ranking.copies import weigh_copies
from labelaudit.ranking.evaluation import evaluate, precision_curves
from labelaudit.ranking.ranking import confidence_note, learned_again, outdated, suspects, weakness
from labelaudit.ranking.scoring import compute_scores
from labelaudit.scores import SCORES, LogitScore
from labelaudit.scores.aum import aum
from labelaudit.scores.base import LogitsInfo
from labelaudit.scores.cartography import cartography
from labelaudit.scores.confident_learning import confident_learning
from labelaudit.scores.neighbours import neighbours as neighbour_score
from labelaudit.scores.outlier import outlier
from labelaudit.scores.self_confidence import self_confidence
from labelaudit.scores.softmax import Softmax
from labelaudit.scores.suspicion import Suspicion


@pytest.fixture
def scored(make_dataset):
    """8 samples of 4 classes with hand-made logits: samples 3 and 7 contradict their label."""
    dataset = make_dataset(8)
    run = dataset.new_run("hand").finish({"classes": dataset.classes})
    logits = 4 * np.eye(4, dtype=np.float32)[[0, 1, 0, 3, 0, 1, 1, 3]]
    run.write_predictions([(dataset.view().ids, logits)])
    return dataset, run


def test_scores_are_stored_as_their_functions_compute_them(audited):
    run = audited.run()
    frame = audited.view().frame
    logits = np.empty((len(audited), 10), np.float32)
    for ids, rows in run.logits():
        logits[frame.positions(ids)] = rows
    recorded = run.dynamics(audited.view().ids)
    margin, p_label = recorded.margin, recorded.p_label
    near = neighbours.of_run(run, frame.ids, np.ones(len(audited), bool), 50)
    batches = lambda: [(np.arange(len(audited)), logits)]  # noqa: E731
    functions = {
        "suspicion": lambda: with_first_look(audited, logits),
        "confident_learning": lambda: confident_learning(frame.label, batches),
        "aum": lambda: aum(margin),
        "cartography": lambda: cartography(p_label),
        "neighbours": lambda: neighbour_score(frame.label, frame.label[near.places], near.cosines),
        "outlier": lambda: outlier(frame.label, frame.label[near.places], near.distances),
    }
    assert functions.keys() <= set(run.score_names())
    for name in run.score_names():
        compute = functions.get(name, lambda n=name: SCORES[n].function(frame.label, logits))
        expected = compute()
        np.testing.assert_array_equal(audited.view().values(name), expected)
        assert np.isfinite(expected).all()


def with_first_look(dataset, logits):
    """Suspicion by the logits of a run and of the first look, and by exact copies."""
    frame, look = dataset.view().frame, np.zeros((len(dataset), 10), np.float32)
    for ids, rows in dataset.run("first-look").logits():
        look[frame.positions(ids)] = rows - rows.max(axis=1, keepdims=True)
    softmax = Softmax(logits, (look.astype(np.float16).astype(np.float32),))
    model = Suspicion(LogitsInfo(10, len(dataset), False, 1))
    model.observe(frame.label, softmax)
    model.fit()
    p = model.score(frame.label, softmax)[0]
    found = weigh_copies(duplicates(dataset).exact_copies(frame.ids), frame.label, p)
    p[found.places] = found.p_wrong
    return p


def test_scores_without_dynamics(scored):
    dataset, run = scored
    names = compute_scores(dataset)
    assert "aum" not in names
    assert "hardness" in names
    assert run.score_names() == names
    with pytest.raises(LabelAuditError, match="needs training dynamics"):
        compute_scores(dataset, names=["aum"])
    with pytest.raises(LabelAuditError, match="there is no score 'beauty'"):
        compute_scores(dataset, names=["beauty"])


def test_a_score_of_another_package_is_ranked_by_and_kept_when_it_is_gone(scored, monkeypatch):
    dataset, run = scored
    mine = LogitScore("mine", "Mine", "A test.", self_confidence)
    with monkeypatch.context() as patched:
        patched.setitem(SCORES._scores, "mine", mine)
        assert compute_scores(dataset)[-1] == "mine"
        assert sorted(suspects(dataset, score="mine").ids.tolist()) == [3, 7]
    assert "mine" not in run.score_names()  # nothing describes it any more …
    compute_scores(dataset, names=["hardness"])
    np.testing.assert_array_equal(  # … but its values stay
        dataset.view().values("mine"), dataset.view().values("self_confidence")
    )


def test_one_score_at_a_time_keeps_the_others(scored):
    dataset, run = scored
    compute_scores(dataset, names=["hardness"])
    compute_scores(dataset, names=["mistakenness"])
    assert set(run.score_names()) == {"hardness", "mistakenness"}
    before = dataset.view().values("mistakenness")
    dataset.set_labels([1], "c3")
    compute_scores(dataset, names=["mistakenness"])
    after = dataset.view().values("mistakenness")
    assert after[0] > 0.5 > before[0]
    np.testing.assert_array_equal(after[1:], before[1:])


def test_samples_without_label_or_prediction_have_no_score(scored):
    dataset, _ = scored
    dataset.set_labels([2], None)
    (new,) = dataset.add_samples([{"filepath": "/new", "label": "brand new class"}])
    compute_scores(dataset)
    assert dataset[2].scores["mistakenness"] is None
    assert dataset[2].scores["hardness"] is not None  # never reads the label
    assert dataset[new].scores["hardness"] is None
    assert dataset.view().sort_by("mistakenness", reverse=True).ids[-1] == new
    # a class that came after the model: it cannot speak of it
    dataset.set_labels([5], "brand new class")
    compute_scores(dataset)
    assert dataset[5].scores["self_confidence"] is None


def test_a_run_without_predictions_has_the_scores_of_its_training_only(make_dataset):
    dataset = make_dataset(8)
    run = dataset.new_run("short").finish({"classes": dataset.classes})
    half, labels = np.full(8, 0.5, np.float32), np.arange(8) % 4
    run.append_dynamics(1, dataset.view().ids, labels, half, half)
    assert compute_scores(dataset, "short") == ["aum", "cartography"]
    with pytest.raises(LabelAuditError, match="self_confidence needs predictions, and run 'short'"):
        compute_scores(dataset, "short", ["aum", "self_confidence"])


def test_suspects_are_those_above_the_boundary_worst_first(scored):
    dataset, _ = scored
    compute_scores(dataset)
    assert sorted(suspects(dataset).ids.tolist()) == [3, 7]
    assert len(suspects(dataset, score="hardness")) == 8  # has no boundary: ranks all
    with pytest.raises(LabelAuditError, match="has no score 'aum'"):
        suspects(dataset, score="aum")


def test_an_unsure_model_that_agrees_makes_no_suspect(make_dataset):
    """With many classes p(label) is low even if it is the highest."""
    dataset = make_dataset(100, classes=50)
    run = dataset.new_run("unsure").finish({"classes": dataset.classes})
    logits = 0.5 * np.eye(50, dtype=np.float32)[dataset.view().frame.label]
    logits[[4, 9]] = np.roll(logits[[4, 9]], 1, axis=1)
    run.write_predictions([(dataset.view().ids, logits)])
    compute_scores(dataset)
    assert (dataset.view().values("self_confidence") > 0.9).all()
    for score in ("self_confidence", "normalized_margin", "mistakenness"):
        assert sorted(suspects(dataset, score=score).ids.tolist()) == [5, 10], score


def test_nothing_to_rank_is_reported(make_dataset):
    dataset = make_dataset(4)
    with pytest.raises(LabelAuditError, match="has no predictions yet: take a first look"):
        suspects(dataset)
    run = dataset.new_run().finish({"classes": dataset.classes})
    run.write_predictions([(dataset.view().ids, np.zeros((4, 4), np.float32))])
    with pytest.raises(LabelAuditError, match="score it first"):
        suspects(dataset)


def test_evaluation_is_scikit_learns(audited):
    table = evaluate(audited.view()).set_index("score")
    frame = audited.view().to_pandas()
    mistaken = frame.tags.map(lambda tags: "mistake" in tags)
    assert set(table.index) == set(audited.run().score_names())
    for name in table.index:
        expected = average_precision_score(mistaken, frame[name])
        assert table.average_precision[name] == pytest.approx(expected, abs=1e-3)
        first = frame[name].rank(ascending=False, method="first") <= mistaken.sum()
        assert table.precision_at_k[name] == pytest.approx(precision_score(mistaken, first))
        assert table.found[name] == (mistaken & first).sum()
    assert table.mistakes.unique().tolist() == [359]
    assert table.average_precision.iloc[0] == table.average_precision.max() > 0.95
    five = evaluate(audited.view(), k=5).set_index("score")
    assert five.precision_at_k["aum"] == five.found["aum"] / 5
    assert five.recall_at_k["aum"] == five.found["aum"] / 359


def test_curves_end_at_the_share_of_mistakes(audited):
    curves = precision_curves(audited.view())
    ends = curves.sort_values("reviewed").groupby("score").tail(1)
    np.testing.assert_allclose(ends.precision, 359 / 1797)
    assert (ends.reviewed == 1797).all()
    assert set(curves.score) == {*audited.run().score_names(), "random order"}
    table = evaluate(audited.view()).set_index("score")
    aum = curves[curves.score == "aum"].set_index("reviewed").precision
    at_k = aum.iloc[np.abs(aum.index - 359).argmin()]
    assert at_k == pytest.approx(table.precision_at_k["aum"], abs=0.03)


def test_a_model_that_learned_next_to_nothing_is_reported(make_dataset, audited):
    assert weakness(audited.view()) is None
    dataset = make_dataset(40)
    run = dataset.new_run("hand").finish({"classes": dataset.classes})
    right = 4 * np.eye(4, dtype=np.float32)[dataset.view().frame.label]
    run.write_predictions([(dataset.view().ids, right)])
    assert weakness(dataset.view()) is None
    run.write_predictions([(dataset.view().ids, np.tile(right[0], (40, 1)))])
    assert weakness(dataset.view()).startswith(
        "The model agrees with 25% of the labels, and random guessing would agree with 25%. It "
    )


def test_without_mistakes_there_is_nothing_to_evaluate(scored):
    dataset, _ = scored
    compute_scores(dataset)
    assert evaluate(dataset.view()) is None
    assert precision_curves(dataset.view()) is None
    dataset.tag([1], "mistake")
    dataset.untag([1], "mistake")
    assert evaluate(dataset.view()) is None


def test_a_sample_relabelled_after_scoring_is_not_ranked_by_its_old_label(audited):
    view = audited.view()
    worst = suspects(audited).head(1)[0]
    hardness = worst.scores["hardness"]
    worst.set_label(worst.prediction.label)
    assert outdated(view) == 1
    assert worst.id not in suspects(audited).ids
    assert audited[worst.id].scores["aum"] is None
    assert audited[worst.id].scores["hardness"] == hardness  # never read the label
    compute_scores(audited)
    assert outdated(view) == 1  # scored, but by a model that learned the other label
    assert audited[worst.id].scores["self_confidence"] < 0.5
    assert audited[worst.id].scores["aum"] is None  # what was recorded is about the label before


def import_logits(dataset, predicted, certainty=4.0):
    logits = np.zeros((len(dataset), 4), np.float32)
    logits[np.arange(len(dataset)), predicted] = certainty
    labelaudit.import_predictions(dataset, logits, "mine", kind="logits")
    compute_scores(dataset, "mine")


def test_suspects_of_suspicion_are_also_those_that_are_predicted_as_another_class(make_dataset):
    dataset = make_dataset(400)
    predicted = np.arange(400) % 4
    predicted[:3] = 3
    import_logits(dataset, predicted, 0.5)
    view, found = dataset.view("mine"), suspects(dataset, "mine")
    p = view.values("suspicion")
    expected = np.flatnonzero((p > 0.1) | (predicted != view.frame.label))
    assert set(found.ids) == set(view.ids[expected])
    assert np.isin(view.ids[:3], found.ids).all()
    ranked = found.values("suspicion")
    assert (np.diff(ranked) <= 0).all()


def test_there_is_a_note_where_probabilities_are_rough(make_dataset):
    small, large = make_dataset(120, name="small"), make_dataset(240, name="large")
    assert confidence_note(small.view()) == (
        "Half of the classes have 30 or fewer labelled samples, which is too few for reliable "
        "probabilities, so the ranking is shown without them."
    )
    assert confidence_note(large.view()) is None
    noise = np.random.default_rng(0).normal(size=(240, 5))
    labelaudit.import_features(large, noise, "noise", by="order")
    labelaudit.first_look(large, features="noise")
    note = confidence_note(large.view())
    assert note.startswith("The first look agrees with ")
    assert "Try other features, or use another model." in weakness(large.view())
    assert learned_again(large.run()) == ("taken", "take the first look again")
    assert note.endswith("so the ranking is shown without probabilities.")
    large.view().limit(160).tag("removed")
    clear = np.eye(4)[large.view().frame.label] + noise[:, :4] / 100
    labelaudit.import_features(large, clear, "clear")
    labelaudit.first_look(large, features="clear")
    assert "have 20 or fewer" in confidence_note(large.view())
