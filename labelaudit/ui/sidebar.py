"""The part of the sidebar that all pages share: the dataset picker and running jobs."""

from __future__ import annotations

from html import escape
from pathlib import Path

import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.noise import still_wrong
from ..storage.schema import MISTAKE, REMOVED
from . import jobs, state
from .component import ASSETS
from .text import counted, show_error

LAST_DATASET = "last-dataset"  # session state key: the dataset of the previous page


def remember_link() -> None:
    """Store the dataset of the address that opened the session. Another page has no dataset in its
    address, and may be opened as soon as its link is drawn, before `pick_dataset`."""
    st.session_state.setdefault(LAST_DATASET, st.query_params.get(state.DATASET))


def pick_dataset() -> None:
    """Draw the dataset picker. `state.current()` returns the selected dataset."""
    try:
        names = state.dataset_names()
    except LabelAuditError as error:
        show_error(error)
        st.stop()
    wanted = st.session_state.pop(state.NEXT_DATASET, None)
    if wanted in names:
        st.session_state[state.DATASET] = wanted
    linked, last = st.query_params.get(state.DATASET), st.session_state.get(LAST_DATASET)
    if last and linked in names and linked != last:  # a link in the app leads to another dataset
        st.session_state[state.DATASET] = linked
    chosen = st.session_state.get(state.DATASET)
    if chosen not in names:
        if chosen:
            st.toast(f"Dataset {chosen} deleted.")
        # st.switch_page drops both the widget's value and the address
        known = (linked, last, names[0])
        st.session_state[state.DATASET] = next(name for name in known if name in names)
    st.session_state[LAST_DATASET] = st.session_state[state.DATASET]
    # so that a reload, a bookmark and a new tab open the same dataset
    st.query_params[state.DATASET] = st.session_state[state.DATASET]
    st.html(Path(__file__).with_name("style.css"))
    with st.sidebar:
        script = (ASSETS / "address.js").read_text()
        st.html(f'<script class="la-script">{script}</script>', unsafe_allow_javascript=True)
        st.selectbox("Dataset", names, key=state.DATASET, on_change=jobs.forget_ended)
        dataset = state.current()
        tags = dataset.view().count_values("tags")
        parts = [counted(len(dataset), "sample"), counted(len(dataset.offered_classes), "class")]
        planted = still_wrong(dataset) if MISTAKE in tags else 0  # corrected ones keep the tag
        parts += [counted(planted, "planted mistake")] if planted else []
        parts += [f"{tags[REMOVED]:,} removed"] if REMOVED in tags else []
        st.caption(" · ".join(parts))
        if running := jobs.running_jobs():
            jobs.show_in_sidebar(running)


def hidden_title(text: str) -> None:
    """Draw a page's title for screen readers only."""
    st.html(f'<h1 class="la-hidden">{escape(text)}</h1>')
