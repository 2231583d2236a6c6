"""Shows a background job while it runs, and how it ended, without holding up the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from ..jobs.files import DONE, RUNNING, STOPPED
from ..jobs.job import TRAINING, Job
from ..jobs.manager import (
    check_idle,
    discard,
    find_job,
    latest_job,
    resume,
    run_again,
    running_job,
    running_jobs,
    start,
)
from . import charts, state
from .words import fail, plain, said, sentence

REFRESH_SECONDS = 0.5
SIDEBAR_SECONDS = 2.0
SHOWN_LOG = 20_000  # characters, the last ones
LOG_HEIGHT = 240
RUNNING_LINES = 9  # fill that height
ACTIVE, ENDED, NOTHING = "active", "ended", "nothing"


def begin(kind: str, dataset: str, **options) -> None:
    """Start a job and draw the page again, now with its progress; or say why it cannot start."""
    _watch_new(start, kind, dataset, **options)


def _watch_new(make: Callable[..., Job], *arguments, **options) -> None:
    try:
        st.session_state[state.WATCHED_JOB] = make(*arguments, **options).id
    except LabelAuditError as error:
        fail(error)
        return
    st.rerun()


def show(
    dataset: str | None,
    kinds: Sequence[str],
    ended: Callable[[Job], None],
    also_others: bool = True,
) -> str:
    """Draw the job that works on this dataset (None: on any), or how the one that this session
    started has ended.

    kinds: of the endings that this page shows. ended: draws the result of a job that is done.
    also_others: offer to resume the dataset's latest job, whoever started it, if it was cut short.
    Returns ACTIVE while a job runs, ENDED where the result of one was drawn, else NOTHING.
    """
    watched = _watched()
    if watched and dataset not in (None, watched.dataset):
        watched = None
    running = watched if watched and watched.status == RUNNING else None
    job = running or (running_job(dataset) if dataset else None)
    if job:
        st.session_state[state.WATCHED_JOB] = job.id
        _progress(job)
        return ACTIVE
    if watched and watched.kind in kinds:
        if watched.status == DONE:
            ended(watched)
            return ENDED
        show_unfinished(watched)
    elif dataset and also_others:
        left = latest_job(dataset, kinds)
        if left and left.resumable:
            show_unfinished(left)
    return NOTHING


def scored_runs(dataset: Dataset, title: str) -> list[str]:
    """Names of the runs that have scores, latest first, and a first look last. Where there is none
    the page ends here, and says what to do."""
    looks = [name for name in dataset.runs if dataset.run(name).is_first_look]
    others = [name for name in dataset.runs[::-1] if name not in looks]
    runs = [name for name in [*others, *looks] if dataset.run(name).score_names()]
    if not runs:
        st.title(title)
        show_running(dataset.name)
        st.info("Nothing is scored yet. Audit it in one go, or, if you have a model, bring its "
                "predictions.")  # fmt: skip
        st.page_link(
            "pages/start/home.py", label=f"Audit {dataset.name}", icon=":material/play_arrow:"
        )
        st.page_link("pages/model/predict.py", label="Bring predictions of your own",
                     icon=":material/upload_file:")  # fmt: skip
        st.stop()
    return runs


def show_running(dataset: str) -> None:
    """Draw the job that works on this dataset, on a page that waits for what it makes."""
    show(dataset, [], lambda job: None)


def forget() -> None:
    """The ending of the watched job has been shown, and need not be again."""
    st.session_state.pop(state.WATCHED_JOB, None)


def forget_ended() -> None:
    """Another dataset is looked at: how the last job ended says nothing of it."""
    job = _watched()
    if job and job.status != RUNNING:
        forget()


def busy(dataset: str) -> bool:
    """Whether a job works on this dataset: then its labels are left alone. Says so if it does."""
    try:
        check_idle(dataset)
    except LabelAuditError as error:
        st.info(said(error))
        return True
    return False


def _watched() -> Job | None:
    job_id = st.session_state.get(state.WATCHED_JOB)
    return find_job(job_id) if job_id else None


@st.fragment(run_every=REFRESH_SECONDS)
def _progress(job: Job, with_log: bool = False) -> None:
    """with_log: the job's name and log, as where jobs are listed; else what it has learned."""
    if job.status != RUNNING:
        st.rerun()  # the whole page: it has a result to show now
    progress = job.progress
    with st.container(border=True):
        if with_log:
            st.markdown(f"**{plain(job.title)}**")
        with st.container(horizontal=True, vertical_alignment="center"):
            share, words = describe(job)
            st.progress(share, plain(words))
            asked = job.stop_requested
            st.button("Stopping …" if asked else "Stop", key=f"stop-{job.id}", width="content",
                      disabled=asked, on_click=job.stop)  # fmt: skip
        if progress and (look := progress.get("first_look")):
            st.page_link(
                "pages/suspects/review.py", icon=":material/bolt:", query_params={"run":
                look["run"]}, label=f"First look: {look['suspects']:,} suspects, ready to review "
                "while the model trains",
            )  # fmt: skip
        if with_log:
            show_log(job)
        elif progress and progress["curves"]:
            charts.learning_curves(progress["curves"])


def show_all_running() -> int:
    """Draw every job that runs, on whatever dataset. Returns how many do."""
    running = running_jobs()
    for job in running:
        _progress(job, with_log=True)
    return len(running)


def show_log(job: Job) -> None:
    """While it runs only the end, which is where it is; later all of it."""
    lines = job.log[-SHOWN_LOG:].strip().splitlines()
    if job.status == RUNNING:
        lines = lines[-RUNNING_LINES:]
    with st.expander("Log", icon=":material/notes:", key=f"log-{job.id}"):
        st.code("\n".join(lines) or "Nothing yet.", language=None, wrap_lines=True,
                height=LOG_HEIGHT)  # fmt: skip


def show_unfinished(job: Job) -> None:
    """How a job ended that did not finish, and what can be done about it."""
    with st.container(border=True):
        if job.status == STOPPED:
            st.info(said(job.error))
        else:
            fail(f"the job to {job.action} did not finish: {job.error}")
        left = job.resume_point
        if left == TRAINING:
            st.caption(f"{_kept(job)} kept: Resume goes on from there.")
        elif left:
            st.caption("The training is kept: Resume predicts and scores with it.")
        with st.container(horizontal=True):
            if left and st.button("Resume", type="primary", key=f"resume-{job.id}",
                                        icon=":material/resume:"):  # fmt: skip
                _watch_new(resume, job)
            if st.button("Run again", key=f"again-{job.id}", icon=":material/replay:",
                         help="From the start, with the same settings."):  # fmt: skip
                _watch_new(run_again, job)
            if left and st.button("Discard", key=f"discard-{job.id}",
                                        icon=":material/delete:",
                                        help="What was kept for resuming is deleted."):  # fmt: skip
                discard(job)
                forget()
                st.rerun()
        show_log(job)


def _kept(job: Job) -> str:
    if not job.progress:  # it resumed another, and was not heard of
        return "The finished epochs are"
    epochs = job.finished_epochs
    return f"{epochs} of {job.progress['epochs']} epochs {'is' if epochs == 1 else 'are'}"


@st.fragment(run_every=SIDEBAR_SECONDS)
def show_in_sidebar(jobs: list[Job]) -> None:
    """A line a job, which leads to their page."""
    for job in jobs:
        done = job.status != RUNNING
        share, _ = describe(job)
        label = f"{plain(job.title)}: {'ended' if done else f'{share:.0%}'}"
        icon = ":material/check:" if done else ":material/progress_activity:"
        st.page_link("pages/model/jobs.py", label=label, icon=icon)


def describe(job: Job) -> tuple[float, str]:
    """Share done, 0 to 1, and a line that says what is going on and how long it will take."""
    progress = job.progress
    if not progress:
        return 0.0, f"Starting to {job.action} …"
    words = sentence(progress["stage"])
    if progress["epoch"]:
        words += f" · epoch {progress['epoch']} of {progress['epochs']}"
        if progress["loss"] is not None:
            words += f" · loss {progress['loss']:.3f}"
        if progress["accuracy"] is not None:
            words += f" · accuracy {progress['accuracy']:.3f}"
    if not progress["total"]:
        return 0.0, words + " …"
    if progress["seconds_left"]:
        words += f" · {duration(progress['seconds_left'])} left"
    return min(progress["done"] / progress["total"], 1.0), words


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
