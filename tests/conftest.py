"""Every test has a LABELAUDIT_HOME of its own; what takes long to make is made once and copied."""

from __future__ import annotations

import http.server
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a worker a core, a thread a worker

import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from app_server import browser, new_page, serve_in_turn
from filelock import FileLock
from hypothesis import settings
from PIL import Image

import labelaudit
from labelaudit.jobs import manager

REPO = Path(__file__).resolve().parents[1]

settings.register_profile("busy machine", deadline=None)  # how long an example takes says nothing
settings.load_profile("busy machine")


def end_jobs(home: Path) -> None:
    """No test leaves a process behind, neither of its own nor of an app that it started: it would
    slow down all that come after it."""
    for child in manager._children.values():
        child.kill()
        child.wait()
    manager._children.clear()
    for process in Path("/proc").glob("[0-9]*"):  # nothing elsewhere than on Linux
        with suppress(OSError):
            if f"{home}/jobs/" in (process / "cmdline").read_text():
                os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Iterator[Path]:
    """An empty LABELAUDIT_HOME."""
    # AppTest leaves its script in the place of __main__, which new processes would then begin with
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    folder = tmp_path / "home"
    monkeypatch.setenv("LABELAUDIT_HOME", str(folder))
    yield folder
    end_jobs(folder)


@pytest.fixture(scope="session")
def audited_home(tmp_path_factory) -> Path:
    """A home with digits, 20 % mistakes and one scored run. To be copied, not changed."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # one for all workers: whoever comes first makes it
    folder, whole = root / "audited", root / "audited.whole"
    with FileLock(f"{folder}.lock"), pytest.MonkeyPatch.context() as patch:
        if not whole.exists():
            patch.setenv("LABELAUDIT_HOME", str(folder))
            config = labelaudit.TrainConfig(epochs=6, threads=1)
            labelaudit.audit("digits", noise=0.2, config=config)
            whole.touch()
    return folder


@pytest.fixture
def audited(audited_home, home) -> labelaudit.Dataset:
    """Digits, audited, in this test's home: copying the folder copies the audit."""
    shutil.copytree(audited_home / "datasets", home / "datasets")
    return labelaudit.load_dataset("digits")


@pytest.fixture
def digits(home) -> labelaudit.Dataset:
    return labelaudit.load_dataset("digits")


@pytest.fixture
def make_dataset(home):
    """A dataset of n samples without real images: make_dataset(n, classes, name)."""

    def make(n: int = 100, classes: int = 4, name: str = "plain", **columns) -> labelaudit.Dataset:
        from labelaudit.dataset.dataset import create_dataset

        labels = [f"c{i % classes}" for i in range(n)]
        rows = {"filepath": [f"/nowhere/{i}.png" for i in range(n)], "label": labels, **columns}
        return create_dataset(name, rows)

    return make


@pytest.fixture
def picture():
    """Write a small picture, its colour chosen by `seed`: picture(path, seed, size)."""

    def write(path: Path, seed: int = 0, size: tuple[int, int] = (12, 10)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


class Server:
    """A file server on 127.0.0.1 that counts what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.requests = folder, []
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_) -> None:
                outer.requests.append(self.path)

        handler = partial(Handler, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def file_server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    server = Server(folder)
    yield server
    server.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """An app for all tests of a file, which serves one home after the other."""
    with serve_in_turn(tmp_path_factory.mktemp("app")) as shared:
        yield shared


@pytest.fixture(scope="module")
def chromium():
    """A browser for all tests of a file. (No longer: Playwright's loop would be in the way.)"""
    with browser() as chromium:
        yield chromium


@pytest.fixture
def server(app, home):
    """The app's address, on this test's home."""
    app.use(home)
    return app.address


@pytest.fixture
def page(server, chromium):
    """A page of a browser, beside a running app."""
    with new_page(chromium) as page:
        yield page
