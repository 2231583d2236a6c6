"""The app's entry script: the list of pages, and the sidebar they share."""

from pathlib import Path

import streamlit as st

from labelaudit import ui
from labelaudit.app_session import app_folder
from labelaudit.ui import garbage_collector, sidebar, signin

# A local file: with a Material icon the browser would load it from Google.
ICON = Path(ui.__file__).with_name("icon.svg")
LOGO = Path(ui.__file__).with_name("logo.svg")

st.set_page_config(
    page_title="LabelAudit",
    page_icon=ICON,
    layout="wide",
    initial_sidebar_state="auto",  # collapsed on phones, where it would cover the page
)

st.logo(LOGO, size="large", icon_image=ICON)
sidebar.remember_link()

session_page = [st.Page("pages/data/session.py", title="Session", icon=":material/terminal:")]

# Pages are in sub-folders: Streamlit runs a file directly in pages/ without this script on a deep
# link.
page = st.navigation(
    {
        "": [
            st.Page("pages/start/home.py", title="Start", icon=":material/home:", default=True),
            st.Page("pages/start/methods.py", title="Methods", icon=":material/menu_book:"),
            *(session_page if app_folder() else []),
        ],
        "Data": [
            st.Page("pages/data/dataset.py", title="Dataset", icon=":material/photo_library:"),
            st.Page("pages/data/sync.py", title="Sync", icon=":material/sync:"),
            st.Page("pages/data/noise.py", title="Noise", icon=":material/shuffle:"),
        ],
        "Model": [
            st.Page("pages/model/train.py", title="Train", icon=":material/model_training:"),
            st.Page("pages/model/predict.py", title="Predict", icon=":material/psychology:"),
            st.Page("pages/model/jobs.py", title="Jobs", icon=":material/pending_actions:"),
        ],
        "Suspects": [
            st.Page("pages/suspects/results.py", title="Results", icon=":material/fact_check:"),
            st.Page("pages/suspects/review.py", title="Review", icon=":material/rate_review:"),
            st.Page(
                "pages/suspects/duplicates.py", title="Duplicates", icon=":material/content_copy:"
            ),
            st.Page("pages/suspects/insights.py", title="Insights", icon=":material/insights:"),
            st.Page("pages/suspects/annotators.py", title="Annotators", icon=":material/groups:"),
            st.Page("pages/suspects/trend.py", title="Trend", icon=":material/trending_up:"),
            st.Page("pages/suspects/apply.py", title="Apply", icon=":material/task_alt:"),
            st.Page("pages/suspects/export.py", title="Export", icon=":material/ios_share:"),
            st.Page("pages/suspects/history.py", title="History", icon=":material/history:"),
        ],
    },
    expanded=True,  # otherwise the last pages are hidden behind "View more"
)
signin.ask()
sidebar.pick_dataset()
signin.show()
garbage_collector.freeze()
page.run()
