"""Starts the app: `labelaudit app`, or `python -m labelaudit.ui [options of streamlit run]`.

This is `streamlit run app.py` with one correction. Streamlit sees a folder named pages/ and looks
up the first visitor's address in it. On a fresh server a deep link therefore ends at "Page not
found", because app.py has not yet declared its pages.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from pathlib import Path

from streamlit.runtime.pages_manager import PagesManager
from streamlit.web import cli

from labelaudit.core.subprocess_env import SESSION

FOLDER = Path(__file__).resolve().parent
INSTALLED = FOLDER / "app" / "app.py"  # setup.py copies the app there
# .streamlit/config.toml beside the app takes precedence over every other configuration file.
APP = INSTALLED if INSTALLED.exists() else FOLDER.parents[1] / "app.py"


class _Unbreakable(io.FileIO):
    """A file descriptor to write to. What is written to a closed pipe is lost."""

    def write(self, data) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return len(data)


def unbreakable(descriptor: int) -> io.TextIOWrapper:
    """Return a text stream to a descriptor that never fails because its reader is gone."""
    raw = io.BufferedWriter(_Unbreakable(descriptor, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="replace", line_buffering=True)


def _end_with_python() -> None:
    """End this process when the Python process that started it closes our input, or is gone."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the app with the options in `sys.argv`; does not return before the server ends."""
    if not sys.stdout.isatty():
        # Streamlit prints before it stops: a reader that is gone would keep it from stopping.
        sys.stdout = unbreakable(sys.stdout.fileno())
    if os.environ.get(SESSION):
        threading.Thread(target=_end_with_python, daemon=True).start()
    PagesManager.uses_pages_directory = False  # st.navigation sets this too, but only on a visit
    sys.argv = ["streamlit", "run", str(APP), *sys.argv[1:]]
    cli.main()


if __name__ == "__main__":
    main()
