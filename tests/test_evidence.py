from __future__ import annotations

import re

import numpy as np
import pytest

from labelaudit import Dataset, suspects
from labelaudit.ranking.evidence import gather, suggested_labels
from labelaudit.ranking.explanation import explain


def test_the_evidence_is_what_the_run_knows(audited):
    ids = suspects(audited).ids[:4]
    found = gather(audited, "run-1", ids)
    assert [each.id for each in found] == ids.tolist()
    dynamics = audited.run("run-1").dynamics(np.sort(ids))
    view = audited.view()
    for each in found:
        sample = audited[each.id]
        z = sample.prediction.logits.astype(float)
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        assert each.given == sample.ground_truth
        assert each.suggested == sample.prediction.label != each.given
        assert each.probabilities[each.suggested] == pytest.approx(p.max(), abs=1e-6)
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
        assert f"The model predicts {each.suggested}" in each.why
        assert f"not {each.given}" in each.why


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
    assert set(each.scores) == {"hardness"}  # the others judged the old label
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
        "The model predicts dog (94 %), not cat (under 1 %); it never favoured cat during "
        "training; 2 of the 3 most similar images are labelled dog."
    )
    assert explain("cat", "dog", {"cat": 0.62, "dog": 0.35}, [0.6, 0.2, None], []) == (
        "The model also predicts cat (62 %), then dog (35 %); it favoured cat in 1 of 2 epochs."
    )
    assert explain(None, "dog", {"dog": 0.995}, None, []) == (
        "It has no label. The model predicts dog (over 99 %)."
    )


def test_the_first_sentence_is_what_suspicion_finds(audited):
    view = audited.view().sort_by("suspicion", reverse=True)
    worst, best = view.ids[0], view.ids[-1]
    bad, good = gather(audited, "run-1", [worst, best])
    rows = view.select([worst, best]).to_pandas()
    assert (bad.finding, good.finding) == ("mislabelled", "fitting") == tuple(rows["finding"])
    assert bad.suggested == rows["suggested"][0]
    assert bad.suggested_p == pytest.approx(rows["suggested_p"][0])
    assert re.match(rf"Probably mislabelled: (over )?9\d % that it is not {bad.given}, ", bad.why)
    assert f"that it is {bad.suggested}. The model predicts" in bad.why
    assert good.why.startswith("Probably correct: ")
    audited.set_labels([worst], bad.suggested)  # what was said of another label counts no more
    (now,) = gather(audited, "run-1", [worst])
    assert (now.finding, now.suggested_p) == ("", None)
    assert now.suggested != bad.suggested


def test_every_sample_has_evidence_whatever_suspicion_suggests(audited):
    """Also if the suggested class is not among the most probable ones."""
    for each in gather(audited, "run-1", audited.view().ids):
        assert {each.given, each.suggested} <= set(each.probabilities)
        assert list(each.probabilities.values()) == sorted(each.probabilities.values())[::-1]
