"""The state of a browser session, under named keys; and datasets, opened once per server."""

from __future__ import annotations

from urllib.parse import unquote

import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset, list_datasets
from ..dataset.history_log import user
from . import signin
from .text import show_error

DATASET = "dataset"  # name of the selected dataset
NEXT_DATASET = "next_dataset"  # name to select in the next run of the script
WATCHED_JOB = "watched_job"  # id of the job that this session started and has not seen end
NAME = "reviewer"  # the name given on the review page
REVIEWER = "labelaudit_reviewer"  # name of the cookie set by assets/channel.js
SAMPLE = "digits"  # the bundled dataset


def dataset_names() -> list[str]:
    """Return the names of all datasets. If there is none, the bundled one is loaded first."""
    names = list_datasets()
    if names:
        return names
    from ..sources import load_dataset

    return [load_dataset(SAMPLE).name]


def choose(name: str) -> None:
    """Select a dataset in the next run of the script."""
    st.session_state[NEXT_DATASET] = name


def current() -> Dataset:
    """Return the selected dataset. If it cannot be opened, show the error and stop the page."""
    try:
        return opened(st.session_state[DATASET])
    except LabelAuditError as error:
        show_error(error)
        st.stop()
        raise  # never reached: st.stop() ends the script


def opened(name: str) -> Dataset:
    """Return a dataset with its latest changes. Raises NotFoundError if there is none."""
    fresh = Dataset(name)
    # not info["uri"], which counts splits and tags: 0.2 s with a million samples
    dataset = _opened(fresh.uri, fresh.created, fresh)
    dataset.refresh()
    return dataset


@st.cache_resource(max_entries=20, show_spinner=False)
def _opened(uri: str, created: str, _fresh: Dataset) -> Dataset:
    """One object for all sessions, because it caches columns. `created` differs if a dataset was
    deleted and loaded again."""
    return _fresh


def reviewer() -> str:
    """Return the reviewer's name: the signed-in name, else the name given on the review page, else
    the last reviewer in this browser, else the user of this machine.

    It is not in the address, because a shared link is opened by somebody else.
    """
    return signin.name() or (st.session_state.get(NAME) or "").strip() or usual_reviewer()


def name_field(label: str, value: str, key: str, help: str, **options) -> str:
    """Draw a name input, read-only if the visitor is signed in. Returns the name."""
    if name := signin.name():
        st.text_input(
            label, name, disabled=True, key=f"{key}-signed-in", help="The name you signed in with."
        )
        return name
    return st.text_input(label, value, key=key, max_chars=64, help=help, **options).strip()


def usual_reviewer() -> str:
    """Return the last reviewer in this browser, else the user of this machine."""
    return unquote(st.context.cookies.get(REVIEWER, "")).strip()[:64] or user()
