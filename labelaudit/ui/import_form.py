"""The form that imports predictions: a file, a preview of how it is read, and the import."""

from __future__ import annotations

import shutil
from pathlib import Path

import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from . import jobs, paths, text, uploads

UPLOAD, HERE = "Upload", "File on this machine"
MAX_UPLOAD_MB = 2048  # a larger file is better read from its path
AUTOMATIC = "automatic"
# Session state keys: the uploader's number, and the path of the file uploaded with it
NUMBER, STORED = "import-number", "import-stored"
TYPES = ["npy", "npz", "csv", "tsv", "parquet"]


def show(dataset: Dataset, open_: bool = False) -> None:
    """Draw the form. It shows how a file is read before anything is stored."""
    with st.expander("Import your own predictions", open_, icon=":material/upload_file:"):
        st.caption(
            "Import the logits or probabilities of your own model instead of training. Use a table "
            "with `id` or `filepath` and one column per class, named after the class; or an .npz "
            "file with `probabilities` or `logits`, and ideally `classes`."
        )
        where = st.segmented_control(
            "Location",
            [UPLOAD, HERE],
            default=UPLOAD,
            required=True,
            key="import-where",
            label_visibility="collapsed",
        )
        source = _uploaded() if where == UPLOAD else _typed_path()
        if source is None:
            return
        left, middle, right = st.columns(3)
        run = left.text_input("Run name", "imported", key="import-run").strip()
        kind = middle.selectbox("Values", [AUTOMATIC, "logits", "probabilities"], key="import-kind")
        by = right.selectbox(
            "Match rows by",
            [AUTOMATIC, "id", "filepath", "order"],
            key="import-by",
            help="filepath: the path as stored, or its last parts if they identify one image. "
            "order: row 1 is the first image; the file must have one row per image.",
        )
        out_of_sample = st.checkbox(
            "The model was not trained on these labels (cross-validation)",
            key="import-out",
            help="Stored with the run and shown with its suspects.",
        )
        settings = {
            "kind": None if kind == AUTOMATIC else kind,
            "by": None if by == AUTOMATIC else by,
        }
        if not _preview(dataset, source, settings):
            return
        if st.button(
            "Import and score", type="primary", icon=":material/play_arrow:", disabled=not run
        ):
            if error := _replace_error(dataset, run):
                text.show_error(error)
                return
            number, stored = st.session_state.get(NUMBER, 0), st.session_state.pop(STORED, None)
            st.session_state[NUMBER] = number + 1  # empties the uploader in the next run
            jobs.begin(
                "import",
                dataset.name,
                source=str(source),
                run=run,
                numbers=settings["kind"],
                by=settings["by"],
                out_of_sample=out_of_sample,
                remove=where == UPLOAD,
            )
            st.session_state[NUMBER], st.session_state[STORED] = number, stored  # did not start


def _uploaded() -> Path | None:
    """Draw the uploader. Returns the path of the uploaded file, in a folder of its own."""
    file = st.file_uploader(
        "Predictions",
        TYPES,
        key=f"import-file-{st.session_state.get(NUMBER, 0)}",
        max_upload_size=MAX_UPLOAD_MB,
        label_visibility="collapsed",
    )
    stored = st.session_state.get(STORED)
    if stored and (file is None or file.file_id not in stored):
        shutil.rmtree(Path(stored).parent, ignore_errors=True)
        del st.session_state[STORED]
        stored = None
    if file is None:
        return None
    if stored is None:
        try:
            stored = uploads.store(file, file.file_id)
        except LabelAuditError as error:
            text.show_error(error)
            return None
        st.session_state[STORED] = stored
    return Path(stored)


def _typed_path() -> Path | None:
    path = st.text_input("Path", key="import-path", placeholder="/data/probabilities.parquet")
    if not path.strip():
        return None
    try:
        return Path(paths.typed(path.strip()))
    except LabelAuditError as error:
        text.show_error(error)
        return None


def _preview(dataset: Dataset, source: Path, settings: dict) -> bool:
    """Show how the file is read, or why it cannot be. Returns whether it can be imported."""
    changed = source.stat().st_mtime_ns if source.is_file() else 0
    stamp = dataset.name, dataset.created, dataset.stamp("annotations")
    understood, error = _read(str(source), changed, stamp, dataset, **settings)
    if error:
        text.show_error(error)
        return False
    summary = "  \n".join(map(text.plain, understood.sentences()))
    if understood.doubt:
        st.warning(summary, icon=":material/warning:")
    else:
        st.success(summary, icon=":material/check:")
    return True


@st.cache_data(max_entries=8, show_spinner="Reading the file …")
def _read(source: str, changed: int, stamp: tuple, _dataset: Dataset, **settings) -> tuple:
    """Return the interpretation of the file or None, and an error or None.

    Cached while the file and the labels are the same.
    """
    from ..predictions import inspect_source

    try:
        return inspect_source(_dataset, source, **settings), None
    except LabelAuditError as error:
        return None, str(error)


def _replace_error(dataset: Dataset, run: str) -> str | None:
    """Return why the run cannot be written, or None."""
    from ..dataset.stored_predictions import refuse_to_replace

    try:
        refuse_to_replace(dataset, run)
    except LabelAuditError as error:
        return str(error)
    return None
