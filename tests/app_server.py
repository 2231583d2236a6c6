"""Starts the app in its own process, and a browser: for browser tests and screenshots.

As a script it is the app with a changing home: each line on stdin is the next LABELAUDIT_HOME, and
is answered with a line. So tests share one server, which takes seconds to start, and each test has
a home that is new to the server. With `--forked-jobs` its jobs need not import torch each.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
START_SECONDS = 300
WAIT_MS = 120_000  # long, for busy machines
FORKED = "--forked-jobs"
CHECK_SECONDS = 0.5  # how often the shared app looks for changes of others while reviewing


@contextmanager
def serve(home: Path, log: Path) -> Iterator[str]:
    """Start the app on a free port of 127.0.0.1, as `make run` does. Yields its address."""
    with _started(["-m", "labelaudit.ui"], home, log) as (address, _):
        yield address


class Shared:
    """An app that serves one home after another."""

    def __init__(self, address: str, process: subprocess.Popen, log: Path) -> None:
        self.address, self._process, self._log = address, process, log

    def use(self, home: Path) -> None:
        self._process.stdin.write(f"{home}\n".encode())
        self._process.stdin.flush()
        answer = self._process.stdout.readline().decode().strip()
        assert answer == str(home), f"the app has ended:\n{self._log.read_text()}"


@contextmanager
def serve_in_turn(folder: Path, forked_jobs: bool = True) -> Iterator[Shared]:
    """Start an app that serves the home given to `Shared.use`. Its log is in `folder`.

    forked_jobs: its jobs are forks, which start faster and have more time to react to a stop.
    """
    log = folder / "server.log"
    program = [__file__, *[FORKED] * forked_jobs]
    with _started(program, folder / "home", log, in_turn=True) as (address, process):
        yield Shared(address, process, log)


@contextmanager
def _started(program: list[str], home: Path, log: Path, in_turn: bool = False):
    port = free_port()
    pipe = subprocess.PIPE if in_turn else None
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, *program, "--server.headless", "true", "--server.port", str(port)],
            cwd=REPO, stdin=pipe, stdout=pipe or output, stderr=output,
            env={**os.environ, "LABELAUDIT_HOME": str(home), "PYTHONPATH": str(REPO)},
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not answers(address):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the app did not come up:\n{log.read_text()}")
            time.sleep(0.1)
        yield address, server
    finally:
        server.terminate()
        server.wait(START_SECONDS)


@contextmanager
def browser():
    """Headless Chromium."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            timeout=WAIT_MS,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


@contextmanager
def window(chromium, width: int = 1440, height: int = 900, dark: bool = False):
    """A window with its own cookies and cache, in which pages are opened."""
    context = chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        accept_downloads=True,
    )
    context.set_default_timeout(WAIT_MS)
    yield context
    context.close()


@contextmanager
def new_page(chromium, width: int = 1440, height: int = 900, dark: bool = False):
    """A page in its own window."""
    with window(chromium, width, height, dark) as context:
        yield context.new_page()


@contextmanager
def browser_page(width: int = 1440, height: int = 900, dark: bool = False):
    """A page in its own browser."""
    with browser() as chromium, new_page(chromium, width, height, dark) as page:
        yield page


def free_port() -> int:
    """A free port outside of the range that the system gives to clients: nobody else takes it until
    the app, which takes seconds to start, listens on it."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def open_page(page, name: str | None, title: str) -> None:
    """Open the page of this name from the app's menu (None: wait for the first one) and wait until
    all of it is drawn. title: in its first heading."""
    if name:
        menu = page.get_by_test_id("stSidebarNav")
        menu.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", level=1, name=title).wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def resting_box(locator) -> dict:
    """Return the element's place and size on the page, once it is no longer moved by what is drawn
    around it."""
    before, box = None, locator.bounding_box()
    deadline = time.monotonic() + WAIT_MS / 1000
    while box is None or box != before:
        assert time.monotonic() < deadline, f"still moving: {before}, {box}"
        locator.page.wait_for_timeout(300)
        before, box = box, locator.bounding_box()
    return box


def answers(address: str) -> bool:
    """Return whether an app serves pages there."""
    try:
        urllib.request.urlopen(f"{address}/_stcore/health", timeout=10).close()
    except (OSError, HTTPException):
        return False
    return True


def _change_homes(answers) -> None:
    import streamlit
    from forks import ForkLauncher

    from labelaudit.jobs import launcher

    for line in sys.stdin:
        os.environ["LABELAUDIT_HOME"] = line.strip()
        streamlit.cache_data.clear()  # copies of a dataset look the same to the pages' caches
        streamlit.cache_resource.clear()
        if isinstance(launcher.current, ForkLauncher):
            launcher.current.close()  # of the last home
        print(line.strip(), file=answers, flush=True)


def _fork_jobs() -> None:
    from multiprocessing import spawn

    from forks import ForkLauncher

    from labelaudit.jobs import launcher

    prepare = spawn.get_preparation_data

    def without_main(name: str) -> dict:  # Streamlit's is the page, which a fork would then run
        return {key: value for key, value in prepare(name).items() if "main" not in key}

    spawn.get_preparation_data = without_main
    launcher.current = ForkLauncher()


if __name__ == "__main__":
    from labelaudit.ui import review_session
    from labelaudit.ui.__main__ import main

    if FORKED in sys.argv:
        sys.argv.remove(FORKED)
        _fork_jobs()
    review_session.CHECK_SECONDS = CHECK_SECONDS
    answers, sys.stdout = sys.stdout, sys.stderr  # Streamlit prints to the log
    threading.Thread(target=_change_homes, args=(answers,), daemon=True).start()
    main()
