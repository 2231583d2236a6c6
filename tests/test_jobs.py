from __future__ import annotations

import os
import signal
import time

import pytest
from filelock import FileLock

from labelaudit import jobs, load_dataset
from labelaudit.errors import LabelAuditError

FAST = {"epochs": 2, "threads": 1}
LONG = {"epochs": 5000, "threads": 1}


def until(condition, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def begin_training(config: dict) -> jobs.Job:
    return jobs.start("train", "digits", run=None, split=None, config=config)


def pid_of(job: jobs.Job) -> int:
    return next(child.pid for child in jobs._children if str(job.folder) in child.args)


def test_a_job_does_the_work_and_leaves_its_result_on_disk(digits):
    job = begin_training(FAST)
    assert job.status == jobs.RUNNING
    assert jobs.running_job("digits") == job
    job.wait(60)
    assert job.status == jobs.DONE, job.error
    assert job.result == {"run": "run-1", "stopped": False, "epochs": 2}
    assert load_dataset("digits").run("run-1").info["epochs"] == 2
    seen_later = jobs.list_jobs("digits")[0]  # as a restarted server would find it
    assert seen_later.progress["epoch"] == 2
    assert len(seen_later.progress["curves"]) == 2
    assert "training, epoch 1 of 2" in seen_later.log
    assert jobs.running_job("digits") is None


def test_stop_keeps_what_is_there_within_two_seconds(digits):
    job = begin_training(LONG)
    until(lambda: (job.progress or {}).get("curves"))
    with pytest.raises(LabelAuditError, match="being worked on"):
        begin_training(FAST)
    asked = time.monotonic()
    job.stop()
    job.wait(20)
    assert time.monotonic() - asked < 10  # a bound for a busy machine; two seconds on a free one
    assert job.status == jobs.DONE
    assert job.result["stopped"]
    run = load_dataset("digits").run(job.result["run"])
    ids = load_dataset("digits").view().ids
    assert run.info["epochs"] == len(run.dynamics(ids).margin) >= 1


def test_a_killed_job_has_died_and_the_dataset_is_whole(digits):
    job = begin_training(LONG)
    until(lambda: (job.progress or {}).get("curves"))
    os.kill(pid_of(job), signal.SIGKILL)
    until(lambda: job.status == jobs.DIED)
    assert "its log ends" in job.error
    assert load_dataset("digits").runs == []  # it is saved at its end
    assert begin_training(FAST).wait(60).status == jobs.DONE  # and can be run again


def test_a_failing_job_says_why(digits):
    job = begin_training({"epochs": -1}).wait(60)
    assert job.status == jobs.FAILED
    assert job.error == "epochs=-1: it must be a whole number between 1 and 10000."
    job = jobs.start("load", "pets", source="/nowhere").wait(60)
    assert job.status == jobs.FAILED
    assert "does not exist" in job.error
    with pytest.raises(LabelAuditError, match="no kind of job"):
        jobs.start("juggle", "digits")


def test_a_stopped_load_leaves_nothing(tmp_path, picture, home):
    picture(tmp_path / "p/c0/a.png")
    job = jobs.start("load", "pets", source=str(tmp_path / "p"))
    job.stop()  # it is there before the process is
    job.wait(60)
    assert job.status == jobs.STOPPED
    assert "nothing is kept" in job.error


def test_an_audit_and_a_prediction_as_jobs(digits):
    audit = jobs.start("audit", "digits", noise=0.1, config=FAST).wait(90)
    assert audit.status == jobs.DONE, audit.log
    assert audit.result["evaluation"][0]["mistakes"] == 180
    predicted = jobs.start("predict", "digits", run="run-1", split="test").wait(60)
    assert predicted.status == jobs.DONE, predicted.log
    assert predicted.result["predicted"] == 360
    assert "aum" in predicted.result["scores"]


def test_a_process_that_never_came_up_is_not_running_for_ever(home, monkeypatch):
    folder = home / "jobs" / "20200101-000000-000000-train"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text('{"kind": "train", "dataset": "d", "created": ""}')
    job = jobs.Job(folder)
    assert job.status == jobs.RUNNING
    monkeypatch.setattr(jobs, "STARTING_SECONDS", 0)
    assert job.status == jobs.DIED
    with FileLock(folder / "alive.lock"):  # the process lives
        assert job.status == jobs.RUNNING
