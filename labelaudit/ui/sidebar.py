"""The sidebar's part that is the same on every page: which dataset is meant."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ..core.errors import LabelAuditError
from ..storage.schema import MISTAKE, REMOVED
from . import jobs, state
from .words import fail

KEPT = "dataset-kept"  # in the session: the one that the last page was of


def pick_dataset() -> None:
    """Draw the dataset picker. The choice is `state.current()`."""
    try:
        names = state.dataset_names()
    except LabelAuditError as error:
        fail(error)
        st.stop()
    wanted = st.session_state.pop(state.NEXT_DATASET, None)
    if wanted in names:
        st.session_state[state.DATASET] = wanted
    chosen = st.session_state.get(state.DATASET)
    if chosen not in names:
        if chosen:
            st.toast(f"Dataset {chosen} is deleted.")
        # a switch of pages by the app drops both the widget's value and the address
        known = (st.query_params.get(state.DATASET), st.session_state.get(KEPT), names[0])
        st.session_state[state.DATASET] = next(name for name in known if name in names)
    st.session_state[KEPT] = st.session_state[state.DATASET]
    # a reload, a bookmark and a new tab open the same dataset
    st.query_params[state.DATASET] = st.session_state[state.DATASET]
    st.html(Path(__file__).with_name("style.css"))
    with st.sidebar:
        st.selectbox("Dataset", names, key=state.DATASET, on_change=jobs.forget_ended)
        dataset = state.current()
        tags = dataset.view().count_values("tags")
        parts = [f"{len(dataset):,} samples", f"{len(dataset.classes)} classes"]
        parts += [f"{tags[MISTAKE]:,} planted mistakes"] if MISTAKE in tags else []
        parts += [f"{tags[REMOVED]:,} removed"] if REMOVED in tags else []
        st.caption(" · ".join(parts))
        if running := jobs.running_jobs():
            jobs.show_in_sidebar(running)
