"""Where long work is done: on this machine, or on a Ray cluster where that is installed."""

from __future__ import annotations

import streamlit as st

from ..cluster import HERE, RAY, is_installed

NAMES = {HERE: "this machine", RAY: "Ray cluster"}


def choose_place() -> dict:
    """Draw the choice, where there is one. Returns it as a job's options."""
    if not is_installed():
        return {}
    on = st.selectbox(
        "Run on", list(NAMES), format_func=NAMES.get, key="run-on",
        help="A Ray cluster: the one that RAY_ADDRESS names, else workers on the cores of this "
        "machine.",
    )  # fmt: skip
    return {"on": on} if on != HERE else {}
