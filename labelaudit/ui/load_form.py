"""The dialog that loads a dataset, on the Start and Dataset pages."""

from __future__ import annotations

import streamlit as st

from ..core.errors import BadInputError, LabelAuditError
from ..dataset.dataset import list_datasets
from ..jobs.job import Job
from ..sources import SUFFIXES, ZOO, default_name, help_lines
from ..storage.paths import check_name
from . import jobs, load_preview, paths, state, uploads
from .text import counted, plain, show_error

ROWS = "\n".join(f"| {kind} | {looks} |" for kind, looks in help_lines())
FORMATS = f"| format | what it looks like |\n| --- | --- |\n{ROWS}"


def select_loaded(job: Job) -> None:
    """Select the dataset that a job loaded, once: it was not in the picker's list before."""
    name = job.result["dataset"]
    jobs.forget()
    st.toast(f"{plain(name)}: {counted(job.result['samples'], 'sample')} loaded.")
    if st.session_state[state.DATASET] != name and name in list_datasets():
        state.choose(name)
        st.rerun()


@st.dialog("Load a dataset", width="medium")
def show() -> None:
    """Draw the dialog. Errors are shown in it, so what was typed is kept."""
    folder, upload, hub, zoo = st.tabs(
        ["Folder or file", "Upload", "Hugging Face", "Public datasets"]
    )
    with folder:
        _folder_form()
    with upload:
        _upload_form()
    with hub:
        _hub_form()
    with zoo:
        _zoo_form()


def _folder_form() -> None:
    path = st.text_input("Path", key="path", placeholder="/data/pets").strip()
    st.caption(
        "A folder or file on this machine: class folders, an image list (CSV, JSON, Parquet), "
        "COCO, or an export of Hugging Face, FiftyOne or Label Studio, zipped or not. The "
        "format is detected automatically. Local images are not copied, so keep them in place. "
        "Images from object storage, such as `s3://bucket/pets`, are copied."
    )
    with st.expander("Supported formats"):
        st.markdown(FORMATS)
    name = _named("path", path)
    _buttons("path", name, path, load_preview.options("path", with_root=True))


def _upload_form() -> None:
    file = st.file_uploader(
        "A zipped folder, or a list of images on this machine",
        key="upload",
        type=["zip", *sorted(suffix[1:] for suffix in SUFFIXES)],
    )
    name = _named("upload", file.name if file else "")
    is_list = bool(file and not file.name.endswith(".zip"))
    _buttons("upload", name, file, load_preview.options("upload", with_root=is_list))


def _hub_form() -> None:
    owner = st.text_input(
        "Dataset on the hub", key="hub", placeholder="owner/name, or owner/name@configuration"
    ).strip()
    st.caption("Downloaded from the Hugging Face hub. Needs `pip install datasets`.")
    source = f"hf:{owner.removeprefix('hf:')}"
    name = _named("hub", source if owner else "")
    label = st.text_input(
        "Label column",
        key="hub-label",
        placeholder="automatic",
        help="The column that holds the labels, if there are several.",
    ).strip()
    if st.button("Load", key="load-hub", type="primary", disabled=not owner):
        _begin(name, source=source, label=label or None, within=paths.allowed())


def _zoo_form() -> None:
    name = st.selectbox("Dataset", list(ZOO), format_func=lambda n: ZOO[n].title, key="zoo")
    st.caption(ZOO[name].about)
    if st.button("Load", key="load-zoo", type="primary"):
        jobs.begin("load", name)


def _named(key: str, source: str) -> str:
    own = default_name(source) if source else ""
    return st.text_input("Name", key=f"{key}-name", placeholder=own or "pets") or own


def _buttons(key: str, name: str, source, options: dict) -> None:
    """Draw Load and Preview, and the preview. A source is loaded only if it can be read."""
    with st.container(horizontal=True, vertical_alignment="center"):
        load = st.button("Load", key=f"load-{key}", type="primary")
        shown = st.toggle(
            "Preview",
            True,
            key=f"preview-{key}",
            help="Shows how the source is understood: splits, classes, and what is skipped.",
        )
    if not source:
        if load:
            show_error("give the path of a folder or file." if key == "path" else "choose a file.")
        return
    try:
        source, options = _readable(source, options)
    except LabelAuditError as error:
        show_error(error)
        return
    within = paths.allowed()
    is_read = load_preview.show(key, source, {**options, "within": within}, draw=shown and not load)
    if load and is_read:
        _begin(name, source=source, **options, within=within)


def _begin(name: str, **options) -> None:
    """Start to load under a free name; otherwise show in the dialog what is wrong with the name."""
    try:
        check_name(name, "dataset")
        if name in list_datasets():
            raise BadInputError(
                f"there is a dataset {name!r} already: enter another name, or delete it first."
            )
    except LabelAuditError as error:
        show_error(error)
        return
    jobs.begin("load", name, **options)


def _readable(source, options: dict) -> tuple[str, dict]:
    """Return the source as a path or hf:owner/name, and the arguments of `load_dataset`.

    source: a typed path, hf:owner/name, or an uploaded file. Raises LabelAuditError for a path that
    is not allowed.
    """
    if not isinstance(source, str):
        source = uploads.store(source, source.file_id)
    elif not source.startswith("hf:"):
        source = paths.typed(source, remote=True)
    root = options.get("root")
    return source, {**options, "root": root and paths.typed(root, remote=True)}
