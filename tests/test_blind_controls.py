"""Samples between the suspects: random checks, and controls with a known label."""

from __future__ import annotations

import numpy as np
import pytest

from labelaudit import Dataset, LabelAuditError, QueueFilter, Review, estimate_wrong, make_queue
from labelaudit.dataset import verdict_log
from labelaudit.ranking.evidence import gather
from labelaudit.review.blind_controls import Answers, Controls, all_answers, answers, with_controls
from labelaudit.review.checks import BLOCK, CHECKS_EVERY
from labelaudit.review.sampling import hashed, insert_at, least_hashed
from labelaudit.ui import review_one
from labelaudit.ui.review_session import ReviewSession
from labelaudit.ui.review_tab import Tab

CHECKED = QueueFilter(checks=True)
TODO = QueueFilter(status="todo", checks=True)


def controlled(dataset, reviewer: str = "ann", every: int = 5, wanted: QueueFilter = TODO):
    queue = make_queue(dataset, wanted, reviewer)
    return with_controls(dataset, queue, wanted, reviewer, every)


# --- random checks ---


def test_checks_are_drawn_from_all_samples_and_are_the_same_for_everybody(audited):
    plain = make_queue(audited, QueueFilter(), "ann")
    queue = make_queue(audited, CHECKED, "ann")
    suspects = plain.ids.tolist()
    assert [i for i in queue.ids.tolist() if i not in queue.checks] == [
        i for i in suspects if i not in queue.checks
    ]
    assert int(queue.ids[CHECKS_EVERY - 1]) in queue.checks
    assert not set(suspects) - set(queue.ids.tolist())
    assert set(queue.ids[-20:].tolist()) <= queue.checks  # after the suspects
    both = set(suspects) & queue.checks  # suspects are drawn like all others
    assert both
    assert len(queue) >= BLOCK
    again = Dataset("digits")
    assert make_queue(again, CHECKED, "bob").ids.tolist() == queue.ids.tolist()


def test_without_suspects_the_queue_has_checks_and_more_follow(audited):
    view = audited.view()
    run = audited.run()
    run.write_scores(view.ids, view.frame.label, {"suspicion": np.full(1797, 0.001)})
    right = np.flatnonzero(view.fields.predictions() == view.frame.label)
    suspects = 1797 - len(right)
    queue = make_queue(audited, CHECKED, "ann")
    assert BLOCK / 2 < len(queue.checks) <= BLOCK  # the others are shown as suspects
    assert len(queue) <= suspects + BLOCK
    review = Review(audited, "ann")
    review.decide(queue.ids, "keep")
    assert estimate_wrong(audited).checks >= BLOCK
    more = make_queue(audited, TODO, "ann")
    assert BLOCK / 2 < len(more) <= BLOCK
    review.undo()
    assert estimate_wrong(audited).checks == 0


def test_the_order_of_checks_changes_with_the_suspicions_only(audited):
    order = list(make_queue(audited, CHECKED, "ann").checks)
    Review(audited, "ann").decide(make_queue(audited, QueueFilter(), "ann").ids[:20], "keep")
    assert list(make_queue(audited, CHECKED, "ann").checks) == order
    ids, p = audited.view().ids, audited.view().fields.number("suspicion")
    audited.run().write_scores(ids, audited.view().frame.label, {"suspicion": p * 0.999})
    assert list(make_queue(audited, CHECKED, "ann").checks) != order
    assert estimate_wrong(audited).reviewed == 20  # verdicts are kept


def test_a_check_stays_one_whatever_is_decided_and_comes_once(audited):
    queue = make_queue(audited, CHECKED, "ann")
    first = int(queue.ids[CHECKS_EVERY - 1])
    Review(audited, "ann").decide(queue.ids[:CHECKS_EVERY], "keep")
    rest = make_queue(audited, TODO, "ann")
    assert rest.ids.tolist() == queue.ids[CHECKS_EVERY:].tolist()
    assert rest.checks == queue.checks
    assert first in rest.checks
    progress = Review(audited, "ann").progress(rest)
    assert (progress.total, progress.reviewed) == (len(queue), CHECKS_EVERY)
    assert progress.checks == len(queue.checks & set(queue.ids[:CHECKS_EVERY].tolist()))


@pytest.mark.parametrize(
    "narrow",
    [{"given": "3"}, {"tag": "mistake"}, {"low": 0.5}, {"status": "mine"}, {"everything": True}],
)
def test_who_looks_at_a_part_gets_no_checks(audited, narrow):
    wanted = QueueFilter(checks=True, **narrow)
    assert not make_queue(audited, wanted, "ann").checks
    queue = make_queue(audited, wanted, "ann")
    assert with_controls(audited, queue, wanted, "ann", 5) is queue


def test_a_hash_draws_evenly_and_the_same_when_others_go():
    ids = np.arange(1, 20_001)
    drawn = least_hashed(ids, ("a", 1), 2000)
    assert len(set(drawn.tolist())) == 2000
    assert abs(drawn.mean() - 10_000) < 500  # its standard deviation is 129
    assert np.isin(drawn, least_hashed(ids, ("b", 1), 2000)).sum() < 300  # 200 by chance
    fewer = ids[ids % 3 > 0]
    again = least_hashed(fewer, ("a", 1), 2000)
    assert np.isin(drawn[drawn % 3 > 0], again).all()
    assert abs((hashed(ids, ("a",)) % 2).mean() - 0.5) < 0.02
    assert least_hashed(ids[:3], (), 10).tolist() == least_hashed(ids[:3], (), 3).tolist()


def test_mixed_puts_others_at_their_places():
    assert insert_at(np.array([1, 2, 3, 4]), np.array([9, 8]), np.array([1, 3])).tolist() == [
        1, 9, 2, 8, 3, 4]  # fmt: skip
    assert insert_at(np.array([1]), np.array([9, 8]), np.array([4, 5])).tolist() == [1, 9, 8]


# --- controls ---


def test_controls_come_only_where_asked_for(audited):
    queue = make_queue(audited, TODO, "ann")
    assert with_controls(audited, queue, TODO, "ann", 0) is queue
    with pytest.raises(LabelAuditError, match="one control per 1 places"):
        with_controls(audited, queue, TODO, "ann", 1)


def test_a_control_in_each_stretch_half_of_them_under_another_label(audited):
    queue = controlled(audited)
    plain = make_queue(audited, TODO, "ann")
    assert len(set(queue.ids.tolist())) == len(queue.ids)
    assert [i for i in queue.ids.tolist() if i not in queue.controls] == plain.ids.tolist()
    places = np.flatnonzero(np.isin(queue.ids, [*queue.controls]))
    assert (places // 5).tolist() == list(range(len(places)))
    assert len(set((places % 5).tolist())) > 2  # nobody can guess where
    assert len(places) == len(plain) // 4
    bad = [each for each in queue.controls.values() if each.shown != each.truth]
    assert abs(len(bad) - len(places) / 2) <= 1
    for each in queue.controls.values():
        sample = audited[each.sample]
        assert each.truth == sample.ground_truth == sample.prediction.label
        assert sample.prediction.confidence >= 0.9
        assert each.easy == (each.shown == each.truth)
    assert controlled(audited).controls == queue.controls  # the same until they are answered
    assert controlled(audited, "bob").controls != queue.controls


def test_what_two_reviewers_kept_is_a_control_for_a_third(audited):
    suspect = int(make_queue(audited, QueueFilter(), "ann").ids[0])
    for name in ("bob", "cleo"):
        Review(audited, name).decide(suspect, "keep")
    assert suspect not in controlled(audited, "ann").controls  # it is in the queue as it is
    hard = controlled(audited, "bob").controls[suspect]
    assert (hard.shown, hard.truth, hard.easy) == (hard.truth, audited[suspect].ground_truth, False)
    Review(audited, "dan").decide(suspect, "remove")  # not known any more
    assert suspect not in controlled(audited, "bob").controls


def test_an_answer_is_no_verdict_and_is_counted(audited):
    queue = controlled(audited)
    bad = [each for each in queue.controls.values() if each.shown != each.truth]
    good = [each for each in queue.controls.values() if each.shown == each.truth]
    ann = Controls(audited, "ann")
    ann.answer(bad[0], "relabel", bad[0].truth)
    ann.answer(bad[1], "keep")
    ann.answer(bad[2], "relabel", bad[2].shown)  # as good as keeping it
    ann.answer(bad[3], "remove")
    ann.answer(bad[4], "unsure")
    ann.answer(good[0], "keep")
    ann.answer(good[1], "relabel", next(c for c in audited.classes if c != good[1].truth))
    found = answers(audited, "ann")
    assert found == Answers(bad=4, missed=2, good=2, false_alarms=1, unsure=1)
    assert found.sentence() == (
        "You answered 3 of 6 controls correctly: 2 of 4 wrong labels missed, 1 false alarm on "
        "2 correct labels."
    )
    assert all_answers(audited) == {"ann": found}
    assert len(verdict_log.read(audited.view().frame)) == 0
    assert not len(Review(audited, "ann").judged())
    rest = controlled(audited)
    assert not set(rest.controls) & {each.sample for each in [*bad[:5], *good[:2]]}
    for verdict, label in [("maybe", None), ("keep", "3"), ("relabel", None)]:
        with pytest.raises(LabelAuditError, match="is not an answer to a control"):
            ann.answer(good[2], verdict, label)


def test_undo_takes_back_verdicts_and_answers_in_their_order(audited):
    queue = controlled(audited)
    control, other = list(queue.controls.values())[:2]
    sample = next(i for i in queue.ids.tolist() if i not in queue.controls)
    ann, review = Controls(audited, "ann"), Review(audited, "ann")
    assert ann.undo() is None
    ann.answer(control, "keep")
    review.decide(sample, "keep")
    assert not ann.can_undo()  # the verdict is the latest
    assert ann.undo() is None
    ann.answer(other, "keep")
    assert ann.undo() == other.sample
    assert ann.of(other.sample) == []
    assert not ann.can_undo()
    review.undo()
    assert ann.undo() == control.sample
    assert answers(audited, "ann").total == 0
    assert Controls(audited, "bob").undo() is None


def sit(dataset, every: int = 5) -> ReviewSession:
    queue = controlled(dataset, every=every)
    return ReviewSession(dataset, TODO, "ann", queue, "v", "s", Tab(first=1), controls=every)


def press(session: ReviewSession, verdict: str, label: str | None = None, seen: str | None = None):
    sample = session.current
    given = session.dataset[sample].ground_truth
    if sample in session.queue.controls:
        given = session.queue.controls[sample].shown
    event = {"kind": "decide", "sample": sample, "verdict": verdict, "label": label,
             "seen": [seen or given]}  # fmt: skip
    review_one._act(session, event)


def test_one_by_one_a_control_is_answered_undone_and_answered_again(audited):
    session = sit(audited)
    start = int(np.flatnonzero(np.isin(session.queue.ids, [*session.queue.controls]))[0])
    session.go_to(start)
    control = session.current
    press(session, "remove")
    assert session.place == start + 1
    assert [v.verdict for v in session.verdicts_on(control)] == ["remove"]
    press(session, "keep")  # a suspect, or the next control
    review_one._act(session, {"kind": "undo"})
    assert session.place == start + 1
    review_one._act(session, {"kind": "undo"})
    assert (session.place, session.verdicts_on(control)) == (start, [])
    assert session.next_place(start - 1) == start  # it is open again
    with pytest.raises(LabelAuditError, match="the queue has changed"):
        press(session, "keep", seen="another")
    press(session, "keep")
    assert answers(audited, "ann").total == 1
    assert not np.isin(control, Review(audited, "ann").judged())


def test_nothing_that_is_drawn_tells_a_control(audited):
    session = sit(audited)
    controls = session.queue.controls
    bad = next(s for s, each in controls.items() if each.shown != each.truth)
    easy = next(s for s, each in controls.items() if each.easy)
    suspect = next(s for s in session.queue.ids.tolist() if s not in controls)
    check = next(iter(session.queue.checks))
    items = review_one._make_items(session, [bad, easy, suspect, check])
    assert len({tuple(sorted(item)) for item in items.values()}) == 1
    for item in items.values():
        assert (item["filepath"], item["ranks"], item["p_given"]) == ("", [], None)
    assert items[bad]["given"] == controls[bad].shown
    assert items[bad]["suggested"] == controls[bad].truth
    assert f"not {controls[bad].shown}" in items[bad]["why"]
    assert [items[s]["check"] for s in (bad, suspect)] == ["", ""]
    assert items[easy]["check"] == items[check]["check"] == "random check or control"
    plain = ReviewSession(audited, TODO, "ann", make_queue(audited, TODO, "ann"), "v", "s", Tab(1))
    items = review_one._make_items(plain, [suspect, check])
    assert items[suspect]["ranks"]
    assert items[check]["check"] == "random check"
    assert (
        plain.items_version != session.items_version
    )  # what was made for the one is not shown by the other
    assert gather(audited, "run-1", [bad])[0].given == controls[bad].truth
    assert audited[bad].ground_truth == controls[bad].truth


def test_answers_given_in_another_tab_are_not_undone_here(audited):
    session = sit(audited)
    first, second, *_ = session.queue.controls.values()
    session.tab.own_answers.add(session.answers.answer(first, "keep"))
    session.answers.answer(second, "keep")  # in another tab
    session.undo_or_redo("undo")
    assert [each.verdict for each in session.answers.of(second.sample)] == ["keep"]
    assert session.answers.of(first.sample) == []
    assert not session.state()["can_undo"]


def test_how_the_reviewer_did_is_reported_at_the_end_only(audited):
    session = sit(audited)
    for control in list(session.queue.controls.values())[:3]:
        session.answers.answer(control, "relabel", control.truth)
    assert review_one._control_result(session) == ""
    session.go_to(len(session.queue))
    assert review_one._control_result(session).startswith("You answered 3 of 3 controls correctly")
