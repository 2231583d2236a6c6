"""The form by which a model's own predictions come in: a file, and what it was taken for."""

from __future__ import annotations

import shutil
from pathlib import Path

import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from . import jobs, paths, uploads, words

UPLOAD, HERE = "Upload", "File on this machine"
LARGEST_MB = 2048  # of an upload; a larger file is better read where it lies
TOLD = "told by the file"
NUMBER, KEPT = "brought-number", "brought-kept"  # of the uploader; the file that it gave
TYPES = ["npy", "npz", "csv", "tsv", "parquet"]


def show(dataset: Dataset, open_: bool = False) -> None:
    """Draw the form. Nothing is stored before it has said what it understood, and is told to."""
    with st.expander("Predictions of your own", open_, icon=":material/upload_file:"):
        st.caption(
            "Have a model already? Its logits or probabilities are enough, nothing is trained. A "
            "table with a column for each class, called like it, and `id` or `filepath`; or arrays "
            "(.npz: `probabilities` or `logits`, and best also `classes`, the columns' names)."
        )
        where = st.segmented_control(
            "Where it lies", [UPLOAD, HERE], default=UPLOAD, required=True, key="brought-where",
            label_visibility="collapsed",
        )  # fmt: skip
        source = _uploaded() if where == UPLOAD else _named()
        if source is None:
            return
        left, middle, right = st.columns(3)
        run = left.text_input("Name of the run", "imported", key="brought-run").strip()
        kind = middle.selectbox("Numbers", [TOLD, "logits", "probabilities"], key="brought-kind")
        by = right.selectbox(
            "Match rows by", [TOLD, "id", "filepath", "order"], key="brought-by",
            help="filepath: as it is stored, or its last parts where they name one image. order: "
            "row 1 is the first image; there must be as many rows as images.",
        )  # fmt: skip
        out_of_sample = st.checkbox(
            "The model did not learn these labels (cross-validated)", key="brought-out",
            help="Kept with the run, and shown beside its suspects.",
        )  # fmt: skip
        asked = {"kind": None if kind == TOLD else kind, "by": None if by == TOLD else by}
        if not _understood(dataset, source, asked):
            return
        if st.button("Import and score", type="primary", icon=":material/play_arrow:",
                     disabled=not run):  # fmt: skip
            if refused := _refused(dataset, run):
                words.fail(refused)
                return
            number, kept = st.session_state.get(NUMBER, 0), st.session_state.pop(KEPT, None)
            st.session_state[NUMBER] = number + 1  # the uploader is empty when it is drawn again
            jobs.begin("import", dataset.name, source=str(source), run=run,
                       numbers=asked["kind"], by=asked["by"], out_of_sample=out_of_sample,
                       remove=where == UPLOAD)  # fmt: skip
            st.session_state[NUMBER], st.session_state[KEPT] = number, kept  # it did not begin


def _uploaded() -> Path | None:
    """The uploaded file, on disk: alone in a folder of its own."""
    file = st.file_uploader(
        "Predictions", TYPES, key=f"brought-file-{st.session_state.get(NUMBER, 0)}",
        max_upload_size=LARGEST_MB, label_visibility="collapsed",
    )  # fmt: skip
    kept = st.session_state.get(KEPT)
    if kept and (file is None or file.file_id not in kept):
        shutil.rmtree(Path(kept).parent, ignore_errors=True)
        del st.session_state[KEPT]
        kept = None
    if file is None:
        return None
    if kept is None:
        try:
            kept = uploads.keep(file, file.file_id)
        except LabelAuditError as error:
            words.fail(error)
            return None
        st.session_state[KEPT] = kept
    return Path(kept)


def _named() -> Path | None:
    path = st.text_input("Path", key="brought-path", placeholder="/data/probabilities.parquet")
    if not path.strip():
        return None
    try:
        return Path(paths.typed(path.strip()))
    except LabelAuditError as error:
        words.fail(error)
        return None


def _understood(dataset: Dataset, source: Path, asked: dict) -> bool:
    """Say what the file was taken for, or why it cannot be understood."""
    changed = source.stat().st_mtime_ns if source.is_file() else 0
    stamp = dataset.name, dataset.created, dataset.view().store.stamp("annotations")
    understood, error = _read(str(source), changed, stamp, dataset, **asked)
    if error:
        words.fail(error)
        return False
    said = "  \n".join(map(words.plain, understood.sentences()))
    if understood.doubt:
        st.warning(said, icon=":material/warning:")
    else:
        st.success(said, icon=":material/check:")
    return True


@st.cache_data(max_entries=8, show_spinner="Reading the file …")
def _read(source: str, changed: int, stamp: tuple, _dataset: Dataset, **asked) -> tuple:
    """What it is taken for, or None; and an error, or None. Cached while the file is the same."""
    from ..predictions import inspect_source

    try:
        return inspect_source(_dataset, source, **asked), None
    except LabelAuditError as error:
        return None, str(error)


def _refused(dataset: Dataset, run: str) -> str | None:
    from ..dataset.stored_predictions import refuse_to_replace

    try:
        refuse_to_replace(dataset, run)
    except LabelAuditError as error:
        return str(error)
    return None
