"""Shows background jobs: their progress while they run, and their result."""

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
from .text import counted, error_text, plain, sentence, show_error, verb

REFRESH_SECONDS = 0.5
SIDEBAR_SECONDS = 2.0
SHOWN_LOG = 20_000  # last characters of a log
LOG_HEIGHT = 240
RUNNING_LINES = 9  # as many as fit into LOG_HEIGHT
IMAGE_STAGES = ("extracting features", "checking image quality")  # shown with images/s
SCORING = ("audit", "look", "predict", "score", "import")  # kinds of jobs that make scores
ACTIVE, ENDED, NOTHING = "active", "ended", "nothing"


def begin(kind: str, dataset: str, **options) -> None:
    """Start a job and draw the page again with its progress; show an error if it cannot start."""
    _watch_new(start, kind, dataset, **options)


def _watch_new(start_job: Callable[..., Job], *arguments, **options) -> None:
    try:
        st.session_state[state.WATCHED_JOB] = start_job(*arguments, **options).id
    except LabelAuditError as error:
        show_error(error)
        return
    st.rerun()


def show(
    dataset: str | None,
    kinds: Sequence[str],
    ended: Callable[[Job], None],
    also_others: bool = True,
) -> str:
    """Draw the running job of this dataset (None: of any), or the result of the job that this
    session started.

    kinds: the kinds of jobs with results on this page. ended: draws the result of a job.
    also_others: offer to resume the dataset's latest job if it was interrupted, even if another
    session started it. Returns ACTIVE while a job runs, ENDED if a result was drawn, else NOTHING.
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


def show_watched(kind: str, ended: Callable[[Job], None]) -> str:
    """Draw the job that this session started, if it is of this kind. Returns as `show` does."""
    job = _watched()
    return show(None, [kind], ended) if job and job.kind == kind else NOTHING


def scored_runs(dataset: Dataset, title: str) -> list[str]:
    """Return the names of the runs with scores, latest first, first looks last. If there are none,
    say what to do and stop the page."""
    looks = [name for name in dataset.runs if dataset.run(name).is_first_look]
    others = [name for name in dataset.runs[::-1] if name not in looks]
    runs = [name for name in [*others, *looks] if dataset.run(name).score_names()]
    if not runs:
        st.title(title)
        show_running(dataset.name)
        job = running_job(dataset.name)
        if job and job.kind in SCORING:
            st.info("The running job computes the scores. The suspects come with them.")
            st.stop()
        predicted = [name for name in [*others, *looks] if dataset.run(name).has_predictions()]
        if predicted:
            st.info(f"Run {plain(predicted[0])} is predicted, but has no scores yet.")
            st.page_link(
                "pages/model/predict.py", label="Score the run", icon=":material/calculate:"
            )
            st.stop()
        st.info(
            "This dataset has no scores yet. Audit it, or import the predictions of your own model."
        )
        st.page_link(
            "pages/start/home.py", label=f"Audit {dataset.name}", icon=":material/play_arrow:"
        )
        st.page_link(
            "pages/model/predict.py",
            label="Import your own predictions",
            icon=":material/upload_file:",
        )
        st.stop()
    return runs


def show_running(dataset: str) -> None:
    """Draw the running job of this dataset, on a page that waits for its result."""
    show(dataset, [], lambda job: None)


def forget() -> None:
    """Stop showing the result of the watched job."""
    st.session_state.pop(state.WATCHED_JOB, None)


def forget_ended() -> None:
    """Stop showing an ended job's result, because another dataset was selected."""
    job = _watched()
    if job and job.status != RUNNING:
        forget()


def busy(dataset: str) -> bool:
    """Whether a job is using this dataset, so that its labels cannot be changed. Shows which."""
    try:
        check_idle(dataset)
    except LabelAuditError as error:
        st.info(error_text(error))
        return True
    return False


def _watched() -> Job | None:
    job_id = st.session_state.get(state.WATCHED_JOB)
    return find_job(job_id) if job_id else None


@st.fragment(run_every=REFRESH_SECONDS)
def _progress(job: Job, with_log: bool = False) -> None:
    """with_log: show the job's name and log instead of its learning curves."""
    if job.status != RUNNING:
        st.rerun()  # the whole page, which now has a result to show
    progress = job.progress
    with st.container(border=True):
        if with_log:
            st.markdown(f"**{plain(job.title)}**")
        with st.container(horizontal=True, vertical_alignment="center"):
            share, text = describe(job)
            st.progress(share, plain(text))
            stopping = job.stop_requested
            st.button(
                "Stopping …" if stopping else "Stop",
                key=f"stop-{job.id}",
                width="content",
                disabled=stopping,
                on_click=job.stop,
            )
        if progress and (look := progress.get("first_look")):
            st.page_link(
                "pages/suspects/review.py",
                icon=":material/bolt:",
                query_params={"dataset": job.dataset, "run": look["run"]},
                label=f"First look: {counted(look['suspects'], 'suspect')} ready to review",
            )
        if with_log:
            show_log(job)
        elif progress and progress["curves"]:
            charts.learning_curves(progress["curves"])


def show_all_running() -> int:
    """Draw the running jobs of all datasets. Returns their number."""
    running = running_jobs()
    for job in running:
        _progress(job, with_log=True)
    return len(running)


def show_log(job: Job) -> None:
    """Draw the job's log; while it runs, only the last lines."""
    lines = job.log[-SHOWN_LOG:].strip().splitlines()
    if job.status == RUNNING:
        lines = lines[-RUNNING_LINES:]
    with st.expander("Log", icon=":material/notes:", key=f"log-{job.id}"):
        st.code(
            "\n".join(lines) or "The log is empty.",
            language=None,
            wrap_lines=True,
            height=LOG_HEIGHT,
        )


def show_unfinished(job: Job) -> None:
    """Show why a job did not finish, with buttons to resume, repeat or discard it."""
    with st.container(border=True):
        if job.status == STOPPED:
            st.info(error_text(job.error))
        else:
            show_error(f"the job to {job.action} did not finish: {job.error}")
        left = job.resume_point
        if left == TRAINING:
            st.caption(f"{_stored_epochs(job)} stored. Resume continues from there.")
        elif left:
            st.caption("The trained model is stored. Resume predicts and scores with it.")
        with st.container(horizontal=True):
            if left and st.button(
                "Resume", type="primary", key=f"resume-{job.id}", icon=":material/resume:"
            ):
                _watch_new(resume, job)
            if st.button(
                "Run again",
                key=f"again-{job.id}",
                icon=":material/replay:",
                help="Start again with the same settings.",
            ):
                _watch_new(run_again, job)
            if left and st.button(
                "Discard",
                key=f"discard-{job.id}",
                icon=":material/delete:",
                help="Delete the data stored for resuming.",
            ):
                discard(job)
                forget()
                st.rerun()
        show_log(job)


def _stored_epochs(job: Job) -> str:
    if not job.progress:  # it resumed another job and ended before its first report
        return "The finished epochs are"
    epochs = job.finished_epochs
    return f"{epochs:,} of {counted(job.progress['epochs'], 'epoch')} {verb(epochs)}"


@st.fragment(run_every=SIDEBAR_SECONDS)
def show_in_sidebar(jobs: list[Job]) -> None:
    """Draw one line per job, linked to the Jobs page."""
    for job in jobs:
        done = job.status != RUNNING
        share, _ = describe(job)
        label = f"{plain(job.title)}: {'ended' if done else f'{share:.0%}'}"
        icon = ":material/check:" if done else ":material/progress_activity:"
        st.page_link("pages/model/jobs.py", label=label, icon=icon)


def describe(job: Job) -> tuple[float, str]:
    """Return the share done, 0 to 1, and a line with the current step and the time left.

    Share and time are those of the whole job, also if it has several stages.
    """
    progress = job.progress
    if not progress:
        return 0.0, f"Starting to {job.action} …"
    text = sentence(progress["stage"])
    if progress["epoch"]:
        text += f" · epoch {progress['epoch']} of {progress['epochs']}"
        if progress["loss"] is not None:
            text += f" · loss {progress['loss']:.3f}"
        if progress["accuracy"] is not None:
            text += f" · accuracy {progress['accuracy']:.3f}"
    total, left = progress["total"], progress["seconds_left"]
    if total and left and progress["stage"].startswith(IMAGE_STAGES):
        text += f" · {(total - progress['done']) / left:,.0f} images/s"
    share = min(progress["done"] / total, 1.0) if total else 0.0
    if overall := progress.get("overall"):
        share, left = overall["share"], overall["seconds_left"]
    elif not total:
        return 0.0, text + " …"
    return share, text + (f" · {duration(left)} left" if left else " …")


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
