"""Long work: what runs now, and how the jobs before have ended."""

import pandas as pd
import streamlit as st

from labelaudit.jobs.files import DIED, DONE, FAILED, RUNNING, STOPPED
from labelaudit.jobs.job import Job
from labelaudit.jobs.manager import list_jobs
from labelaudit.ui import jobs
from labelaudit.ui.words import plain, said

SHOWN = 50
MARKS = {DONE: "✓ done", STOPPED: "■ stopped", FAILED: "✕ failed", DIED: "✕ died"}


def choose(past: list[Job]) -> Job:
    """The table of past jobs. Returns the one whose row is chosen; else one that waits to be
    resumed, else the latest."""
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
        table, hide_index=True, width="stretch", on_select="rerun", selection_mode="single-row",
        key=f"past-{past[0].id}",  # another list, nothing chosen
        column_config={
            "status": st.column_config.TextColumn(width=85),
            "started": st.column_config.DatetimeColumn(format="distance", width=130),
            "took": st.column_config.TextColumn(width=65),
            "result": st.column_config.TextColumn(width="large"),
        },
    )  # fmt: skip
    if event.selection.rows:
        return past[event.selection.rows[0]]
    followed = {job.follows for job in past}
    return next((job for job in past if job.id not in followed and job.resumable), past[0])


def show_details(job: Job, followed: bool) -> None:
    st.subheader(plain(job.title))
    if job.status == DONE:
        st.success(f"{job.summary}, in {jobs.duration(job.seconds)}.")
        jobs.show_log(job)
    elif followed:
        st.info(f"{said(job.error)} A later job went on with it, or did it again.")
        jobs.show_log(job)
    else:
        jobs.show_unfinished(job)


st.title("Jobs")
st.write(
    "Long work goes on when this page is closed, and when the app is restarted. Training that was "
    "cut short can be resumed from its last whole epoch."
)
if not jobs.show_all_running():
    st.caption("Nothing is running.")
everything = list_jobs()
past = [job for job in everything if job.status != RUNNING][:SHOWN]
if not past:
    st.info("No job has ended yet: train a model, and it will be listed here.")
    st.page_link("pages/model/train.py", label="Train one", icon=":material/model_training:")
    st.stop()
st.subheader("Past jobs")
st.caption("Choose a row to see its log.")
chosen = choose(past)
show_details(chosen, chosen.id in {job.follows for job in everything})
