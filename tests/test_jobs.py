"""Jobs: their folders, results and errors. test_job_processes.py kills and resumes them."""

from __future__ import annotations

import time

import pytest
from filelock import FileLock

from labelaudit import load_dataset
from labelaudit.core.errors import LabelAuditError
from labelaudit.core.progress import Progress
from labelaudit.jobs import files, guard, manager
from labelaudit.jobs import job as jobs
from labelaudit.jobs.overall import Overall

FAST = {"epochs": 2, "threads": 1}
LONG = {"epochs": 5000, "threads": 1}


@pytest.fixture
def digits(few_digits):
    return few_digits


def begin_training(config: dict) -> jobs.Job:
    return manager.start("train", "digits", run=None, split=None, config=config)


def test_a_job_does_the_work_and_leaves_its_result_on_disk(jobs_in_threads, digits):
    job = begin_training(FAST).wait(300)
    assert job.status == files.DONE, job.error
    assert job.result == {"run": "run-1", "stopped": False, "epochs": 2}
    assert load_dataset("digits").run("run-1").info["epochs"] == 2
    seen_later = manager.list_jobs("digits")[0]  # as a restarted server would find it
    assert seen_later.progress["epoch"] == 2
    assert len(seen_later.progress["curves"]) == 2
    assert manager.running_job("digits") is None


def shares(stages: list[str], **options) -> list[float]:
    overall, found = Overall(**options), []
    for stage in stages:
        for done in (0, 5, 10):
            found.append(overall(Progress(stage, done, 10, 1.0, None))["share"])
    return found


def test_the_progress_of_an_audit_is_that_of_all_its_stages():
    look = ["reading images", "comparing images", "extracting features with lite0"]
    look += ["comparing each image with all others", "scoring", "comparing images"]
    look += ["checking image quality"]
    alone = shares(look, trains=False, resumed=False)
    assert alone == sorted(alone)
    assert (alone[0], alone[-1]) == (0, 1)
    after = ["training", "saving", "predicting", "scoring", "comparing images"]
    both = shares(look + after, trains=True, resumed=False)
    assert both == sorted(both)
    assert both[len(alone) - 1] < 0.5  # training is most of it
    assert both[-1] == 1
    resumed = shares(after, trains=True, resumed=True)
    assert (resumed[0], resumed[-1]) == (0, 1)


def test_the_time_left_includes_the_stages_to_come(monkeypatch):
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    overall = Overall(trains=True, resumed=True)
    found = overall(Progress("training", 5, 10, 10.0, 10.0))
    assert found["share"] == pytest.approx(10 / 23.4)
    assert found["seconds_left"] == pytest.approx(10 + 3.4)


class Clock:
    """Stands in for the module `time`: only sleeping takes time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def test_saving_at_the_end_of_a_stop_is_not_cut_off(tmp_path, monkeypatch):
    ended = []
    (tmp_path / "stop").touch()

    def seconds_until_ended(stage: str) -> float:
        files.write_json(tmp_path / "progress.json", {"stage": stage})
        monkeypatch.setattr(guard, "time", clock := Clock())
        guard.watch(tmp_path, lambda: True, lambda: ended.append(stage))
        return clock.seconds

    assert 0 < seconds_until_ended("training") - guard.STOP_SECONDS < 0.1
    assert 0 < seconds_until_ended("saving") - guard.SAVING_SECONDS < 0.1
    assert ended == ["training", "saving"]
    guard.watch(tmp_path, lambda: False, lambda: ended.append("too late"))
    assert "too late" not in ended


def test_scores_are_computed_again_as_a_job(jobs_in_threads, audited):
    first = audited.view().sort_by("self_confidence", reverse=True).head(1)[0]
    first.set_label(first.prediction.label)
    assert audited[first.id].scores["self_confidence"] is None
    job = manager.start("score", "digits", run="run-1").wait(300)
    assert job.status == files.DONE, job.log
    assert job.result["run"] == "run-1"
    assert audited[first.id].scores["self_confidence"] < 0.5


def test_folders_of_old_jobs_are_removed(jobs_in_threads, home, monkeypatch):
    monkeypatch.setattr(manager, "MAX_FOLDERS", 2)
    started = [manager.start("load", "pets", source="/nowhere").wait(300) for _ in range(3)]
    assert manager.list_jobs() == started[:0:-1]
    assert manager.find_job(started[-1].id) == started[-1]
    assert manager.find_job("nothing") is None


def test_a_failing_job_says_why(jobs_in_threads, digits):
    job = begin_training({"epochs": -1}).wait(300)
    assert job.status == files.FAILED
    assert job.error == "epochs=-1: it must be a whole number between 1 and 10000."
    job = manager.start("load", "pets", source="/nowhere").wait(300)
    assert job.status == files.FAILED
    assert "does not exist" in job.error
    with pytest.raises(LabelAuditError, match="no job kind 'juggle'"):
        manager.start("juggle", "digits")


def test_an_audit_and_a_prediction_as_jobs(jobs_in_threads, digits):
    audit = manager.start("audit", "digits", noise=0.1, config=FAST).wait(300)
    assert audit.status == files.DONE, audit.log
    assert audit.result["evaluation"][0]["mistakes"] == 40
    predicted = manager.start("predict", "digits", run="run-1", split="test").wait(300)
    assert predicted.status == files.DONE, predicted.log
    assert predicted.result["predicted"] == 200
    assert "aum" in predicted.result["scores"]


def test_a_process_that_never_came_up_is_not_running_for_ever(home, monkeypatch):
    folder = home / "jobs" / "20200101-000000-000000-train"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text('{"kind": "train", "dataset": "d", "created": ""}')
    job = jobs.Job(folder)
    assert job.status == files.RUNNING
    monkeypatch.setattr(jobs, "STARTING_SECONDS", 0)
    assert job.status == files.DIED
    with FileLock(folder / "alive.lock"):  # the process lives
        assert job.status == files.RUNNING
    files.write_json(folder / files.RESULT, {"run": "net", "epochs": 1, "stopped": True})
    assert job.summary == "net: 1 of 1 epoch (stopped early)"  # without a report
