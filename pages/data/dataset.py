"""Load a dataset, and look at the chosen one."""

from pathlib import Path

import pandas as pd
import streamlit as st

from labelaudit.dataset import delete_dataset, list_datasets
from labelaudit.errors import LabelAuditError
from labelaudit.home import local_home
from labelaudit.jobs import Job
from labelaudit.sources import ZOO
from labelaudit.ui import charts, grid, jobs, state

ANY = "any"


def loaded(job: Job) -> None:
    """Choose the new dataset, once: only now is it in the picker's list."""
    name = job.result["dataset"]
    jobs.forget()
    st.toast(f"{name}: {job.result['samples']:,} samples are loaded.")
    if dataset.name != name and name in list_datasets():
        state.choose(name)
        st.rerun()


def keep_upload(upload) -> str:
    folder = local_home() / "uploads"
    folder.mkdir(exist_ok=True)
    path = folder / upload.name.replace("/", "_").replace("\\", "_")
    path.write_bytes(upload.getbuffer())
    return str(path)


@st.dialog("Load a dataset", width="medium")
def load_form() -> None:
    zoo, folder, upload = st.tabs(["Well-known", "Folder or file on this machine", "Upload"])
    with zoo:
        name = st.selectbox("Dataset", list(ZOO), format_func=lambda n: ZOO[n].title, key="zoo")
        st.caption(ZOO[name].about)
        if st.button("Load", key="load-zoo", type="primary"):
            jobs.begin("load", name)
    with folder:
        path = st.text_input(
            "Path", key="path", placeholder="/data/pets",
            help="A folder of class folders (train and test folders on top are understood), a "
            "manifest (CSV, JSON lines, Parquet with filepath and label), or a zip of either. "
            "Files are read where they lie.",
        )  # fmt: skip
        own = Path(path).stem if path else ""
        name = st.text_input("Name for it", key="path-name", placeholder=own or "pets") or own
        if st.button("Load", key="load-path", type="primary", disabled=not path):
            jobs.begin("load", name, source=path)
    with upload:
        file = st.file_uploader(
            "A zip of class folders, or a manifest", key="upload",
            type=["zip", "csv", "tsv", "jsonl", "parquet"],
        )  # fmt: skip
        root = None
        if file and not file.name.endswith(".zip"):
            root = st.text_input(
                "Folder that its paths are relative to", key="upload-root",
                placeholder="leave empty where they are whole",
            ) or None  # fmt: skip
        own = Path(file.name).stem if file else ""
        name = st.text_input("Name for it", key="upload-name", placeholder=own or "pets") or own
        if st.button("Load", key="load-upload", type="primary", disabled=not file):
            jobs.begin("load", name, source=keep_upload(file), root=root)


def account(dataset) -> None:
    """What is in it, in figures, and what was left out."""
    info = dataset.info
    splits = info["splits"] or {}
    figures = [("Samples", info["samples"]), ("Classes", len(info["classes"]))]
    figures += [(f"In {name}", count) for name, count in list(splits.items())[:3]]
    if info["samples"] - info["labelled"]:
        figures.append(("Without a label", info["samples"] - info["labelled"]))
    if info["tags"].get("mistake"):
        figures.append(("Planted", info["tags"]["mistake"]))
    with st.container(horizontal=True, gap="medium"):
        for title, value in figures:
            st.metric(title, f"{value:,}", width="content")
    skipped = info["skipped"]
    if skipped["count"]:
        with st.expander(f"Images left out: {skipped['count']:,}", icon=":material/warning:"):
            st.dataframe(pd.DataFrame(skipped["files"]), hide_index=True, width="stretch")


def class_chart(dataset) -> None:
    if not dataset.classes:
        st.info("No sample has a label: there is nothing to audit.")
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
    charts.class_counts(pd.DataFrame(rows), dataset.classes)


def filters(dataset):
    """The sidebar's filters, as a view."""
    info = dataset.info
    view = dataset.view()
    with st.sidebar:
        st.markdown("**Show**")
        label = st.selectbox("Class", [ANY, *dataset.classes], key="show-class")
        left, right = st.columns(2, gap="small")
        split = left.selectbox("Split", [ANY, *info["splits"]], key="show-split")
        tag = right.selectbox("Tag", [ANY, *info["tags"]], key="show-tag")
        mixed = st.toggle("In random order", key="show-mixed")
    view = view.match(label=None if label == ANY else label, split=None if split == ANY else split)
    view = view if tag == ANY else view.match_tag(tag)
    return view.sample(len(dataset), seed=0) if mixed else view


def delete_button(dataset) -> None:
    # a key of its own for each dataset: it must not stay open over the next one
    with st.popover("Delete", icon=":material/delete:", key=f"delete-{dataset.name}"):
        st.write(f"Delete {dataset.name} with its runs? The source images are not touched.")
        if not jobs.busy(dataset.name) and st.button("Delete it", type="primary"):
            try:
                delete_dataset(dataset.name)
            except LabelAuditError as error:
                st.error(str(error))
            else:
                st.rerun()


dataset = state.current()
title, actions = st.columns([5, 2], vertical_alignment="bottom")
title.title(dataset.name)
with actions, st.container(horizontal=True, horizontal_alignment="right"):
    delete_button(dataset)
    if st.button("Load a dataset", type="primary", icon=":material/add:"):
        load_form()
st.caption(f"From {dataset.info['source']}, loaded {dataset.created[:16].replace('T', ' ')}")
jobs.show(None, ["load"], loaded)
account(dataset)
if not dataset.runs:
    st.page_link("pages/start/home.py", label="Next: audit it in one go",
                 icon=":material/play_arrow:")  # fmt: skip
class_chart(dataset)
view = filters(dataset)
if len(view):
    grid.paged(view, "dataset")
else:
    st.info("No sample fits these filters: widen them in the sidebar.")
