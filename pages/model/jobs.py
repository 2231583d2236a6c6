"""Background jobs: the running ones with progress, and past ones with their result and log."""

import pandas as pd
import streamlit as st

from labelaudit.jobs.files import DIED, DONE, FAILED, RUNNING, STOPPED
from labelaudit.jobs.job import Job
from labelaudit.jobs.manager import list_jobs
from labelaudit.ui import jobs
from labelaudit.ui.text import error_text, plain

SHOWN = 50
MARKS = {DONE: "✓ done", STOPPED: "■ stopped", FAILED: "✕ failed", DIED: "✕ died"}


def choose(past: list[Job]) -> Job:
    """Draw the table of past jobs. Returns the selected job; by default one that can be resumed,
    or the latest."""
    table = pd.DataFrame(
        {
            "status": MARKS[STOPPED if (job.result or {}).get("stopped") else job.status],
            "job": job.title,
            "started": pd.Timestamp(job.created),
            "took": jobs.duration(job.seconds),
            "result": job.summary,
        }
        for job in past
    )
    event = st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        key=f"past-{past[0].id}",  # a new list starts without a selection
        column_config={
            "status": st.column_config.TextColumn(width=85),
            "started": st.column_config.DatetimeColumn(format="distance", width=130),
            "took": st.column_config.TextColumn(width=65),
            "result": st.column_config.TextColumn(width="large"),
        },
    )
    if event.selection.rows:
        return past[event.selection.rows[0]]
    followed = {job.follows for job in past}
    return next((job for job in past if job.id not in followed and job.resumable), past[0])


def show_details(job: Job, followed: bool) -> None:
    st.header(plain(job.title))
    if job.status == DONE:
        st.success(f"{job.summary}, in {jobs.duration(job.seconds)}.")
        jobs.show_log(job)
    elif followed:
        st.info(f"{error_text(job.error)} A later job continued or repeated it.")
        jobs.show_log(job)
    else:
        jobs.show_unfinished(job)


st.title("Jobs")
st.write(
    "Jobs keep running when you close this page or restart the app. Interrupted training can be "
    "resumed from its last complete epoch."
)
running = jobs.show_all_running()
if not running:
    st.caption("No jobs are running.")
everything = list_jobs()
past = [job for job in everything if job.status != RUNNING][:SHOWN]
if not past:
    st.info("No past jobs. Audits, trainings, exports and other long tasks are listed here.")
    if not running:
        st.page_link("pages/start/home.py", label="Start an audit", icon=":material/home:")
    st.stop()
st.header("Past jobs")
st.caption("Select a row to see its log.")
chosen = choose(past)
show_details(chosen, chosen.id in {job.follows for job in everything})
