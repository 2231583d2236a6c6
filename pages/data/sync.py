"""What changed in the source of a dataset, and a button that takes it over."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.jobs.job import Job
from labelaudit.jobs.kinds import LISTED
from labelaudit.living.sync_plan import check_syncable
from labelaudit.storage.schema import NEW
from labelaudit.ui import jobs, paths, state
from labelaudit.ui.sync_conflicts import show_conflicts
from labelaudit.ui.text import counted, error_text, plain, show_error
from labelaudit.ui.total import show_headline

# title and columns of each list of `SyncPlan.to_dict`
LISTS = {
    "added": ("New images", ["path"]),
    "replaced": ("Replaced by another image", ["id", "path"]),
    "gone": ("Gone", ["id", "path"]),
    "returned": ("Back again", ["id", "path"]),
    "moved": ("Moved or renamed", ["id", "path before", "path now"]),
    "relabelled": ("Labels changed in the source", ["id", "path", "label before", "label now"]),
}

dataset = state.current()


def read_button(kind: str) -> None:
    """Draw the button that reads the source, with its options. kind: as of `st.button`."""
    with st.expander("Options"):
        moved = st.text_input(
            "Source, if it was moved",
            key="sync-source",
            placeholder=dataset.view().frame.meta["origin"]["source"],
        ).strip()
        every = st.checkbox(
            "Compare the content of all files",
            key="sync-every",
            help="Otherwise a file with the same size and time of change is taken as unchanged.",
        )
    if st.button("Read the source again", type=kind, icon=":material/sync:"):
        begin(source=moved or None, every_file=every)


def begin(source: str | None, every_file: bool, **options) -> None:
    """Start the job, if the source may be read from this page."""
    place = source or dataset.view().frame.meta["origin"]["source"]
    try:
        if not place.startswith("hf:"):
            paths.typed(place, remote=True)
    except LabelAuditError as error:
        show_error(error)
        return
    jobs.begin(
        "sync",
        dataset.name,
        source=source,
        every_file=every_file,
        within=paths.allowed(),
        **options,
    )


def result(job: Job) -> None:
    """Draw what a job found, or took over."""
    found = job.result
    if found["applied"]:
        taken_over(found)
        return
    for note in class_notes(found):
        st.markdown(f"- {plain(note)}")
    if not any(found["counts"].values()) and not class_notes(found):
        st.success("Nothing changed in the source.")
        show_skipped(found)
        return
    with st.container(horizontal=True, gap="medium"):
        for name, count in found["counts"].items():
            if count:
                st.metric(name.capitalize(), f"{count:,}", width="content")
    chosen = {}
    if found["conflicts"]:
        chosen = show_conflicts(dataset, found["digest"], found["conflicts"])
    take_over_button(found, chosen)
    replaced = {path for _, path in found["replaced"]}
    lists = {**found, "added": [path for path in found["added"] if path not in replaced]}
    for name, (title, columns) in LISTS.items():
        table(title, found["counts"][name], lists[name], columns)
    show_skipped(found)


def class_notes(found: dict) -> list[str]:
    renamed = [f"Class {old} is called {new} now." for old, new in found["renamed_classes"].items()]
    new = [f"Class {name} is new." for name in found["new_classes"]]
    return renamed + new


def take_over_button(found: dict, chosen: dict[str, str]) -> None:
    left = found["counts"]["conflicts"] - len(chosen)
    if left:
        st.caption(f"{counted(left, 'conflict')} undecided.")
    if not jobs.busy(dataset.name) and st.button(
        "Take the changes over", type="primary", icon=":material/task_alt:", key="sync-apply"
    ):
        begin(**found["options"], seen=found["digest"], prefer=chosen, who=state.reviewer())


def taken_over(found: dict) -> None:
    st.success(f"{plain(found['message'].capitalize())}.")
    st.caption("This is one step of the history. **History** can return to the labels before it.")
    if found["counts"]["added"] + found["counts"]["replaced"]:
        st.page_link(
            "pages/start/home.py", label="Next: audit the new images", icon=":material/play_arrow:"
        )


def table(title: str, count: int, rows: Sequence, columns: list[str]) -> None:
    if not rows:
        return
    more = f" (first {LISTED:,})" if len(rows) < count else ""
    with st.expander(f"{title}: {count:,}{more}"):
        st.dataframe(
            pd.DataFrame(rows, columns=columns),
            hide_index=True,
            width="stretch",
            column_config={"id": st.column_config.NumberColumn(format="%d", width="small")},
        )


def show_skipped(found: dict) -> None:
    skipped = found["skipped"]
    if skipped["count"]:
        with st.expander(f"Images skipped: {skipped['count']:,}", icon=":material/warning:"):
            st.dataframe(pd.DataFrame(skipped["files"]), hide_index=True, width="stretch")


def new_images() -> None:
    """Draw links to the images of the last sync that added some."""
    count = dataset.info["tags"].get(NEW, 0)
    if not count:
        return
    st.header("New since the last sync")
    st.write(f"{counted(count, 'sample')} with the tag `{NEW}`.")
    if any(dataset.run(name).score_names() for name in dataset.runs):
        st.page_link(
            "pages/suspects/review.py",
            label="Review the suspects among them",
            icon=":material/rate_review:",
            query_params={"dataset": dataset.name, "tag": NEW},
        )


st.title("Sync")
show_headline(dataset)
st.caption(
    "Reads the source of the dataset again, and shows what changed: images, labels and classes. "
    f"Nothing is changed here until you take it over. Source: {plain(dataset.info['source'])}"
)
try:
    check_syncable(dataset)
except LabelAuditError as error:
    st.info(error_text(error))
    st.stop()
shown = jobs.show(dataset.name, ["sync"], result, also_others=False)
if shown != jobs.ACTIVE:
    read_button("secondary" if shown == jobs.ENDED else "primary")
    new_images()
