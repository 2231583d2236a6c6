from __future__ import annotations

import numpy as np
import pytest

import labelaudit
from labelaudit import (
    Dataset,
    LabelAuditError,
    Review,
    apply_verdicts,
    list_changes,
    pending_decisions,
    return_to,
)
from labelaudit.dataset import history_log
from labelaudit.dataset.noise import labels_before_noise
from labelaudit.review.apply import class_pair_counts, sittings, take_back_sitting, verdict_counts


def state(dataset: Dataset) -> tuple:
    frame = dataset.view().frame
    tags = {name: mask.nonzero()[0].tolist() for name, mask in frame.tags.items() if mask.any()}
    return (
        frame.label.tolist(), frame.original_label.tolist(), tags, dataset.info["noise"],
        labels_before_noise(frame).tolist(),
    )  # fmt: skip


def test_any_state_can_be_returned_to(make_dataset):
    dataset = make_dataset(60)
    states = {0: state(dataset)}
    steps = [
        lambda: labelaudit.inject_noise(dataset, 0.3, seed=1),
        lambda: dataset.tag([1, 2, 3], "odd"),
        lambda: dataset.set_labels([1, 2, 5], "c3"),
        lambda: labelaudit.inject_noise(dataset, 0.2, seed=2),
        lambda: dataset.untag([1, 2], "odd"),
        lambda: labelaudit.restore_noise(dataset),
        lambda: dataset.set_labels([7], None),
        lambda: return_to(dataset, 4),
        lambda: return_to(dataset, 1),
        # the same samples are planted again, but another label lies beneath
        lambda: labelaudit.restore_noise(dataset),
        lambda: dataset.set_labels(range(1, 31), "c0"),
        lambda: labelaudit.inject_noise(dataset, 0.3, seed=1),
    ]
    for step in steps:
        step()
        states[list_changes(dataset)[-1].id] = state(dataset)
    assert list(states) == list(range(len(steps) + 1))
    for target in (0, 12, 5, 9, 1, 7, 11, 2, 8, 3, 10, 6, 4):  # near and far, back and forth
        return_to(dataset, target)
        assert state(Dataset("plain")) == states[target], target


def test_the_history_says_who_what_and_how_many(make_dataset):
    dataset = make_dataset(20)
    dataset.set_labels([1], "c0")  # it is c0 already: no change
    dataset.tag([1, 2], "odd")
    Review(dataset, "ann").decide([3, 4], "relabel", "c0")
    apply_verdicts(dataset, who="Bo")
    return_to(dataset, 0, who="Cy")
    lines = [(c.id, c.kind, c.who, c.count) for c in list_changes(dataset)]
    me = history_log.user()
    assert lines == [(1, "tag", me, 2), (2, "verdicts", "Bo", 2), (3, "return", "Cy", 4)]
    assert list_changes(dataset)[1].info == {
        "relabelled": 2, "removed": 0, "put_back": 0, "rule": "unanimous",
    }  # fmt: skip
    with pytest.raises(LabelAuditError, match=r"no change 9 in its history.* 1 to 3"):
        return_to(dataset, 9)


def test_a_change_that_was_cut_short_never_happened(make_dataset, monkeypatch):
    dataset = make_dataset(20)
    dataset.tag([1], "odd")
    before = state(dataset)
    store = dataset.view().frame.store

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # after the history was written, before the labels are
        patch.setattr(store, "upsert", dies)
        with pytest.raises(KeyboardInterrupt):
            dataset.set_labels([2, 3], "c0")
    opened = Dataset("plain")
    assert state(opened) == before
    assert [c.kind for c in list_changes(opened)] == ["tag"]
    opened.set_labels([4], "c0")
    assert [(c.id, c.kind, c.count) for c in list_changes(opened)] == [
        (1, "tag", 1), (2, "relabel", 1),
    ]  # fmt: skip
    return_to(opened, 1)
    assert state(opened) == before


def test_predicting_is_no_change_of_the_dataset(audited):
    assert [c.kind for c in list_changes(audited)] == ["noise"]


def test_verdicts_become_labels_only_when_applied_and_can_be_taken_back(make_dataset):
    dataset = make_dataset(20)  # sample i + 1 is c(i % 4)
    ann, bob = Review(dataset, "ann"), Review(dataset, "bob")
    ann.decide([1, 2], "relabel", "c3")
    ann.decide([5, 6], "remove")
    ann.decide(9, "keep")
    bob.decide(2, "relabel", "c2")  # says otherwise
    bob.decide(5, "unsure")  # says nothing
    bob.decide(10, "relabel", "c0")
    wanted = pending_decisions(dataset)
    assert wanted.relabel.tolist() == [1, 10]
    assert wanted.remove.tolist() == [5, 6]
    assert wanted.disagreed.tolist() == [2]
    assert class_pair_counts(dataset, wanted).to_dict("records") == [
        {"ground_truth": "c0", "becomes": "c3", "count": 1},
        {"ground_truth": "c1", "becomes": "c0", "count": 1},
    ]
    assert pending_decisions(dataset, ["ann"]).relabel.tolist() == [1, 2]
    dataset.set_labels([10], "c2")  # somebody relabelled it since
    assert pending_decisions(dataset).outdated.tolist() == [10]
    before = state(dataset)

    assert len(apply_verdicts(dataset)) == 3
    assert dataset[1].ground_truth == "c3"
    assert dataset[1].original_label == "c0"
    assert [s.id for s in dataset.view().match_tag("removed")] == [5, 6]
    assert dataset[2].ground_truth == "c1"
    after = pending_decisions(dataset)
    assert (len(after), after.done) == (0, 3)
    apply_verdicts(dataset)  # nothing to do, nothing written
    assert [c.kind for c in list_changes(dataset)] == ["relabel", "verdicts"]

    return_to(dataset, 1)
    assert state(dataset) == before
    assert len(pending_decisions(dataset)) == 3  # the verdicts stand


def test_who_said_what_and_sittings(make_dataset, monkeypatch):
    dataset = make_dataset(20)
    times = iter(f"2026-05-01T{h:02}:{m:02}:00+00:00" for h, m in
                 [(8, 0), (8, 10), (8, 20), (9, 30), (9, 31)])  # fmt: skip
    monkeypatch.setattr("labelaudit.dataset.verdict_log.now", lambda: next(times))
    ann, bob = Review(dataset, "ann"), Review(dataset, "bob")
    ann.decide(1, "keep")
    bob.decide(1, "remove")
    ann.decide([2, 3], "remove")
    ann.decide(4, "keep")  # over an hour later
    table = verdict_counts(dataset).set_index("reviewer")
    assert table.loc["ann", ["keep", "remove"]].tolist() == [2, 2]
    assert table.loc["bob", "remove"] == 1
    rows = sittings(dataset)
    assert rows[["reviewer", "verdicts", "wrong", "standing"]].to_numpy().tolist() == [
        ["ann", 1, 0, 1], ["ann", 3, 2, 3], ["bob", 1, 1, 1],
    ]  # fmt: skip
    first = rows.iloc[1]
    span = int(first["from_batch"]), int(first["to_batch"])
    assert take_back_sitting(dataset, "ann", *span, who="cy") == 3
    assert ann.judged().tolist() == [4]
    assert bob.judged().tolist() == [1]  # although it lies between
    assert sittings(dataset)["standing"].tolist() == [1, 0, 1]
    assert take_back_sitting(dataset, "ann", *span, who="cy") == 0


def test_no_verdicts_no_rows(make_dataset):
    dataset = make_dataset(4)
    assert len(sittings(dataset)) == len(verdict_counts(dataset)) == 0
    assert len(pending_decisions(dataset)) == 0
    assert list_changes(dataset) == []
    assert return_to(dataset, 0) == 0


def test_removed_samples_are_not_learned_nor_exported(make_dataset, tmp_path):
    from labelaudit.learn.plan import make_plan

    dataset = make_dataset(40)
    dataset.tag([1, 2], "removed")
    plan = make_plan(dataset, labelaudit.TrainConfig())
    assert np.isin([1, 2], plan.ids).tolist() == [False, False]
    assert len(plan.ids) == 38
    assert labelaudit.write_labels(dataset.view(), tmp_path / "labels.csv") == 38


def test_to_keep_what_another_one_gave_is_no_disagreement(make_dataset):
    dataset = make_dataset(20)  # sample i + 1 is c(i % 4)
    ann, bob = Review(dataset, "ann"), Review(dataset, "bob")
    ann.decide(1, "relabel", "c3")
    apply_verdicts(dataset)
    bob.decide(1, "keep")  # sees c3
    wanted = pending_decisions(dataset)
    assert (wanted.disagreed.tolist(), wanted.done, len(wanted)) == ([], 1, 0)
    ann.decide(2, "keep")  # c1
    dataset.set_labels([2], "c0")
    bob.decide(2, "keep")  # c0
    assert pending_decisions(dataset).disagreed.tolist() == [2]


def test_what_a_verdict_removed_a_verdict_puts_back(make_dataset):
    dataset = make_dataset(20)
    ann = Review(dataset, "ann")
    ann.decide([1, 2], "remove")
    dataset.tag([3], "removed")  # by nobody's verdict
    ann.decide(3, "keep")
    apply_verdicts(dataset)
    ann.decide(1, "keep")
    ann.decide(2, "relabel", "c3")
    wanted = pending_decisions(dataset)
    assert wanted.put_back.tolist() == wanted.ids.tolist() == [1, 2]
    assert wanted.relabel.tolist() == [2]
    apply_verdicts(dataset)
    assert dataset.view().match_tag("removed").ids.tolist() == [3]
    assert dataset[2].ground_truth == "c3"


def test_what_was_not_shown_is_not_applied(make_dataset):
    dataset = make_dataset(20)
    Review(dataset, "ann").decide(1, "remove")
    shown = pending_decisions(dataset)
    Review(dataset, "bob").decide(1, "keep")
    with pytest.raises(LabelAuditError, match="changed since you looked"):
        apply_verdicts(dataset, shown=shown)
    assert list_changes(dataset) == []
    assert pending_decisions(dataset).disagreed.tolist() == [1]
