"""Load a dataset, and look at the chosen one."""

import pandas as pd
import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset.dataset import delete_dataset, list_datasets
from labelaudit.jobs.job import Job
from labelaudit.predictions.cleanlab_issues import import_issues
from labelaudit.sources import SUFFIXES, ZOO, default_name, help_lines
from labelaudit.ui import charts, grid, jobs, paths, state, uploads
from labelaudit.ui.words import fail, plain

ANY = "any"
ROWS = "\n".join(f"| {kind} | {looks} |" for kind, looks in help_lines())
KINDS = f"| | how it looks |\n| --- | --- |\n{ROWS}"


def loaded(job: Job) -> None:
    """Choose the new dataset, once: only now is it in the picker's list."""
    name = job.result["dataset"]
    jobs.forget()
    st.toast(f"{name}: {job.result['samples']:,} samples are loaded.")
    if dataset.name != name and name in list_datasets():
        state.choose(name)
        st.rerun()


def named(key: str, source: str) -> str:
    own = default_name(source) if source else ""
    return st.text_input("Name for it", key=f"{key}-name", placeholder=own or "pets") or own


def options(key: str, with_root: bool) -> tuple[str | None, str | None]:
    """What few need: the column with the labels, and the folder that paths are relative to."""
    left, right = st.columns(2)
    label = left.text_input(
        "Label column", key=f"{key}-label", placeholder="found by itself",
        help="The column, field or control with the labels, where there are several.",
    ).strip()  # fmt: skip
    root = with_root and right.text_input(
        "Folder of the images", key=f"{key}-root", placeholder="that of the list",
        help="For a list of images: what the paths in it are relative to.",
    ).strip()  # fmt: skip
    return label or None, root or None


def load(name: str, source, label: str | None, root: str | None = None) -> None:
    """source: a path that was typed, an address of the hub, or an upload."""
    try:
        if not isinstance(source, str):
            source = uploads.keep(source)
        elif not source.startswith("hf:"):
            source = paths.typed(source, remote=True)
        root = root and paths.typed(root, remote=True)
    except LabelAuditError as error:
        fail(error)
        return
    jobs.begin("load", name, source=source, label=label, root=root, within=paths.allowed())


@st.dialog("Load a dataset", width="medium")
def load_form() -> None:
    zoo, folder, hub, upload = st.tabs(
        ["Well-known", "Folder or file on this machine", "Hugging Face", "Upload"]
    )
    with zoo:
        name = st.selectbox("Dataset", list(ZOO), format_func=lambda n: ZOO[n].title, key="zoo")
        st.caption(ZOO[name].about)
        if st.button("Load", key="load-zoo", type="primary"):
            jobs.begin("load", name)
    with folder:
        path = st.text_input("Path", key="path", placeholder="/data/pets").strip()
        st.caption(
            "Class folders, a list of images (CSV, JSON, Parquet), COCO, or what Hugging Face, "
            "FiftyOne or Label Studio wrote; also zipped. Which of them it is, is recognised. "
            "Files are read where they lie; of `s3://bucket/pets`, a folder in object storage, "
            "images are copied into the dataset."
        )
        with st.expander("How each of them looks"):
            st.markdown(KINDS)
        name = named("path", path)
        label, root = options("path", with_root=True)
        if st.button("Load", key="load-path", type="primary", disabled=not path):
            load(name, path, label, root)
    with hub:
        owner = st.text_input(
            "Dataset of the hub", key="hub", placeholder="owner/name, or owner/name@configuration"
        ).strip()
        st.caption("Fetched over the network. It needs the package: pip install datasets")
        source = f"hf:{owner.removeprefix('hf:')}"
        name = named("hub", source if owner else "")
        label, _ = options("hub", with_root=False)
        if st.button("Load", key="load-hub", type="primary", disabled=not owner):
            load(name, source, label)
    with upload:
        file = st.file_uploader(
            "A zip of a folder, or a list of images that lie on this machine", key="upload",
            type=["zip", *sorted(suffix[1:] for suffix in SUFFIXES)],
        )  # fmt: skip
        name = named("upload", file.name if file else "")
        label, root = options("upload", with_root=bool(file and not file.name.endswith(".zip")))
        if st.button("Load", key="load-upload", type="primary", disabled=not file):
            load(name, file, label, root)


def issues_button(dataset) -> None:
    with st.popover("Import issues", icon=":material/sell:", key=f"issues-{dataset.name}"):
        st.write("What cleanlab found in this dataset, as tags to filter by.")
        file = st.file_uploader(
            "issues.csv", key=f"issues-file-{dataset.name}",
            type=["csv", "tsv", "jsonl", "parquet"],
            help="Columns is_label_issue and the like, as Datalab, CleanLearning, CleanVision and "
            "Studio write them. Rows are matched by a column id or filepath, by pandas' index, or "
            "in order.",
        )  # fmt: skip
        if not st.button("Tag the samples", type="primary", disabled=not file):
            return
        try:
            report = import_issues(dataset, uploads.keep(file))
        except LabelAuditError as error:
            fail(error)
            return
        found = ", ".join(f"{count:,} have {plain(tag)}" for tag, count in report["tags"].items())
        st.success(f"{found}. Choose the tag in the sidebar, or on Review.")
        if report["outdated"]:
            st.caption(f"{report['outdated']:,} have another label by now: left as they are.")
        if report["unmatched"]["count"]:
            st.caption(f"{report['unmatched']['count']:,} rows belong to no sample.")


def account(dataset) -> None:
    """What is in it, in figures, and what was left out."""
    info = dataset.info
    splits = info["splits"] or {}
    figures = [("Samples", info["samples"]), ("Classes", len(info["classes"]))]
    figures += [(f"In {plain(name)}", count) for name, count in list(splits.items())[:3]]
    if info["samples"] - info["labelled"]:
        figures.append(("Without a label", info["samples"] - info["labelled"]))
    if info["tags"].get("mistake"):
        figures.append(("Planted mistakes", info["tags"]["mistake"]))
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
                fail(error)
            else:
                st.rerun()


dataset = state.current()
title, actions = st.columns([4, 5], vertical_alignment="bottom")
title.title(dataset.name)
with actions, st.container(horizontal=True, horizontal_alignment="right"):
    issues_button(dataset)
    delete_button(dataset)
    if st.button("Load a dataset", type="primary", icon=":material/add:"):
        load_form()
st.caption(f"From {plain(dataset.info['source'])}, loaded {dataset.created[:16].replace('T', ' ')}")
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
