"""Pictures that are there more than once: with two labels, in two splits, or just twice."""

import streamlit as st

from labelaudit.features.duplicates import CONFLICTS, OTHERS, SPLITS, WHICH, duplicates, list_groups
from labelaudit.jobs.job import Job
from labelaudit.ui import groups, jobs, state

TITLES = {CONFLICTS: "Different labels", SPLITS: "In different splits", OTHERS: "The others"}
MEANINGS = {
    CONFLICTS: "One picture, two labels: one of them is wrong, for certain where the pixels are "
    "the same. Say which label is right; **Apply** then changes the others.",
    SPLITS: "What is tested was learned, so that the test flatters. Removed are images only once "
    "you **Apply**.",
    OTHERS: "Same label, same split: these only count more than once.",
}

dataset = state.current()
found = duplicates(dataset)


def compared(job: Job) -> None:
    st.success(f"{job.summary}.")


with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    st.title("Duplicates", width="content")
    if found:
        st.page_link("pages/suspects/apply.py", label="Apply the verdicts",
                     icon=":material/task_alt:")  # fmt: skip
active = jobs.show(dataset.name, ["compare"], compared) == jobs.ACTIVE
added = len(dataset) - found.searched if found else 0
if not found and not active:
    st.info("Duplicates have not been looked for yet. It needs no model: every image is opened "
            "once, and compared with all others, also mirrored or recompressed.")  # fmt: skip
elif found and added:
    st.info(f"{added:,} images were not compared: added since, or they cannot be read.")
if not active and (not found or added) and st.button(
    "Look again" if found else "Look for duplicates", type="primary", icon=":material/search:"
):  # fmt: skip
    jobs.begin("compare", dataset.name)
if not found:
    st.stop()

counts = {which: len(list_groups(dataset, which)) for which in WHICH}
which = st.segmented_control(
    "Show", WHICH, default=next((w for w in WHICH if counts[w]), CONFLICTS), required=True,
    key=f"duplicates-{dataset.name}", label_visibility="collapsed",
    format_func=lambda which: f"{TITLES[which]} · {counts[which]:,}",
)  # fmt: skip
st.caption(MEANINGS[which])
groups.show(dataset, which, state.reviewer())
