"""A clock that is set back: the order of entries is unchanged, because ids determine it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import labelaudit
from labelaudit import Review
from labelaudit.dataset import history_log, verdict_log
from labelaudit.jobs import launcher, manager
from labelaudit.review.apply import apply_verdicts, sittings

LATER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch):
    """Sets the time: clock(hours)."""

    def set_to(hours: float) -> None:
        words = (LATER + timedelta(hours=hours)).isoformat(timespec="seconds")
        for module in (history_log, verdict_log):
            monkeypatch.setattr(module, "now", lambda: words)

        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):
                return LATER + timedelta(hours=hours)

        monkeypatch.setattr(manager, "datetime", Clock)

    return set_to


def test_history_is_in_the_order_of_what_happened(make_dataset, clock):
    dataset = make_dataset(4)
    clock(0)
    dataset.set_labels([1], "c1")
    clock(-5)
    dataset.set_labels([1], "c2")
    clock(-9)
    dataset.set_labels([1], "c3")
    changes = labelaudit.list_changes(dataset)
    assert [(change.id, change.time[11:13]) for change in changes] == [
        (1, "00"), (2, "19"), (3, "15"),
    ]  # fmt: skip
    labelaudit.return_to(dataset, 2)
    assert dataset[1].ground_truth == "c2"


def test_the_last_verdict_counts_though_its_time_is_earlier(make_dataset, clock):
    dataset = make_dataset(4)
    review = Review(dataset, "ann")
    clock(0)
    review.decide(1, "remove")
    clock(-5)
    review.decide(1, "relabel", "c2")
    assert [said.verdict for said in review.of([1])[0]] == ["relabel"]
    assert apply_verdicts(dataset).relabel.tolist() == [1]
    assert review.undo().tolist() == [1]
    assert [said.verdict for said in review.of([1])[0]] == ["remove"]


def test_the_latest_sitting_comes_first(make_dataset, clock):
    dataset = make_dataset(4)
    clock(0)
    Review(dataset, "ann").decide(1, "keep")
    clock(-5)
    Review(dataset, "bob").decide(1, "keep")
    assert sittings(dataset)["reviewer"].tolist() == ["bob", "ann"]


class NoLauncher:
    """Start no process: each job ends immediately."""

    def launch(self, folder) -> None:
        pass

    def has_exited(self, folder) -> bool:
        return True


def test_the_latest_job_is_the_one_that_was_started_last(home, clock, monkeypatch):
    monkeypatch.setattr(launcher, "current", NoLauncher())
    names = []
    for hours in (0, -5, -5, 3):
        clock(hours)
        names.append(manager.start("score", "plain").id)
    assert names == sorted(set(names))
    assert [job.id for job in manager.list_jobs("plain")] == names[::-1]
    assert names[0] == "20300101-000000-000000-score"
    assert names[1] == "20300101-000000-000001-score"
    assert names[3] == "20300101-030000-000000-score"
