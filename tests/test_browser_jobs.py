"""Jobs in a real browser: a refresh, a stop and a kill lose nothing."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
from app_server import CHROMIUM
from playwright import sync_api as playwright

from labelaudit import load_dataset
from labelaudit.jobs import files, launcher, manager
from labelaudit.jobs.job import Job

pytestmark = [
    pytest.mark.system,
    pytest.mark.usefixtures("jobs_in_forks"),
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium to run this"),
]

EPOCHS = 9000  # more than are trained while a page is looked at


def start_training() -> Job:
    """Begin a training that the server of the page did not start."""
    config = {"epochs": EPOCHS, "threads": 1}
    job = manager.start("train", "digits", run="mine", split=None, config=config)
    wait_for_epochs(job, 2)
    return job


def wait_for_epochs(job: Job, count: int) -> None:
    deadline = time.monotonic() + 300
    while job.finished_epochs < count:
        assert time.monotonic() < deadline, job.log
        time.sleep(0.05)


def epoch_on(page) -> int:
    words = page.get_by_text(re.compile(r"· epoch \d+ of")).first.inner_text()
    return int(re.search(r"epoch (\d+) of", words)[1])


def test_a_kill_is_shown_and_resumed_and_a_stop_keeps_all_epochs(page, server, few_digits):
    """With a page refresh and a kill -9."""
    job = start_training()
    page.goto(f"{server}/jobs")
    page.get_by_text(f"of {EPOCHS}").first.wait_for()
    log = page.get_by_test_id("stExpander").first
    log.click()
    log.get_by_text("training, epoch").first.wait_for()
    seen = epoch_on(page)
    playwright.expect(page.get_by_text(f"· epoch {seen} of {EPOCHS}")).to_have_count(0)
    playwright.expect(log.get_by_text("training, epoch").first).to_be_visible()  # still open
    page.reload()
    page.get_by_text(f"of {EPOCHS}").first.wait_for()
    assert epoch_on(page) > seen
    os.kill(launcher.current.processes[job.folder].pid, signal.SIGKILL)
    job.wait(300)
    kept = job.finished_epochs
    assert 2 <= kept < EPOCHS
    assert few_digits.runs == []
    for name in ("train", "jobs"):
        page.goto(f"{server}/{name}")
        page.get_by_text("did not finish: the process ended unexpectedly").wait_for()
        page.get_by_text(f"{kept:,} of {EPOCHS:,} epochs are stored").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_text(re.compile(rf"· epoch \d+ of {EPOCHS}")).first.wait_for()
    resumed = manager.list_jobs()[0]
    assert resumed.follows == job.id
    assert epoch_on(page) > kept  # it went on after the last whole epoch
    wait_for_epochs(resumed, kept + 1)  # the page shows the one that is under way
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("(stopped early), in").wait_for()
    playwright.expect(page.get_by_role("button", name="Resume")).to_have_count(0)
    run = few_digits.run("mine")
    epochs = run.info["epochs"]
    assert kept < epochs < EPOCHS
    assert run.dynamics(few_digits.view().ids).margin.shape == (epochs, 400)
    assert f"epoch {kept} of" not in resumed.log


def test_a_job_of_another_page_is_seen_in_the_sidebar_and_stopped(page, server, few_digits):
    job = start_training()
    page.goto(f"{server}/results")
    page.get_by_role("link", name=re.compile(r"Train digits, mine: \d+%")).click()
    page.get_by_role("heading", name="Jobs").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("(stopped early), in").wait_for()
    page.get_by_text("No jobs are running").wait_for()
    assert job.status == files.DONE
    assert few_digits.run("mine").info["stopped"]


def test_the_jobs_page_asks_for_nothing_while_nothing_runs(page, server):
    load_dataset("digits")
    manager.start("load", "pets", source="/nowhere").wait(300)
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda _: sent.append(1)))
    page.goto(f"{server}/jobs")
    page.get_by_text("/nowhere does not exist").first.wait_for()
    deadline, before = time.monotonic() + 120, 0
    while not before or len(sent) > before:  # at first it asks for what it draws
        assert time.monotonic() < deadline, f"{len(sent)} messages"
        before = len(sent)
        page.wait_for_timeout(4000)  # a page that follows a job asks every 0.5 s or 2 s
