"""The parts of pages that run in the browser, as Streamlit components."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

ASSETS = Path(__file__).with_name("assets")


def component(name: str, *parts: str):
    """Return a Streamlit component made of files in assets/. All data is drawn as plain text.

    parts: further scripts that it uses.
    """
    scripts = [ASSETS / f"{part}.js" for part in ("channel", "review_keys", "zoom", *parts, name)]
    return st.components.v2.component(
        f"labelaudit_{name}",
        html=(ASSETS / f"{name}.html").read_text(),
        css=(ASSETS / "review.css").read_text(),
        js="".join(script.read_text() for script in scripts),
    )
