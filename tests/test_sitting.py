"""What the desk and the board remember, without a browser."""

from __future__ import annotations

import numpy as np
import pytest

from labelaudit import LabelAuditError, QueueFilter, Review, make_queue
from labelaudit.ui.sitting import Sitting


@pytest.fixture
def sit(audited):
    def make(**wanted) -> Sitting:
        asked = QueueFilter(**wanted)
        return Sitting(audited, asked, "ann", make_queue(audited, asked, "ann"), "v1", "session")

    return make


def event(number: int, session: str = "session", **more) -> dict:
    return {"token": "t", "number": number, "session": session, "kind": "k", **more}


def test_all_means_those_without_a_verdict_where_one_looks_for_these(sit):
    sitting, every = sit(status="todo"), sit(status="all")
    ids = sitting.queue.ids
    for each in (sitting, every):
        each.decide(ids[:3], "keep", None, None)
    assert sitting.choosable.tolist() == ids[3:].tolist()
    assert every.choosable.tolist() == ids.tolist()
    sitting.reverse("undo")  # the second batch
    sitting.reverse("undo")
    assert sitting.choosable.tolist() == ids.tolist()
    assert sitting.note == "3 verdicts are taken back."


def test_the_next_one_is_the_first_without_a_verdict(sit):
    sitting = sit()
    ids = sitting.queue.ids
    sitting.decide(ids[[1, 2]], "keep", None, None)
    assert [sitting.following(place) for place in (-1, 0, 1, 5)] == [0, 3, 3, 6]
    assert sitting.following(len(ids) - 1) == len(ids)  # the end
    again = sit(status="mine")
    assert [again.following(place) for place in (-1, 0)] == [0, 1]  # those are looked at in turn


def test_an_event_is_done_once_however_often_it_comes(sit):
    sitting, done = sit(), []
    for number in (1, 1, 2, 2, 2):
        sitting.answer(event(number), done.append)
    assert [each["number"] for each in done] == [1, 2]
    assert sitting.answered == {"token": "t", "number": 2}
    sitting.answer(event(3, session="before the restart"), done.append)
    assert len(done) == 2  # it may have been done already
    assert "restarted" in sitting.note
    assert sitting.answered["number"] == 3  # the browser need not ask again


@pytest.mark.parametrize("error", [LabelAuditError("no room."), ValueError("odd")])
def test_what_goes_wrong_is_answered_and_said(sit, error):
    def act(_) -> None:
        raise error

    sitting = sit()
    sitting.answer(event(1), act)
    assert sitting.answered["number"] == 1
    assert sitting.failed
    assert ("No room." if isinstance(error, LabelAuditError) else "odd") in sitting.note
    sitting.answer(event(2), lambda _: None)
    assert (sitting.note, sitting.failed) == ("", False)


def test_undo_goes_back_to_the_sample_or_says_that_it_is_elsewhere(sit, audited):
    sitting = sit(given="3")
    sitting.decide(sitting.queue.ids[4:5], "keep", None, None)
    sitting.go(9)
    sitting.reverse("undo")
    assert sitting.place == 4
    right = audited.view().match(wrong=False).ids[:1]
    Review(audited, "ann").decide(right, "keep")
    sitting.reverse("undo")
    assert (sitting.place, sitting.note) == (4, "A verdict is taken back.")
    assert not np.isin(right, Review(audited, "ann").judged()).any()
