"""Choice of where a job runs: on this machine or, if Ray is installed, on a Ray cluster."""

from __future__ import annotations

import streamlit as st

from ..cluster import HERE, RAY, is_installed

NAMES = {HERE: "this machine", RAY: "Ray cluster"}


def choose() -> dict:
    """Draw the choice, if there is one. Returns it as options of a job."""
    if not is_installed():
        return {}
    on = st.selectbox(
        "Run on",
        list(NAMES),
        format_func=NAMES.get,
        key="run-on",
        help="Ray cluster: the one at RAY_ADDRESS, or workers on the cores of this machine.",
    )
    return {"on": on} if on != HERE else {}
