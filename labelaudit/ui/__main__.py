"""Starts the app: `python -m labelaudit.ui [options of streamlit run]`.

It is `streamlit run app.py`, but for one thing: Streamlit, seeing a folder named pages/, takes the
first visitor's address for one of the files in it, and greets a deep link on a fresh server with
"Page not found" before app.py has said which pages there are.
"""

from __future__ import annotations

import sys
from pathlib import Path

from streamlit.runtime.pages_manager import PagesManager
from streamlit.web import cli

APP = Path(__file__).resolve().parents[2] / "app.py"


def main() -> None:
    PagesManager.uses_pages_directory = False  # what st.navigation sets, but before any visit
    sys.argv = ["streamlit", "run", str(APP), *sys.argv[1:]]
    cli.main()


if __name__ == "__main__":
    main()
