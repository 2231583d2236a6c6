from __future__ import annotations

import re

import numpy as np
import pytest

from labelaudit import Dataset, suspects
from labelaudit.ranking.evidence import (
    gather,
    suggested_labels,
    suggestion_is_clear,
    suggestions,
)
from labelaudit.ranking.explanation import explain, explain_copies, explain_finding
from labelaudit.ranking.typical import COUNT, typical_images


def test_the_evidence_is_what_the_run_knows(audited):
    ids = suspects(audited).ids[:4]
    found = gather(audited, "run-1", ids)
    assert [each.id for each in found] == ids.tolist()
    dynamics = audited.run("run-1").dynamics(np.sort(ids))
    view = audited.view()
    for each in found:
        sample = audited[each.id]
        assert each.given == sample.ground_truth
        assert each.suggested == sample.prediction.label != each.given
        assert each.probabilities[each.suggested] == each.suggested_p
        assert each.probabilities[each.given] == pytest.approx(1 - each.scores["suspicion"])
        assert sum(each.probabilities.values()) < 1.0001
        assert each.given in each.probabilities
        assert len(each.probabilities) == 5
        row = np.sort(ids).tolist().index(each.id)
        assert each.p_given == pytest.approx(dynamics.p_label[:, row], abs=6e-4)
        assert len(each.median_given) == len(each.p_given) == 6
        own = view.values("self_confidence")
        assert each.percentiles["self_confidence"] == pytest.approx(
            (own < each.scores["self_confidence"]).mean() * 100
        )
        assert len(each.neighbours) == 8
        assert each.id not in [near for near, _, _ in each.neighbours]
        for near, label, similarity in each.neighbours:
            assert audited[near].ground_truth == label
            assert -1 <= similarity <= 1.0001
        assert f"that it is {each.suggested}." in each.why
        assert f"not {each.given}" in each.why
        assert "The model predicts" not in each.why  # these were other numbers


def test_a_class_median_is_that_of_its_samples(audited):
    each = gather(audited, "run-1", suspects(audited).ids[:1])[0]
    labels = audited.view().values("ground_truth")
    dynamics = audited.run("run-1").dynamics(audited.view().ids)
    of_class = dynamics.p_label[:, labels == each.given]
    assert each.median_given == pytest.approx(np.nanmedian(of_class, axis=1), abs=6e-4)


def test_a_relabelled_sample_is_not_judged_by_dynamics_of_its_old_label(audited):
    sample = int(suspects(audited).ids[0])
    other = gather(audited, "run-1", [sample])[0].suggested
    audited.set_labels([sample], other)
    each = gather(audited, "run-1", [sample])[0]
    assert each.given == other != each.suggested  # something else is suggested now
    assert each.p_given is None
    assert set(each.scores) == {"hardness", "outlier"}  # the others judged the old label
    audited.set_labels([sample], None)
    each = gather(audited, "run-1", [sample])[0]
    assert each.given is None
    assert each.suggested == other
    assert each.why.startswith("It has no label. The model predicts")


def test_suggested_labels_are_never_the_given_ones(audited):
    ids = audited.view().ids
    suggested = np.array(suggested_labels(audited, "run-1", ids))
    view = audited.view()
    given, predicted = view.values("ground_truth"), view.values("prediction")
    assert (suggested != given).all()
    assert (suggested == view.to_pandas()["suggested"]).all()  # what suspicion suggests …
    differ = given != predicted
    assert (suggested[differ] == predicted[differ]).mean() > 0.95  # … is mostly what is predicted
    one = int(ids[~differ][0])
    assert gather(audited, "run-1", [one])[0].suggested == suggested[ids == one][0]


def test_a_run_without_dynamics_or_embeddings_has_less_to_say(make_dataset):
    dataset = make_dataset(10)
    run = dataset.new_run("mine")
    run.finish({"classes": dataset.classes, "config": {}})
    logits = np.eye(4, dtype=np.float32)[np.arange(10) % 4][:, ::-1].copy()
    run.write_predictions([(dataset.view().ids, logits)])
    each = gather(Dataset("plain"), "mine", [1])[0]
    assert (each.given, each.suggested) == ("c0", "c3")
    assert each.p_given is each.median_given is None
    assert each.neighbours == []
    assert each.percentiles == {}  # not scored yet


def test_the_sentence():
    near = [(1, "dog", 0.9), (2, "dog", 0.9), (3, "cat", 0.8)]
    assert explain("cat", "dog", {"dog": 0.94, "cat": 0.004}, [0.1, 0.2], near) == (
        "The model predicts dog (94%), not cat (under 1%); it never favoured cat during "
        "training; 2 of the 3 most similar images are labelled dog."
    )
    assert explain("cat", "dog", {"cat": 0.62, "dog": 0.35}, [0.6, 0.2, None], []) == (
        "The model also predicts cat (62%), then dog (35%); it favoured cat in 1 of 2 epochs."
    )
    assert explain(None, "dog", {"dog": 0.995}, None, []) == (
        "It has no label. The model predicts dog (over 99%)."
    )


def test_a_suspect_by_prediction_alone_is_said_to_be_one():
    assert explain_finding("ambiguous", 0.03, "cat", "dog", 0.02) == (
        "Ambiguous: another class is predicted, but the label cat is probably correct (97%)."
    )
    assert explain_finding("ambiguous", 0.3, "cat", "dog", 0.2) == (
        "Ambiguous: 30% that it is not cat, 20% that it is dog."
    )


def test_the_first_sentence_is_what_suspicion_finds(audited):
    view = audited.view().sort_by("suspicion", reverse=True)
    worst, best = view.ids[0], view.ids[-1]
    bad, good = gather(audited, "run-1", [worst, best])
    rows = view.select([worst, best]).to_pandas()
    assert (bad.finding, good.finding) == ("mislabelled", "fitting") == tuple(rows["finding"])
    assert bad.suggested == rows["suggested"][0]
    assert bad.suggested_p == pytest.approx(rows["suggested_p"][0])
    assert re.match(rf"Probably mislabelled: (over )?9\d% that it is not {bad.given}, ", bad.why)
    assert f"that it is {bad.suggested}. " in bad.why
    assert good.why.startswith("Probably correct: ")
    audited.set_labels([worst], bad.suggested)  # what was said of another label counts no more
    (now,) = gather(audited, "run-1", [worst])
    assert now.finding == ""
    assert now.suggested_p == now.probabilities[now.suggested]  # of the softmax
    assert "The model" in now.why
    assert now.suggested != bad.suggested


def test_every_sample_has_evidence_whatever_suspicion_suggests(audited):
    """Also if the suggested class is not among the most probable ones."""
    for each in gather(audited, "run-1", audited.view().ids[::4]):
        assert {each.given, each.suggested} <= set(each.probabilities)
        assert list(each.probabilities.values()) == sorted(each.probabilities.values())[::-1]


def test_the_suggestion_is_the_same_everywhere(audited):
    ids = suspects(audited).ids[:20]
    names, p = suggestions(audited, "run-1", ids)
    table = audited.view().select(ids).to_pandas().set_index("id").loc[ids]
    assert names == table["suggested"].tolist() == suggested_labels(audited, "run-1", ids)
    np.testing.assert_array_equal(p, table["suggested_p"])
    for found, name, chance in zip(gather(audited, "run-1", ids), names, p, strict=True):
        assert (found.suggested, found.suggested_p) == (name, chance)
        others = set(found.probabilities) - {found.given, name}
        assert all(found.probabilities[other] <= chance for other in others)
    # beside blind controls, too
    blind = gather(audited, "run-1", ids, {})
    assert [each.suggested for each in blind] == names
    assert audited.view().match(suggested=names[0]).select(ids[:1]).ids.tolist() == [ids[0]]


def test_a_suggestion_below_one_half_is_not_clear():
    assert suggestion_is_clear(0.5)
    assert not suggestion_is_clear(0.49)
    assert not suggestion_is_clear(None)


def test_sentences_about_copies_and_outliers():
    assert explain_copies([]) == ""
    copies = [(7, "dog"), (8, "cow"), (9, "dog"), (10, "dog")]
    assert explain_copies(copies) == (
        "The same picture is also present with another label: sample 7 as dog, sample 8 as cow, "
        "sample 9 as dog and 1 more."
    )
    assert explain_finding("outlier", 0.4, "cat", "dog", 0.3) == (
        "Outlier, it looks like no class here: 40% that it is not cat, 30% that it is dog."
    )
    assert explain("cat", "dog", None, None, []) == ""


def test_typical_images_are_the_least_suspicious_of_their_class(audited):
    typical = typical_images(audited.view("run-1"))
    assert list(map(len, typical.values())) == [COUNT] * len(audited.classes)
    of_three = audited.view().match(label="3", prediction="3")
    least = np.sort(of_three.values("suspicion"))[:COUNT]
    found = [audited[sample] for sample in typical["3"]]
    assert [sample.ground_truth for sample in found] == ["3"] * COUNT
    np.testing.assert_allclose(sorted(sample.scores["suspicion"] for sample in found), least)
