"""Shows a background job while it runs, and how it ended, without holding up the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from ..errors import LabelAuditError
from ..jobs import DONE, RUNNING, STOPPED, Job, check_idle, list_jobs, running_job, start
from . import charts, state

REFRESH_SECONDS = 0.5
ACTIVE, ENDED, NOTHING = "active", "ended", "nothing"


def begin(kind: str, dataset: str, **options) -> None:
    """Start a job and draw the page again, now with its progress; or say why it cannot start."""
    try:
        st.session_state[state.WATCHED_JOB] = start(kind, dataset, **options).id
    except LabelAuditError as error:
        st.error(sentence(str(error)))
        return
    st.rerun()


def show(dataset: str | None, kinds: Sequence[str], ended: Callable[[Job], None]) -> str:
    """Draw the job that works on this dataset (None: on any), or how the one that this session
    started has ended.

    kinds: of the endings that this page shows. ended: draws the result of a job that is done.
    Returns ACTIVE while a job runs, ENDED where an ending was drawn, else NOTHING.
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
        _ending(watched, ended)
        return ENDED
    return NOTHING


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
        st.info(sentence(str(error)))
        return True
    return False


def _watched() -> Job | None:
    job_id = st.session_state.get(state.WATCHED_JOB)
    return next((job for job in list_jobs() if job.id == job_id), None) if job_id else None


@st.fragment(run_every=REFRESH_SECONDS)
def _progress(job: Job) -> None:
    if job.status != RUNNING:
        st.rerun()  # the whole page: it has a result to show now
    progress = job.progress
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            share, words = describe(job.kind, progress)
            st.progress(share, words)
            stopping = f"stopping-{job.id}"
            asked = st.session_state.get(stopping, False)
            st.button("Stopping …" if asked else "Stop", key=f"stop-{job.id}", width="content",
                      disabled=asked, on_click=_stop, args=(job, stopping))  # fmt: skip
        if progress and progress["curves"]:
            charts.learning_curves(progress["curves"])


def _stop(job: Job, stopping: str) -> None:
    job.stop()
    st.session_state[stopping] = True


def sentence(text: str) -> str:
    """An error's words, as a sentence of their own."""
    return text[:1].upper() + text[1:]


def describe(kind: str, progress: dict | None) -> tuple[float, str]:
    """Share done, 0 to 1, and a line that says what is going on and how long it will take."""
    if not progress:
        return 0.0, f"Starting to {kind} …"
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


def _ending(job: Job, ended: Callable[[Job], None]) -> None:
    status = job.status
    if status == DONE:
        ended(job)
    elif status == STOPPED:
        st.info(sentence(job.error))
    else:
        st.error(f"The job to {job.kind} {job.dataset} did not finish: {job.error}")
