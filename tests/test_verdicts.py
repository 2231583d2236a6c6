from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from forks import Program
from hypothesis import given, settings
from hypothesis import strategies as st

from labelaudit import Dataset, LabelAuditError, QueueFilter, Review, make_queue
from labelaudit.dataset import verdict_log
from labelaudit.dataset.verdict_log import VerdictLog
from labelaudit.features.duplicates import duplicates, find_duplicates
from labelaudit.ranking.evidence import gather, suggested_labels
from labelaudit.review.agreement import (
    agreement_of_all,
    krippendorff_alpha,
    reviewer_agreement,
)
from labelaudit.review.verdicts import RECENT


@pytest.fixture
def plain(make_dataset) -> Dataset:
    return make_dataset(20)


def said(review: Review, sample: int) -> list[tuple]:
    return [(v.reviewer, v.verdict, v.label) for v in review.of([sample])[0]]


def test_a_verdict_is_on_disk_and_changes_no_label(plain):
    labels = plain.view().values("ground_truth").tolist()
    Review(plain, "ann").decide(3, "relabel", "c1")
    elsewhere = Review(Dataset("plain"), "ann")
    assert said(elsewhere, 3) == [("ann", "relabel", "c1")]
    assert plain.view().values("ground_truth").tolist() == labels


def test_the_last_verdict_of_a_reviewer_counts_and_others_keep_theirs(plain):
    ann, bob = Review(plain, "ann"), Review(plain, "bob")
    ann.decide(3, "keep")
    bob.decide(3, "remove")
    ann.decide(3, "unsure")
    assert said(ann, 3) == [("ann", "unsure", None), ("bob", "remove", None)]
    assert said(bob, 3) == [("bob", "remove", None), ("ann", "unsure", None)]


def test_relabelling_as_the_given_class_is_keeping(plain):
    review = Review(plain, "ann")
    review.decide([1, 2], "relabel", ["c0", "c3"])  # 1 is c0, 2 is c1
    assert said(review, 1) == [("ann", "keep", None)]
    assert said(review, 2) == [("ann", "relabel", "c3")]


def test_undo_of_any_depth_and_redo(plain):
    review = Review(plain, "ann")
    for sample in (1, 2, 3):
        review.decide(sample, "remove")
    review.decide([4, 5, 6], "keep")  # a batch is one step
    assert review.undo().tolist() == [4, 5, 6]
    assert review.undo().tolist() == [3]
    assert review.can() == (True, True)
    assert review.redo().tolist() == [3]
    assert review.redo().tolist() == [4, 5, 6]
    assert review.can() == (True, False)
    assert [review.undo().tolist() for _ in range(5)] == [[4, 5, 6], [3], [2], [1], []]
    assert review.judged().tolist() == []
    review.redo()
    review.decide(9, "keep")  # a new verdict ends what can be redone
    assert review.can() == (True, False)
    assert sorted(review.judged()) == [1, 9]


def test_undo_brings_back_the_verdict_before_and_touches_no_other_reviewer(plain):
    ann, bob = Review(plain, "ann"), Review(plain, "bob")
    ann.decide(1, "keep")
    bob.decide(1, "remove")
    ann.decide(1, "unsure")
    ann.undo()
    assert said(ann, 1) == [("ann", "keep", None), ("bob", "remove", None)]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.sampled_from(["ann", "bob"]),
                  st.lists(st.integers(1, 4), min_size=1, max_size=2, unique=True),
                  st.sampled_from(["keep", "remove", "unsure"])),
        st.tuples(st.sampled_from(["undo", "redo"]), st.sampled_from(["ann", "bob"])),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_the_log_says_what_two_stacks_of_steps_would(steps):
    """Compare with the textbook solution: a stack of done and a stack of undone steps for each."""
    log = VerdictLog(
        **verdict_log._columns(verdict_log.schema.VERDICTS.empty_table(), []), reviewers=[]
    )
    done = {"ann": [], "bob": []}
    undone = {"ann": [], "bob": []}

    def write(log, who, code, samples, batch):
        ids = np.arange(log.next_id, log.next_id + len(samples))
        nothing = np.full(len(ids), -1)
        batches = np.full(len(ids), ids[0] if batch is None else batch)
        codes = np.full(len(ids), code)
        return log.plus(verdict_log._rows(ids, batches, samples, who, codes, nothing, nothing))

    for kind, who, *rest in steps:
        if kind == "decide":
            samples, verdict = rest
            done[who].append((log.next_id, samples, verdict))
            undone[who].clear()
            code = verdict_log.VERDICTS.index(verdict)
            log = write(log, who, code, np.array(samples), None)
            continue
        stack, other = (done, undone) if kind == "undo" else (undone, done)
        batch = log.undoable(who) if kind == "undo" else log.redoable(who)
        assert batch == (stack[who][-1][0] if stack[who] else None)
        if batch is not None:
            other[who].append(stack[who].pop())
            code = verdict_log.UNDO if kind == "undo" else verdict_log.REDO
            log = write(log, who, code, np.array([verdict_log.NO_SAMPLE]), batch)
    expected = {
        (who, sample): verdict
        for who, steps in done.items()
        for _, samples, verdict in sorted(steps)
        for sample in samples
    }
    current = {
        (log.reviewers[log.reviewer[row]], int(log.sample[row])):
            verdict_log.VERDICTS[log.verdict[row]]
        for row in log.current
    }  # fmt: skip
    assert current == expected


def test_a_label_that_changed_meanwhile_is_not_judged(plain):
    review = Review(plain, "ann")
    plain.set_labels([1], "c3")  # while ann looks at c0
    with pytest.raises(LabelAuditError, match="sample 1 was relabelled in the meantime"):
        review.decide([2, 1], "keep", seen=["c1", "c0"])
    assert not len(review.judged())
    review.decide([2, 1], "keep", seen=["c1", "c3"])
    assert sorted(review.judged()) == [1, 2]


def test_redo_gives_again_only_the_reviewers_own(plain):
    ann, bob = Review(plain, "ann"), Review(plain, "bob")
    ann.decide(1, "remove")
    verdict_log.append_events(plain.view().frame, "bob", verdict_log.UNDO, np.array([1]))
    assert bob.redo().tolist() == []
    assert ann.redo().tolist() == [1]


def test_what_cannot_be_a_verdict_is_refused_in_a_sentence(plain):
    review = Review(plain, "ann")
    for arguments, words in [
        ((1, "maybe"), "there is no verdict 'maybe': use one of keep, relabel, remove, unsure"),
        ((1, "relabel"), "relabel needs a label"),
        ((1, "keep", "c1"), "'keep' takes no label"),
        ((1, "relabel", "zebra"), "'zebra' is not a class"),
        ((99, "keep"), "no sample with id 99"),
        (([], "keep"), "no sample was given"),
        (([1, 2], "relabel", ["c1"]), "give each of the 2 samples a class"),
    ]:
        with pytest.raises(LabelAuditError, match=words):
            review.decide(*arguments)
    for name in ("", "  ", "x" * 65, None, "ann\nbob", "ann\u2028bob"):
        with pytest.raises(LabelAuditError, match="reviewer's name"):
            Review(plain, name)
    assert review.can() == (False, False)


WRITER = """
import sys
from labelaudit import Dataset, Review
review = Review(Dataset("plain"), sys.argv[1])
for sample in range(1, 21):
    review.decide(sample, "keep")
"""


@pytest.mark.system
def test_two_processes_lose_no_verdict(plain):
    writers = [Program(WRITER, name) for name in ("ann", "bob")]
    assert [writer.wait() for writer in writers] == [0, 0]
    log = verdict_log.read(plain.view().frame)
    assert log.id.tolist() == list(range(1, 41))
    for name in ("ann", "bob"):
        assert sorted(Review(plain, name).judged()) == list(range(1, 21))


def test_the_queue_is_filtered_and_keeps_its_order(audited):
    every = make_queue(audited, QueueFilter(everything=True), "ann")
    suspects = make_queue(audited, QueueFilter(), "ann")
    scores = {s.id: s["suspicion"] for s in audited.view()}
    assert len(every) == len(scores)
    assert 300 < len(suspects) < 450
    values = [scores[i] for i in suspects.ids.tolist()]
    assert values == sorted(values, reverse=True)
    assert suspects.place(int(suspects.ids[7])) == 7
    assert suspects.place(-5) is None

    def ids(**wanted):
        return set(make_queue(audited, QueueFilter(**wanted), "ann").ids.tolist())

    whole = set(suspects.ids.tolist())
    pair = ids(given="3", predicted="8")
    assert pair == {
        s.id for s in audited.view() if s.ground_truth == "3" and s.prediction.label == "8"
    }
    assert ids(split="test") < whole
    assert ids(tag="mistake") < whole
    low, high = sorted([values[10], values[40]])
    assert ids(low=low, high=high) == set(suspects.ids[10:41].tolist())
    suggested = dict(zip(whole, suggested_labels(audited, "run-1", [*whole]), strict=True))
    assert ids(suggested="8") == {sample for sample, name in suggested.items() if name == "8"}
    easy = next(s.id for s in audited.view() if s.id not in whole)
    assert ids(text=str(easy)) >= {easy}  # searched among all, not only suspects
    near = audited.run("run-1").neighbours([easy], 5)[0][0].tolist()
    similar = make_queue(audited, QueueFilter(similar=easy), "ann").ids.tolist()
    assert similar[:6] == [easy, *near]
    assert not QueueFilter(similar=easy, checks=True).whole  # so no random checks are mixed in
    label = audited[near[2]].ground_truth
    some = make_queue(audited, QueueFilter(similar=easy, given=label), "ann").ids.tolist()
    assert some == [sample for sample in similar if audited[sample].ground_truth == label]
    assert ids(samples=(easy, similar[1])) == {easy, similar[1]}
    Review(audited, "bob").decide([easy, similar[3]], "keep")
    assert ids(reviewer="bob") == {easy, similar[3]}
    with pytest.raises(LabelAuditError, match="there is no status 'done'"):
        ids(status="done")


def test_the_queue_by_what_was_decided(audited):
    whole = make_queue(audited, QueueFilter(), "ann").ids.tolist()
    ann, bob = Review(audited, "ann"), Review(audited, "bob")
    ann.decide(whole[:3], "keep")
    bob.decide(whole[1:5], "remove")
    bob.decide(whole[0], "unsure")  # says nothing, so is no disagreement

    def ids(status, reviewer="ann"):
        return make_queue(audited, QueueFilter(status=status), reviewer).ids.tolist()

    assert ids("todo") == whole[3:]
    assert ids("mine") == whole[:3]
    assert ids("mine", "bob") == whole[:5]
    assert ids("disagreed") == whole[1:3]
    assert ids("todo", "cleo") == whole
    queue = make_queue(audited, QueueFilter(status="todo"), "ann")
    progress = ann.progress(queue)
    assert (progress.total, progress.reviewed, progress.wrong) == (len(whole), 3, 0)


def test_the_agreement_of_two_reviewers(make_dataset):
    dataset = make_dataset(8)
    classes = dataset.classes
    ann, bob = Review(dataset, "ann"), Review(dataset, "bob")
    given = dataset.view().values("ground_truth").tolist()
    for sample in (1, 2, 3, 4):
        ann.decide(sample, "keep")
    bob.decide(1, "keep")
    bob.decide(2, "relabel", next(name for name in classes if name != given[1]))
    bob.decide(3, "remove")
    bob.decide(4, "unsure")  # says nothing
    Review(dataset, "cleo").decide(8, "keep")  # nothing in common
    (row,) = reviewer_agreement(dataset).to_dict("records")
    assert (row["first"], row["second"], row["samples"]) == ("ann", "bob", 3)
    assert row["agree"] == pytest.approx(1 / 3)
    assert agreement_of_all(dataset).samples == 3
    bob.decide([2, 3], "keep")
    (row,) = reviewer_agreement(dataset).to_dict("records")
    assert (row["agree"], row["kappa"]) == (1, 1)
    assert agreement_of_all(dataset).alpha == 1


def test_alpha_is_that_of_its_source():
    nothing = 0  # the table of Krippendorff 2011, section C: a row per observer
    table = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
            [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
        ]
    )
    observer, unit = np.nonzero(table != nothing)
    assert krippendorff_alpha(unit, table[observer, unit]) == pytest.approx(0.743, abs=5e-4)
    assert np.isnan(krippendorff_alpha(np.array([0, 0]), np.array([7, 7])))  # one class only
    assert np.isnan(krippendorff_alpha(np.array([0, 1]), np.array([7, 8])))  # nothing in common
    assert np.isnan(krippendorff_alpha(np.array([], int), np.array([], int)))


def test_progress_counts_and_the_yield_of_the_latest(audited):
    queue = make_queue(audited, QueueFilter(), "ann")
    review = Review(audited, "ann")
    review.decide(queue.ids[:40], "keep")
    review.decide(queue.ids[40:60], "remove")
    right = int(audited.view().match(wrong=False).ids[0])
    review.decide(right, "unsure")  # not in this queue
    progress = review.progress(queue)
    assert (progress.reviewed, progress.wrong) == (60, 20)
    assert (progress.recent, progress.recent_wrong) == (RECENT, 20)


def test_a_duplicate_that_is_removed_is_no_wrong_label(audited):
    find_duplicates(audited)
    copies = duplicates(audited).ids
    review, queue = Review(audited, "ann"), make_queue(audited, QueueFilter(), "ann")
    others = np.setdiff1d(queue.ids, copies)
    review.decide([*others[:3], copies[0]], "remove")
    assert review.progress(queue).recent_wrong == 3


def test_removed_samples_are_no_suspects_any_more(audited):
    first = int(make_queue(audited, QueueFilter(), "ann").ids[0])
    audited.tag([first], "removed")
    assert make_queue(audited, QueueFilter(), "ann").place(first) is None
    for status in ("all", "todo"):
        wanted = QueueFilter(everything=True, status=status)
        assert make_queue(audited, wanted, "ann").place(first) is None
    assert make_queue(audited, QueueFilter(tag="removed"), "ann").ids.tolist() == [first]


def test_samples_that_were_not_predicted_are_not_reviewed(digits):
    from labelaudit import TrainConfig, compute_scores, predict, train

    train(digits, config=TrainConfig(epochs=1, threads=1))
    predict(digits.view().match(split="train"))
    compute_scores(digits)
    other = digits.view().match(split="test").ids
    queue = make_queue(digits, QueueFilter(everything=True), "ann")
    assert len(queue) == 1437
    assert not queue.holds(other).any()
    for ask in (gather, suggested_labels):
        with pytest.raises(LabelAuditError, match=f"no prediction for 1 .* first: {other[0]}"):
            ask(digits, "run-1", np.array([queue.ids[0], other[0]]))


def test_relabelled_and_disagreed_samples_stay_in_sight(audited):
    first = int(make_queue(audited, QueueFilter(), "ann").ids[0])
    other = audited[first].prediction.label
    Review(audited, "ann").decide(first, "relabel", other)
    Review(audited, "bob").decide(first, "keep")
    audited.set_labels([first], other)  # no suspect any more
    for status in ("mine", "disagreed"):
        ids = make_queue(audited, QueueFilter(status=status), "ann").ids
        assert ids.tolist() == [first]


def test_valid_verdicts_follow_from_the_whole_log_however_it_grew(plain):
    """They are updated with each batch; computed anew, they are the same."""
    rng = np.random.default_rng(0)
    people = [Review(plain, name) for name in ("ann", "bob")]
    for step in range(40):
        who = people[step % 3 % 2]
        if step % 7 == 6:
            who.undo()
        elif step % 11 == 10:
            who.redo()
        else:
            who.decide(rng.choice(plain.view().ids, 3, False), ("keep", "unsure")[step % 2])
        log = verdict_log.read(plain.view().frame)
        assert log.current.tolist() == dataclasses.replace(log).current.tolist()
