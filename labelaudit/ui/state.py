"""What a browser session remembers, under named keys; and datasets, opened once a server."""

from __future__ import annotations

from urllib.parse import unquote

import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset, list_datasets
from ..dataset.history_log import user
from . import signin
from .words import fail

DATASET = "dataset"  # name of the chosen dataset
NEXT_DATASET = "next_dataset"  # name that the picker is to show from the next run on
WATCHED_JOB = "watched_job"  # id of the job that this session started and has not seen end
NAME = "reviewer"  # the one given on the review page
REVIEWER = "labelaudit_reviewer"  # name of a cookie that assets/channel.js sets
SAMPLE = "digits"  # the embedded dataset


def dataset_names() -> list[str]:
    """The datasets here; the embedded one is made first where there is none."""
    names = list_datasets()
    if names:
        return names
    from ..sources import load_dataset

    return [load_dataset(SAMPLE).name]


def choose(name: str) -> None:
    """Make a dataset the chosen one from the next run of the script on."""
    st.session_state[NEXT_DATASET] = name


def current() -> Dataset:
    """The chosen dataset. Where it cannot be opened the page ends in one sentence."""
    try:
        fresh = Dataset(st.session_state[DATASET])
        # not info["uri"]: that counts every split and tag, a fifth of a second at a million samples
        opened = _opened(fresh.uri, fresh.created, fresh)
        opened.refresh()
        return opened
    except LabelAuditError as error:
        fail(error)
        st.stop()


@st.cache_resource(max_entries=20, show_spinner=False)
def _opened(uri: str, created: str, _fresh: Dataset) -> Dataset:
    """One handle for all sessions: its columns are cached. `created` tells a remade one apart."""
    return _fresh


def reviewer() -> str:
    """Who sits here: who signed in; where nobody has to, the name given on the review page, else
    who reviewed last in this browser, else the user of this machine. (Not in the address: whoever
    opens a link is somebody else.)"""
    return signin.name() or (st.session_state.get(NAME) or "").strip() or usual_reviewer()


def name_field(label: str, value: str, key: str, help: str, **options) -> str:
    """Ask for a name; of who is signed in it is shown, and cannot be another."""
    if name := signin.name():
        st.text_input(label, name, disabled=True, key=f"{key}-signed-in",
                      help="The name that you signed in with.")  # fmt: skip
        return name
    return st.text_input(label, value, key=key, max_chars=64, help=help, **options).strip()


def usual_reviewer() -> str:
    """Who reviewed last in this browser, else the user of this machine."""
    return unquote(st.context.cookies.get(REVIEWER, "")).strip()[:64] or user()
