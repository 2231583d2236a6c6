"""Load datasets and browse the selected one."""

import pandas as pd
import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset.dataset import delete_dataset
from labelaudit.predictions.cleanlab_issues import import_issues
from labelaudit.ui import (
    charts,
    class_editor,
    field_filter,
    grid,
    jobs,
    load_form,
    state,
    tag_form,
    uploads,
)
from labelaudit.ui.text import counted, plain, show_error
from labelaudit.ui.total import show_headline

ANY = "any"


def issues_button(dataset) -> None:
    with st.popover("Import issues", icon=":material/sell:", key=f"issues-{dataset.name}"):
        st.write("Import cleanlab's findings as tags, to filter by.")
        file = st.file_uploader(
            "issues.csv",
            key=f"issues-file-{dataset.name}",
            type=["csv", "tsv", "jsonl", "parquet"],
            help="A table with columns such as is_label_issue, written by Datalab, CleanLearning, "
            "CleanVision or Studio. Rows are matched by a column id or filepath, by the pandas "
            "index, or by order.",
        )
        if not st.button("Tag the samples", type="primary", disabled=not file):
            return
        try:
            report = import_issues(dataset, uploads.store(file))
        except LabelAuditError as error:
            show_error(error)
            return
        found = ", ".join(f"{plain(tag)}: {count:,}" for tag, count in report["tags"].items())
        st.success(f"Samples tagged: {found}. Filter by these tags in the sidebar or on Review.")
        if report["outdated"]:
            since = counted(report["outdated"], "sample", "was relabelled", "were relabelled")
            st.caption(f"{since} since, and not tagged.")
        if report["unmatched"]["count"]:
            rows = counted(report["unmatched"]["count"], "row", "matches", "match")
            st.caption(f"{rows} no sample.")


def show_figures(dataset) -> None:
    """Show how much the dataset holds, and which images were skipped."""
    info = dataset.info
    splits = info["splits"] or {}
    figures = [("Samples", info["samples"]), ("Classes", len(dataset.offered_classes))]
    figures += [(f"In {plain(name)}", count) for name, count in list(splits.items())[:3]]
    if info["samples"] - info["labelled"]:
        figures.append(("Without a label", info["samples"] - info["labelled"]))
    if info["tags"].get("mistake"):
        figures.append(("Planted mistakes", info["tags"]["mistake"]))
    with st.container(horizontal=True, gap="medium"):
        for title, value in figures:
            st.metric(title, f"{value:,}", width="content")
    skipped = info["skipped"]
    for note in skipped.get("notes", []):
        st.caption(plain(note))
    if skipped["count"]:
        with st.expander(f"Images skipped: {skipped['count']:,}", icon=":material/warning:"):
            st.dataframe(pd.DataFrame(skipped["files"]), hide_index=True, width="stretch")
    if others := skipped.get("others"):
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in others.items())
        st.caption(f"Not read: {plain(kinds)}.")


def class_chart(dataset) -> None:
    if not dataset.classes:
        st.info("No sample has a label, so there is nothing to audit.")
        return
    whole = dataset.view().count_values("ground_truth")
    rows = []
    for split in dataset.info["splits"]:
        counts = dataset.view().match(split=split).count_values("ground_truth")
        rows += [{"class": c, "split": split, "count": n} for c, n in counts.items()]
        whole = {c: whole[c] - n for c, n in counts.items()}
    rest = "no split" if rows else "all"
    if any(whole.values()):
        rows += [{"class": c, "split": rest, "count": n} for c, n in whole.items()]
    listed = dataset.offered_classes
    unlisted = [name for name in dataset.classes if name not in set(listed)]
    charts.class_counts(pd.DataFrame(rows), [*listed, *unlisted])


def filters(dataset):
    """Draw the sidebar's filters. Returns the matching view."""
    info = dataset.info
    view = dataset.view()
    with st.sidebar:
        st.markdown("**Show**")
        text = st.text_input("Find", key="show-find", placeholder="file name or id").strip()
        label = st.selectbox("Class", [ANY, *dataset.offered_classes], key="show-class")
        left, right = st.columns(2, gap="small")
        split = left.selectbox("Split", [ANY, *info["splits"]], key="show-split")
        tag = right.selectbox("Tag", [ANY, *info["tags"]], key="show-tag")
        view = field_filter.choose(view, "show")
        shuffled = st.toggle("Random order", key="show-shuffled")
    view = view.match(label=None if label == ANY else label, split=None if split == ANY else split)
    view = view if tag == ANY else view.match_tag(tag)
    view = view.search(text) if text else view
    return view.sample(len(dataset), seed=0) if shuffled else view


def delete_button(dataset) -> None:
    # one key per dataset: the popover must not stay open for the next dataset
    with st.popover("Delete", icon=":material/delete:", key=f"delete-{dataset.name}"):
        st.write(f"Delete {dataset.name} and its runs? The source images are not touched.")
        if not jobs.busy(dataset.name) and st.button("Delete dataset", type="primary"):
            try:
                delete_dataset(dataset.name)
            except LabelAuditError as error:
                show_error(error)
            else:
                st.rerun()


dataset = state.current()
title, actions = st.columns([4, 5], vertical_alignment="top")
title.title(dataset.name)
with actions, st.container(horizontal=True, horizontal_alignment="right"):
    if st.button("Classes", icon=":material/category:"):
        class_editor.show(dataset)
    issues_button(dataset)
    delete_button(dataset)
    if st.button("Load a dataset", type="primary", icon=":material/add:"):
        load_form.show()
loaded_at = dataset.created[:16].replace("T", " ")
st.caption(f"Loaded from {plain(dataset.info['source'])} on {loaded_at} UTC")
show_headline(dataset)
jobs.show(None, ["load"], load_form.select_loaded)
show_figures(dataset)
if not dataset.runs:
    st.page_link(
        "pages/start/home.py", label="Next: audit this dataset", icon=":material/play_arrow:"
    )
class_chart(dataset)
view = filters(dataset)
tag_form.popover(view, f"dataset-{dataset.name}")
if len(view):
    grid.paged(view, "dataset")
else:
    st.info("No samples match these filters. Change them in the sidebar.")
