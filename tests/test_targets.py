"""Functions work on a dataset, its name or a view; what pages cannot show is refused at once."""

import numpy as np
import pandas as pd
import pytest

import labelaudit
from labelaudit import QueueFilter, Review
from labelaudit.core.errors import BadInputError, LabelAuditError, NotFoundError


@pytest.fixture
def scored(make_dataset):
    """80 samples of 4 classes; a model that disagrees about the ids 1 to 8."""
    dataset = make_dataset(80)
    codes = dataset.view().frame.label.copy()
    codes[:8] = (codes[:8] + 1) % 4
    logits = np.full((80, 4), -2.0, np.float32)
    logits[np.arange(80), codes] = 2.0 + np.random.default_rng(0).random(80)
    labelaudit.import_predictions(dataset, logits, "mine", kind="logits")
    labelaudit.compute_scores(dataset)
    return dataset


def test_functions_take_a_name_or_a_view(scored, tmp_path):
    view = scored.view().select(range(5, 45))
    assert labelaudit.suspects("plain").ids.tolist() == labelaudit.suspects(scored).ids.tolist()
    assert sorted(labelaudit.suspects(view).ids) == [5, 6, 7, 8]
    assert len(labelaudit.estimate_wrong("plain").__repr__()) > 10
    whole, part = labelaudit.estimate_wrong(scored), labelaudit.estimate_wrong(view)
    assert (whole.samples, part.samples) == (80, 40)
    assert part.wrong < whole.wrong
    queue = labelaudit.make_queue(view, QueueFilter(), "ann")
    assert sorted(queue.ids) == [5, 6, 7, 8]
    review = Review(view, "ann")
    review.decide([5, 6], "relabel", "c0")
    Review("plain", "bob").decide(1, "keep")
    with pytest.raises(NotFoundError, match="sample 1 is not in the view"):
        review.decide([5, 1], "keep")
    assert labelaudit.estimate_wrong(view).reviewed == 2
    assert labelaudit.evaluate("plain") is None
    for target, rows in (("plain", 80), (scored, 80), (view, 40)):
        assert labelaudit.write_suspects(target, tmp_path / "s.csv") == rows
        labelaudit.write_labels(target, tmp_path / "l.csv")
        assert len(pd.read_csv(tmp_path / "l.csv")) == rows
    assert labelaudit.list_changes("plain") == []
    with pytest.raises(BadInputError, match="apply_verdicts works on a whole dataset"):
        labelaudit.apply_verdicts(view)
    with pytest.raises(BadInputError, match="is no dataset"):
        labelaudit.suspects(view.to_pandas())
    with pytest.raises(NotFoundError, match="no dataset 'plian'"):
        labelaudit.suspects("plian")


def test_scores_of_a_view_leave_the_others_alone(scored):
    view = scored.view()[:10]
    before = scored.view().to_pandas()
    rng = np.random.default_rng(1)
    scored.add_predictions(view.ids, rng.normal(size=(10, 4)), "mine")
    names = ["hardness", "suspicion"]
    assert labelaudit.compute_scores(view, names=names) == names
    after = scored.view().to_pandas()
    for name in ("hardness", "suspicion", "suggested_p", "mistakenness"):
        assert after[name][10:].equals(before[name][10:])
    assert (after.hardness[:10] != before.hardness[:10]).all()
    assert after.mistakenness.equals(before.mistakenness)  # was not asked for


def test_predictions_of_a_view_are_in_its_order(make_dataset):
    dataset = make_dataset(40)
    view = dataset.view().sort_by("id", reverse=True)[:24]
    logits = np.zeros((24, 4), np.float32)
    logits[np.arange(24), np.array([int(name[1]) for name in view.values("ground_truth")])] = 3
    run = labelaudit.import_predictions(view, logits, "half", kind="logits")
    assert sorted(run.predicted_ids()) == sorted(view.ids)
    assert len(dataset.view().match(wrong=True)) == 0
    with pytest.raises(BadInputError, match=r"row 1: sample 1 is not in the view"):
        labelaudit.import_predictions(view, logits[:1], "x", ids=[1], kind="logits")


def test_an_import_batch_by_batch_is_refused_because_only_the_last_would_stay(scored):
    batch = np.eye(4, dtype=np.float32)
    with pytest.raises(BadInputError, match=r"predictions of 76 samples that you do not import"):
        labelaudit.import_predictions(scored, batch, "mine", ids=[1, 2, 3, 4], by="id")
    assert len(scored.run("mine").predicted_ids()) == 80
    labelaudit.import_predictions(scored, batch, "mine", ids=[1, 2, 3, 4], by="id", replace=True)
    assert len(scored.run("mine").predicted_ids()) == 4


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ({}, "needs its classes"),
        ({"classes": ["c1", "c0"]}, "are not those of dataset 'plain' in order"),
        ({"classes": []}, "none"),
        ({"classes": ["c0", "c1", "c2", "c3", "c3"]}, "are not those"),
        ({"classes": ["c0", "c1", "c2"]}, "logits of 4 classes"),
        ({"classes": ["c0", "c1", "c2", "c3"], "net": object()}, "JSON"),
    ],
)
def test_a_run_without_classes_is_refused(make_dataset, info, says):
    dataset = make_dataset(4)
    run = dataset.new_run("hand")
    run.write_predictions([(np.array([1]), np.zeros((1, 4), np.float32))], classes=4)
    with pytest.raises(BadInputError, match=says):
        run.finish(info)
    assert dataset.runs == []


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ({"mine": np.zeros(80)}, "no score 'mine'.*add_field"),
        ({"suspicion": np.full(80, 1.5)}, "suspicion of sample 1 is 1.5: it must be from 0 to 1"),
        ({"hardness": np.full(80, np.inf)}, "must be finite"),
        ({"hardness": np.zeros(3)}, r"shape \(80,\)"),
        ({"hardness": ["x"] * 80}, r"numbers of shape \(80,\)"),
    ],
)
def test_scores_that_pages_cannot_show_are_refused(scored, scores, says):
    ids, labels = scored.view().ids, scored.view().frame.label
    before = scored.view().to_pandas()
    with pytest.raises(BadInputError, match=says):
        scored.run().write_scores(ids, labels, scores)
    with pytest.raises(LabelAuditError, match="id 920"):
        scored.run().write_scores(ids + 919, labels, {"hardness": np.zeros(80)})
    with pytest.raises(BadInputError, match="class indices"):
        scored.run().write_scores(ids, labels + 9, {"hardness": np.zeros(80)})
    assert scored.view().to_pandas().equals(before)


def test_duplicates_of_a_view_are_groups_with_its_samples(home):
    images = np.random.default_rng(0).integers(0, 255, (6, 8, 8), np.uint8)
    images[1], images[5] = images[0], images[4]
    dataset = labelaudit.load_arrays("twins", images, list("aabbab"))
    found = labelaudit.find_duplicates(dataset.view().select([2, 3]))
    assert found.ids.tolist() == [1, 2]
    assert labelaudit.find_duplicates("twins").ids.tolist() == [1, 2, 5, 6]


def test_an_audit_of_another_field_and_of_a_view(few_digits):
    few_digits.add_field("human", "label")
    labels = few_digits.view().values("ground_truth")
    labels[:3] = [str((int(label) + 1) % 10) for label in labels[:3]]
    few_digits.set_values("human", few_digits.view().ids, labels)
    few_digits[1].tag("mistake")
    options = {"train": False, "features": "pixels"}
    found = labelaudit.audit("digits", label_field="human", **options)
    assert found.dataset.name == "digits.human"
    assert {1, 2, 3} <= set(found.suspects.ids[:20])
    assert found.dataset[1].tags == ("processed",)
    found.dataset[1].ground_truth = few_digits[1].ground_truth  # what a review would do
    part = labelaudit.audit(found.dataset.view()[:200], **options)
    assert set(part.suspects.ids) <= set(range(1, 201))
    assert len(found.dataset.run(part.run).predicted_ids()) == 200
    few_digits.set_values("human", [9], None)
    with pytest.raises(BadInputError, match=r"labelaudit delete digits\.human"):
        labelaudit.audit(few_digits, label_field="human", **options)
    with pytest.raises(NotFoundError, match="no field 'humam'"):
        labelaudit.audit(few_digits, label_field="humam", **options)
