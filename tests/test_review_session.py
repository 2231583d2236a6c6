"""What a review session remembers, without a browser."""

from __future__ import annotations

import numpy as np
import pytest

from labelaudit import LabelAuditError, QueueFilter, Review, assign, make_queue, suspects
from labelaudit.ranking.evidence import suggestions
from labelaudit.ui import review_many, review_one
from labelaudit.ui.review_session import ReviewSession
from labelaudit.ui.review_tab import Tab


@pytest.fixture
def open_session(audited):
    tab = Tab(first=1)

    def make(**wanted) -> ReviewSession:
        queue_filter = QueueFilter(**wanted)
        queue = make_queue(audited, queue_filter, "ann")
        return ReviewSession(audited, queue_filter, "ann", queue, "v1", "session", tab)

    return make


def event(number: int, session: str = "session", **more) -> dict:
    return {"token": "t", "number": number, "session": session, "kind": "k", **more}


def test_select_all_means_the_samples_without_a_verdict(open_session):
    session, every = open_session(status="todo"), open_session(status="all")
    ids = session.queue.ids
    for each in (session, every):
        each.decide(ids[:3], "keep", None, None)
    assert session.selectable.tolist() == ids[3:].tolist()
    assert every.selectable.tolist() == ids.tolist()
    session.undo_or_redo("undo")  # the second batch
    session.undo_or_redo("undo")
    assert session.selectable.tolist() == ids.tolist()
    assert session.note == "3 verdicts undone."


def test_a_page_of_many_sends_the_images_that_the_browser_lacks_in_parts(open_session, monkeypatch):
    monkeypatch.setattr(review_many, "IMAGES", 2)
    session = open_session(status="all")
    ids = session.queue.ids[:5].tolist()

    def sent(asked: dict | None) -> list[int]:
        items = review_many._data(session, asked)["items"]
        return [item["id"] for item in items if "image" in item]

    more = event(1, version=session.items_version, have=ids[:2], kind="images")
    assert sent(None) == ids[:2]
    assert sent(more) == ids[2:4]
    assert sent({**more, "version": "of other labels"}) == ids[:2]
    session.note, session.question = "shown", {"text": "sure?"}
    session.answer(more, lambda each: review_many._act(session, each))  # sent by itself
    assert (session.note, session.question) == ("shown", {"text": "sure?"})
    session.answer({**more, "number": 2, "kind": "page", "page": 1}, lambda each: None)
    assert session.note == ""


def test_the_next_one_is_the_first_without_a_verdict(open_session):
    session = open_session()
    ids = session.queue.ids
    session.decide(ids[[1, 2]], "keep", None, None)
    assert [session.next_place(place) for place in (-1, 0, 1, 5)] == [0, 3, 3, 6]
    assert session.next_place(len(ids) - 1) == len(ids)  # the end
    again = open_session(status="mine")
    assert [again.next_place(place) for place in (-1, 0)] == [0, 1]  # those are looked at in turn


def test_an_event_is_done_once_however_often_it_comes(open_session):
    session, done = open_session(), []
    for number in (1, 1, 2, 2, 2):
        session.answer(event(number), done.append)
    assert [each["number"] for each in done] == [1, 2]
    assert session.answered == {"token": "t", "number": 2}
    session.answer(event(3, session="before the restart"), done.append)
    assert len(done) == 2  # it may have been done already
    assert "restarted" in session.note
    assert session.answered["number"] == 3  # the browser need not ask again


@pytest.mark.parametrize("error", [LabelAuditError("disk full."), ValueError("odd")])
def test_an_error_is_answered_and_shown(open_session, error):
    def act(_) -> None:
        raise error

    session = open_session()
    session.answer(event(1), act)
    assert session.answered["number"] == 1
    assert session.failed
    assert ("Disk full." if isinstance(error, LabelAuditError) else "odd") in session.note
    session.answer(event(2), lambda _: None)
    assert (session.note, session.failed) == ("", False)


def test_undo_goes_back_to_the_sample_or_says_that_it_is_elsewhere(open_session, audited):
    session = open_session(given="3")
    session.decide(session.queue.ids[4:5], "keep", None, None)
    session.go_to(9)
    session.undo_or_redo("undo")
    assert session.place == 4
    right = audited.view().match(wrong=False).ids[:1]
    batch = Review(audited, "ann").decide(right, "keep")
    session.undo_or_redo("undo")  # of another tab
    assert session.note == "Nothing to undo in this tab."
    session.tab.own.add(batch)
    session.undo_or_redo("undo")
    assert (session.place, session.note) == (4, "1 verdict undone.")
    assert not np.isin(right, Review(audited, "ann").judged()).any()


def test_another_tab_is_followed(open_session, audited):
    session = open_session()
    first, second = session.queue.ids[:2].tolist()
    Review(audited, "ann").decide(first, "keep")
    Review(audited, "bob").decide(second, "keep")
    assert session.next_place(-1) == 0
    session.answer(event(1), lambda _: None)
    assert session.next_place(-1) == 1
    with pytest.raises(LabelAuditError, match="changed in another window"):
        session.decide(np.array([first]), "remove", None, None, [None])
    session.decide(np.array([first]), "remove", None, None, [["keep", None]])
    assert session.verdicts_on(first)[0].verdict == "remove"


def test_in_a_share_the_verdicts_of_others_are_shown_after_the_own_one(open_session, audited):
    assign(audited, ["ann", "bob"], 1)
    session = open_session(share="ann")
    first = int(session.queue.ids[0])
    Review(audited, "bob").decide(first, "keep")
    assert session.verdicts_on(first) == []
    session.decide(np.array([first]), "remove", None, None)
    assert [each.reviewer for each in session.verdicts_on(first)] == ["ann", "bob"]


def test_similar_images_with_the_same_mistake_are_offered_after_a_relabelling(
    open_session, audited
):
    session = open_session()
    view = audited.view()
    given, suggested = view.class_pairs().iloc[0][["ground_truth", "predicted"]]
    same = suspects(audited).match(label=given, suggested=suggested)
    sample = int(same.ids[0])
    near = set(audited.run("run-1").neighbours([sample], review_one.NEAR)[0][0].tolist())
    p = dict(zip(same.ids, suggestions(audited, "run-1", same.ids)[1], strict=True))
    wanted = [each for each in p if each in near and p[each] >= review_one.SAME_MISTAKE]
    assert len(wanted) > 1
    session.review.decide(wanted[0], "unsure")  # decided already
    relabelled = {"verdict": "relabel", "sample": sample, "seen": [given], "label": suggested}
    offer = review_one._same_mistake(session, relabelled)
    assert offer["count"] == len(wanted) - 1
    assert (offer["similar"], offer["given"], offer["suggested"]) == (sample, given, suggested)
    assert review_one._same_mistake(session, {**relabelled, "verdict": "keep"}) is None
