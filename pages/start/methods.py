"""The methods page: how each score works, when it fails, and its source; and the plugins."""

from pathlib import Path

import pandas as pd
import streamlit as st

from labelaudit.plugin_list import plugins
from labelaudit.ui.text import plain

TEXT = Path(__file__).parents[2] / "docs" / "methods.md"

st.markdown(TEXT.read_text(encoding="utf-8"))
if installed := plugins():
    st.header("Plugins")
    st.write("What other installed packages add. A score appears wherever scores are chosen.")
    for plugin in installed:
        if plugin.problem:
            st.warning(plain(f"The {plugin} is left out: {plugin.problem}."))
    shown = ("kind", "name", "title", "about", "package")
    used = [{key: getattr(each, key) for key in shown} for each in installed if not each.problem]
    st.dataframe(pd.DataFrame(used), hide_index=True, width="stretch")
