"""Edits of single samples, collected in a block, and predictions that are added one by one."""

import numpy as np
import pytest

import labelaudit
from labelaudit.core.errors import BadInputError, LabelAuditError, NotFoundError, StorageError
from labelaudit.dataset import pending


def versions(dataset) -> int:
    """Of the table of labels: a commit that changes rows makes two."""
    return dataset.stamp("annotations")[0]


def test_edits_of_a_loop_are_stored_in_few_commits(make_dataset):
    dataset, other = make_dataset(30), labelaudit.Dataset("plain")
    dataset.add_field("human", "label")
    before = versions(dataset)
    for sample in dataset.iter_samples(autosave=True):
        sample.tag("seen")
        if sample.id % 2:
            sample.ground_truth = "c3"
            sample["human"] = "c1"
        assert sample.ground_truth == dataset[sample.id].ground_truth
        assert dataset[sample.id].tags == ("seen",)
        if sample.id == 1:
            assert not other[1].tags  # not stored yet
    assert versions(dataset) <= before + 4
    table = labelaudit.Dataset("plain").view().to_pandas()
    assert table.tags.map(lambda tags: tags == ("seen",)).all()
    odd = table.id % 2 == 1
    assert (table.ground_truth[odd] == "c3").all()
    assert (table.human[odd] == "c1").all()
    assert (table.ground_truth[~odd] != "c3").any()
    assert table.human[~odd].isna().all()
    assert table.original_label[0] == "c0"
    kinds = [change.kind for change in labelaudit.list_changes(dataset)]
    assert kinds == ["relabel", "tag"]


def test_views_see_the_edits_of_the_block(make_dataset):
    dataset = make_dataset(6)
    with dataset.batch_edits():
        assert dataset.tag([1, 2], "x") == 2
        assert dataset.tag([2, 3], "x") == 1
        assert dataset.untag([1], "x") == 1
        assert dataset.view().match_tag("x").ids.tolist() == [2, 3]
        with dataset.batch_edits():  # the inner block is part of the outer one
            dataset[4].tag("x")
        dataset[5].tags = ["x", "y"]
        dataset[5].tags = ["y"]
        assert dataset.set_labels([1, 2], "c3") == 2
        assert dataset.set_labels([1], "c0") == 1
    assert dataset.view().match_tag("x").ids.tolist() == [2, 3, 4]
    assert dataset[5].tags == ("y",)
    assert dataset[1].ground_truth == "c0"


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda d: d[1].set_label("cow"), "'cow' is not a class"),
        (lambda d: d.tag([1, 99], "x"), "id 99"),
        (lambda d: d[1].tag(" x"), "cannot be a tag"),
        (lambda d: setattr(d[1], "lable", "c1"), "no field 'lable'"),
        (lambda d: setattr(d[1], "ground_truth", 3), "3 is not a class"),
        (lambda d: setattr(d[1], "split", "test"), "cannot be assigned"),
        (lambda d: d[1].add_prediction([1, 2], "net"), r"\(1, 4\)"),
        (lambda d: d[1].add_prediction([1, 2, np.nan, 0], "net"), "not finite"),
        (lambda d: d[1].add_prediction([1, 2, 3, 4], "my net"), "cannot be a run name"),
        (lambda d: d.add_predictions([1, 1], np.zeros((2, 4)), "net"), "twice"),
    ],
)
@pytest.mark.parametrize("collected", [False, True])
def test_a_wrong_edit_raises_at_its_line_and_the_others_stay(make_dataset, edit, says, collected):
    dataset = make_dataset(4)
    if not collected:
        with pytest.raises(LabelAuditError, match=says):
            edit(dataset)
        return

    def loop():
        with dataset.batch_edits():
            dataset[1].tag("before")
            edit(dataset)

    with pytest.raises(LabelAuditError, match=says):
        loop()
    table = dataset.view().to_pandas()
    assert table.tags.tolist() == [("before",), (), (), ()]
    assert table.ground_truth.tolist() == ["c0", "c1", "c2", "c3"]
    assert not dataset.runs


def test_what_could_not_be_stored_is_said(make_dataset, monkeypatch):
    dataset = make_dataset(9)
    monkeypatch.setattr(pending, "MOST_EDITS", 4)

    def full(*_):
        raise StorageError("the disk is full.")

    def loop():
        with dataset.batch_edits():
            for i in range(1, 5):
                dataset[i].tag("x")
            assert labelaudit.Dataset("plain").info["tags"] == {"x": 4}  # stored by now
            dataset.view().store.upsert = full
            dataset[5].tag("x")

    with pytest.raises(
        StorageError, match=r"full\. 1 edit of this block was not stored; 4 earlier edits were\."
    ):
        loop()
    assert labelaudit.Dataset("plain").info["tags"] == {"x": 4}


@pytest.mark.parametrize("collected", [False, True])
def test_predictions_are_added_one_by_one_and_in_batches(make_dataset, collected):
    dataset, logits = make_dataset(12), np.random.default_rng(0).normal(size=(12, 4))
    logits = logits.astype(np.float32)

    def add():
        for i in range(4):
            dataset[i + 1].add_prediction(logits[i], "net")
        dataset.add_predictions([5, 6], logits[4:6] + 1, "net")
        for start in (4, 8):
            dataset.add_predictions(
                np.arange(start, start + 4) + 1, logits[start : start + 4], "net"
            )

    if collected:
        with dataset.batch_edits():
            add()
    else:
        add()
    run = dataset.run("net")
    assert run.is_imported
    assert run.info["brought"]["rows"] == 12
    assert "12 samples have a prediction." in run.info["notes"]
    assert len(dataset.view().match_tag("processed")) == 12
    for sample in dataset:
        assert np.array_equal(sample.prediction.logits, logits[sample.id - 1])
        assert sample.prediction.label == f"c{logits[sample.id - 1].argmax()}"
    assert "hardness" in labelaudit.compute_scores(dataset, "net")


def test_a_few_predictions_do_not_replace_the_run_of_all_samples(make_dataset):
    dataset, logits = make_dataset(8), np.eye(4, dtype=np.float32)[[1] * 8] * 3
    dataset[1].add_prediction(logits[0], "few")
    assert dataset.run().name == "few"  # there is no other
    assert dataset.run("few").info["notes"] == ["1 sample has a prediction."]
    dataset.add_predictions(np.arange(1, 9), logits, "all")
    dataset[2].add_prediction(logits[0], "later")
    dataset[2].add_prediction(logits[0], "few")
    assert dataset.run().name == "all"
    assert dataset.view().values("prediction").tolist() == ["c1"] * 8
    assert dataset.view("later").values("prediction").tolist() == [None, "c1", *[None] * 6]
    dataset.add_predictions([3, 4, 5], logits[:3], "later")
    assert dataset.run().name == "later"  # half of the samples


def test_predictions_are_not_added_to_a_run_that_was_trained_here(make_dataset):
    dataset = make_dataset(4)
    dataset.new_run("trained").finish({"classes": dataset.classes, "config": {}})
    with pytest.raises(BadInputError, match="created here"):
        dataset[1].add_prediction(np.zeros(4), "trained")
    with pytest.raises(NotFoundError, match="no sample with id 99"):
        dataset.add_predictions([99], np.zeros((1, 4)), "mine")
    assert dataset.runs == ["trained"]


def test_edits_are_not_lost_with_a_transaction_that_fails(make_dataset):
    dataset = make_dataset(4)
    with dataset.batch_edits():
        dataset.tag([1, 2], "seen")
        with pytest.raises(LabelAuditError):
            dataset.add_samples([{"label": "c0"}])
        with pytest.raises(LabelAuditError):
            labelaudit.inject_noise(dataset, 2)
    assert labelaudit.Dataset("plain").view().match_tag(["seen", "x"]).ids.tolist() == [1, 2]


def test_classes_that_change_within_a_block_are_seen(make_dataset):
    dataset = make_dataset(4, classes=2)
    with dataset.batch_edits():
        dataset.set_labels([1], ["c1"])
        other = labelaudit.Dataset("plain")
        swapped = labelaudit.plan_classes(other, rename={"c0": "c1", "c1": "c0"})
        labelaudit.change_classes(other, swapped)
        dataset.set_labels([2], ["c1"])
    assert dataset[2].ground_truth == "c1"


def test_slips_are_refused(make_dataset):
    dataset = make_dataset(4, classes=2)
    with pytest.raises(BadInputError, match=r"select\(ids\)"):
        dataset[[1, 2]]
    assert 1 in dataset
    assert 9 not in dataset
    with pytest.raises(BadInputError, match="probabilities"):
        dataset.add_predictions([1, 2], [[0.25, 0.75], [0.5, 0.5]], "mine")
    with pytest.raises(BadInputError, match="tags"):
        dataset.view().match_tag([3])
    for name in ("Label", "wrong", "save"):
        with pytest.raises(BadInputError, match="another name"):
            dataset.add_field(name, "number")
    assert dataset[1].save() is None
