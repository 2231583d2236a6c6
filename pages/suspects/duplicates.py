"""Duplicate images: with different labels, in different splits, or neither."""

import streamlit as st

from labelaudit.features.duplicates import CONFLICTS, OTHERS, SPLITS, WHICH, duplicates, list_groups
from labelaudit.jobs.job import Job
from labelaudit.ui import groups, jobs, state
from labelaudit.ui.text import counted
from labelaudit.ui.total import show_headline

TITLES = {CONFLICTS: "Different labels", SPLITS: "Different splits", OTHERS: "Other duplicates"}
MEANINGS = {
    CONFLICTS: "The same image has several labels, so at least one is wrong. Choose the right "
    "label, then go to **Apply** to change the others.",
    SPLITS: "The same image is in several splits, so test results are too optimistic. Choose where "
    "to remove it, then go to **Apply**.",
    OTHERS: "The same image with the same label in the same split. It counts more than once.",
}

dataset = state.current()
found = duplicates(dataset)


def compared(job: Job) -> None:
    st.success(f"{job.summary}.")


with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    st.title("Duplicates", width="content")
    if found:
        st.page_link("pages/suspects/apply.py", label="Apply verdicts", icon=":material/task_alt:")
show_headline(dataset)
active = jobs.show(dataset.name, ["compare"], compared) == jobs.ACTIVE
added = len(dataset) - found.searched if found else 0
if not found and not active:
    st.info(
        "Find images that occur more than once, also if mirrored or recompressed. Every image "
        "is opened once; no model is needed."
    )
elif found and added:
    many = counted(added, "image", "was not compared: it was", "were not compared: they were")
    st.info(f"{many} added since, or cannot be read.")
if (
    not active
    and (not found or added)
    and st.button(
        "Search again" if found else "Find duplicates", type="primary", icon=":material/search:"
    )
):
    jobs.begin("compare", dataset.name)
if not found:
    st.stop()

counts = {which: len(list_groups(dataset, which)) for which in WHICH}
which = st.segmented_control(
    "Show",
    WHICH,
    default=next((w for w in WHICH if counts[w]), CONFLICTS),
    required=True,
    key=f"duplicates-{dataset.name}",
    label_visibility="collapsed",
    format_func=lambda which: f"{TITLES[which]} · {counts[which]:,}",
)
st.caption(MEANINGS[which])
groups.show(dataset, which, state.reviewer())
