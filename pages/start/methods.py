"""The methods page: how each score works, when it fails, and its source."""

from pathlib import Path

import streamlit as st

TEXT = Path(__file__).parents[2] / "docs" / "methods.md"

st.markdown(TEXT.read_text(encoding="utf-8"))
