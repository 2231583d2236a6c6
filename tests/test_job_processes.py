"""Jobs in processes: stopped, killed, resumed and repeated.

One test starts them as the app does; in the others they are forks, which start faster.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from forks import STOP_SECONDS

from labelaudit import delete_dataset, load_dataset
from labelaudit.core.errors import LabelAuditError
from labelaudit.jobs import files, guard, launcher, manager
from labelaudit.jobs import job as jobs

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("jobs_in_forks")]

FAST = {"epochs": 2, "threads": 1}
LONG = {"epochs": 5000, "threads": 1}


@pytest.fixture
def digits(few_digits):
    return few_digits


def until(condition, seconds: float = 300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def begin_training(config: dict) -> jobs.Job:
    return manager.start("train", "digits", run=None, split=None, config=config)


def pid_of(job: jobs.Job) -> int:
    return launcher.current.processes[job.folder].pid


def test_stop_keeps_what_is_there(digits):
    job = begin_training(LONG)
    until(lambda: (job.progress or {}).get("curves"))
    assert job.status == files.RUNNING
    assert manager.running_job("digits") == job
    assert "training, epoch 1 of 5000" in job.log
    with pytest.raises(LabelAuditError, match=r"'digits' \(Train digits, run-1\): wait for it"):
        begin_training(FAST)
    with pytest.raises(LabelAuditError, match="another job writes run 'run-1' of dataset 'digits'"):
        manager.start("score", "digits", run="run-1")
    job.stop()
    job.wait(300)
    assert job.status == files.DONE
    assert job.result["stopped"]
    run = load_dataset("digits").run(job.result["run"])
    ids = load_dataset("digits").view().ids
    assert run.info["epochs"] == len(run.dynamics(ids).margin) >= 1


def killed_training(config: dict, run: str | None = None, epochs: int = 2) -> jobs.Job:
    """Return a job that was killed after this many epochs."""
    job = manager.start("train", "digits", run=run, split=None, config=config)
    until(lambda: job.finished_epochs >= epochs)
    os.kill(pid_of(job), signal.SIGKILL)
    until(lambda: job.status == files.DIED)
    return job


def test_a_killed_job_has_died_and_is_resumed_from_its_last_epoch(digits, jobs_in_processes):
    config = {"epochs": 50, "threads": 1}
    job = killed_training(config)
    assert "last line of its log" in job.error
    assert "of 50" in job.error
    assert job.run_name == "run-1"
    assert digits.runs == []  # it is saved at its end
    assert digits.unfinished_runs == ["run-1"]
    assert job.resumable
    again = manager.resume(job)
    assert again.follows == job.id
    with pytest.raises(LabelAuditError, match="another job writes run 'run-1' of dataset 'digits'"):
        manager.resume(job)
    until(lambda: again.finished_epochs)
    assert again.finished_epochs >= 2  # those of the first job are not learned again
    assert not job.resumable  # another is at it
    assert again.wait(300).status == files.DONE, again.log
    assert again.result == {"run": "run-1", "stopped": False, "epochs": 50}
    assert len(digits.run("run-1").dynamics(digits.view().ids).margin) == 50
    assert "epoch 1 of 50" not in again.log
    with pytest.raises(LabelAuditError, match="cannot be resumed"):
        manager.resume(job)


def test_a_resumed_job_that_dies_at_once_can_be_resumed_too(digits):
    job = manager.resume(killed_training(LONG))
    os.kill(pid_of(job), signal.SIGKILL)
    until(lambda: job.status == files.DIED)
    assert job.resumable
    assert manager.run_again(job).options == job.options


def test_a_killed_job_run_again_leaves_nothing_of_the_first_try(digits):
    job = killed_training(LONG)
    kept = Path(job.run["checkpoint"])
    assert kept.exists()
    again = manager.run_again(job)
    assert not kept.exists()
    assert digits.unfinished_runs == []
    assert again.follows == job.id
    assert again.options == job.options
    assert not job.resumable
    until(lambda: again.finished_epochs)
    assert again.run_name == "run-1"  # its name is free again
    again.stop()
    assert again.wait(300).status == files.DONE


def test_a_killed_audit_continues_to_its_end_without_more_noise(digits):
    job = manager.start("audit", "digits", noise=0.1, features="pixels",
                        config={"epochs": 30, "threads": 1})  # fmt: skip
    until(lambda: job.finished_epochs >= 2)
    os.kill(pid_of(job), signal.SIGKILL)
    until(lambda: job.status == files.DIED)
    planted = digits.view().match_tag("mistake").ids.tolist()
    again = manager.resume(job).wait(300)
    assert again.status == files.DONE, again.log
    assert again.result["run"] == "run-1"
    assert again.result["evaluation"][0]["mistakes"] == 40
    assert digits.view().match_tag("mistake").ids.tolist() == planted
    assert digits.run("run-1").info["epochs"] == 30


def test_a_stopped_audit_keeps_its_epochs_and_can_be_scored(digits):
    job = manager.start("audit", "digits", features="pixels", config=LONG)
    until(lambda: job.finished_epochs)
    job.stop()
    job.wait(300)
    assert job.status == files.STOPPED
    assert "run 'run-1' is stored, but has no predictions and scores yet" in job.error
    assert job.resumable
    scored = manager.resume(job).wait(300)
    assert scored.status == files.DONE, scored.log
    assert scored.result["stopped"]
    assert "aum" in digits.run("run-1").score_names()
    assert not job.resumable  # there is nothing left to do


def wait_until_read(pipe: Path) -> None:
    """Return when a process waits to read from the pipe, to which nothing is written."""

    def is_read() -> bool:
        with suppress(OSError):  # nobody has opened it
            os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)  # stays open: closed, it would read on
            return True
        return False

    until(is_read)


def test_work_that_ignores_a_stop_is_ended(tmp_path, picture, home):
    """An image that became a pipe without a writer: opening it never returns."""
    launcher.current.stop_seconds = guard.STOP_SECONDS
    for i in range(2):
        picture(tmp_path / f"p/c{i}/a.png", seed=i)
    load_dataset("pets", tmp_path / "p")
    hung = tmp_path / "p/c1/a.png"
    hung.rename(tmp_path / "aside.png")
    os.mkfifo(hung)
    job = manager.start("compare", "pets")
    wait_until_read(hung)
    assert job.status == files.RUNNING
    asked = time.monotonic()
    job.stop()
    job.wait(300)
    assert time.monotonic() - asked > guard.STOP_SECONDS - 0.5  # it had time to end by itself
    assert job.status == files.STOPPED
    assert "stopped during" in job.error
    (tmp_path / "aside.png").rename(hung)
    assert manager.run_again(job).wait(300).status == files.DONE


def test_a_training_ended_in_one_slow_step_can_be_resumed(tmp_path, picture, home):
    """Images read from disk in every epoch; one hangs in the third epoch."""
    launcher.current.stop_seconds = guard.STOP_SECONDS
    for i in range(24):
        picture(tmp_path / "p" / f"c{i % 2}" / f"{i}.png", seed=i)
    dataset = load_dataset("pets", tmp_path / "p")
    config = {"epochs": 2000, "threads": 1, "batch_size": 8, "memory_gb": 0}
    job = manager.start("train", "pets", run=None, split=None, config=config)
    until(lambda: job.finished_epochs >= 2)
    hung = tmp_path / "p/c1/1.png"
    hung.rename(tmp_path / "aside.png")
    os.mkfifo(hung)
    wait_until_read(hung)
    job.stop()
    job.wait(300)
    assert job.status == files.STOPPED
    assert dataset.unfinished_runs == ["run-1"]
    assert "stopped during training: the job can be resumed" in job.error
    (tmp_path / "aside.png").rename(hung)
    launcher.current.stop_seconds = STOP_SECONDS
    again = manager.resume(job)
    until(lambda: again.finished_epochs > job.finished_epochs)
    again.stop()
    assert again.wait(300).status == files.DONE
    assert dataset.run("run-1").info["epochs"] > job.finished_epochs


def test_a_job_of_a_dataset_made_again_is_not_resumed_in_its_place(digits, load_few_digits):
    job = killed_training(LONG)
    delete_dataset("digits")
    load_few_digits()
    other = killed_training(LONG)
    assert other.run["id"] == job.run["id"]
    assert not job.resumable
    manager.discard(job)  # of the old dataset: nothing of the new one
    assert other.resumable


def test_a_stopped_load_leaves_nothing(tmp_path, picture, home, monkeypatch):
    picture(tmp_path / "p/c0/a.png")
    launch = launcher.current.launch

    def stop_first(folder: Path) -> None:
        jobs.Job(folder).stop()
        launch(folder)

    monkeypatch.setattr(launcher.current, "launch", stop_first)
    job = manager.start("load", "pets", source=str(tmp_path / "p")).wait(300)
    assert job.status == files.STOPPED
    assert "nothing is stored" in job.error
