"""Every test has its own LABELAUDIT_HOME. Slow fixtures are built once and copied."""

from __future__ import annotations

import gc
import http.server
import os
import re

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: one thread per worker
os.environ.setdefault("LABELAUDIT_FSYNC", "0")  # tests of durability turn it on

import shutil
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from app_server import browser, serve_in_turn, window
from filelock import FileLock
from forks import ForkLauncher
from hypothesis import settings
from PIL import Image

import labelaudit
from labelaudit.jobs import launcher
from labelaudit.jobs.launcher import ProcessLauncher
from labelaudit.jobs.worker import run_job
from labelaudit.storage import object_store

REPO = Path(__file__).resolve().parents[1]

PROCESS_LAUNCHER = launcher.current
ALL_SYSTEM = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.system", re.MULTILINE)

settings.register_profile("busy machine", deadline=None)  # the time of one example varies too much
settings.load_profile("busy machine")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import only files that have a test to be run: `-m system`, `-m "not system"`."""
    marks = config.option.markexpr
    if collection_path.suffix != ".py" or marks not in ("system", "not system"):
        return None
    text = collection_path.read_text()
    if marks == "system":
        return None if "mark.system" in text else True
    return True if ALL_SYSTEM.search(text) else None


def pytest_collection_finish() -> None:
    """Streamlit collects garbage after each run of a page: all that is imported is left out."""
    gc.collect()
    gc.freeze()


def end_jobs(home: Path) -> None:
    """Kill the jobs that a test, or an app that it started, left running: they would slow down the
    tests after it."""
    processes = PROCESS_LAUNCHER.processes
    for process in processes.values():
        process.kill()
        process.wait()
    processes.clear()
    for process in Path("/proc").glob("[0-9]*"):  # empty except on Linux
        with suppress(OSError):
            if f"{home}/jobs/" in (process / "cmdline").read_text():
                os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Iterator[Path]:
    """An empty LABELAUDIT_HOME."""
    # AppTest leaves its script as __main__, and new processes would then start with it
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    folder = tmp_path / "home"
    monkeypatch.setenv("LABELAUDIT_HOME", str(folder))
    yield folder
    end_jobs(folder)


class ThreadLauncher:
    """Runs each job in a thread of this process: no new process has to import torch."""

    def __init__(self) -> None:
        self.threads: dict[Path, threading.Thread] = {}  # by the job's folder

    def launch(self, folder: Path) -> None:
        thread = threading.Thread(target=run_job, args=(folder,), daemon=True)
        self.threads[folder] = thread
        thread.start()

    def has_exited(self, folder: Path) -> bool:
        return folder in self.threads and not self.threads[folder].is_alive()

    def close(self) -> None:
        for folder, thread in self.threads.items():
            if thread.is_alive():
                (folder / "stop").touch()
                thread.join(30)


@pytest.fixture
def jobs_in_threads(home, monkeypatch) -> Iterator[ThreadLauncher]:
    """Jobs that this test starts run in this process."""
    in_threads = ThreadLauncher()
    monkeypatch.setattr(launcher, "current", in_threads)
    yield in_threads
    in_threads.close()


@pytest.fixture
def jobs_in_processes(monkeypatch) -> ProcessLauncher:
    """Jobs run in real processes, also where the other tests of the file use threads."""
    monkeypatch.setattr(launcher, "current", PROCESS_LAUNCHER)
    return PROCESS_LAUNCHER


@pytest.fixture
def jobs_in_forks(home, monkeypatch) -> Iterator[ForkLauncher]:
    """Jobs that this test starts run in processes that need not import anything."""
    forked = ForkLauncher()
    monkeypatch.setattr(launcher, "current", forked)
    yield forked
    forked.close()


@pytest.fixture(scope="session")
def build_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Return a home that the first worker builds for all: build_once(name, build). `build` is
    called with the folder, which is LABELAUDIT_HOME then. Copy the home, do not change it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def built(name: str, build: Callable[[Path], object]) -> Path:
        folder, whole = root / name, root / f"{name}.whole"
        with FileLock(f"{folder}.lock"), pytest.MonkeyPatch.context() as patch:
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                folder.mkdir()
                patch.setenv("LABELAUDIT_HOME", str(folder))
                build(folder)
                whole.touch()
        return folder

    return built


@pytest.fixture(scope="session")
def audited_home(build_once) -> Path:
    """A home with digits, 20 % planted mistakes and one scored run."""

    def build(_: Path) -> None:
        config = labelaudit.TrainConfig(epochs=6, threads=1)
        labelaudit.audit("digits", noise=0.2, config=config)

    return build_once("audited", build)


@pytest.fixture
def audited(audited_home, home) -> labelaudit.Dataset:
    """Audited digits in this test's home: a copied folder is a copied audit."""
    shutil.copytree(audited_home / "datasets", home / "datasets")
    return labelaudit.load_dataset("digits")


@pytest.fixture
def digits(home) -> labelaudit.Dataset:
    return labelaudit.load_dataset("digits")


@pytest.fixture
def load_few_digits(home):
    """Load 400 digits as dataset "digits", half of them in split "train", half in "test"."""

    def load() -> labelaudit.Dataset:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = (digits.images[:400] * 15.9).astype(np.uint8)
        splits = ["train", "test"] * 200
        return labelaudit.load_arrays("digits", images, digits.target[:400], splits=splits)

    return load


@pytest.fixture
def few_digits(load_few_digits) -> labelaudit.Dataset:
    """400 digits, for tests that do not depend on the number of samples."""
    return load_few_digits()


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


@pytest.fixture
def bucket(monkeypatch) -> str:
    """An object store in memory. Gives the URI of a bucket in it."""
    from obstore.store import MemoryStore

    stores = defaultdict(MemoryStore)  # by bucket
    monkeypatch.setattr(object_store, "connect", lambda bucket, settings: stores[bucket])
    return "s3://bucket"


class Server:
    """A file server on 127.0.0.1 that records the paths of its requests."""

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
    """One app for all tests of a file. It serves one home after another."""
    with serve_in_turn(tmp_path_factory.mktemp("app")) as shared:
        yield shared


@pytest.fixture(scope="module")
def chromium():
    """One browser for all tests of a file. Its event loop would disturb other files' tests."""
    with browser() as chromium:
        yield chromium


@pytest.fixture
def server(app, home):
    """Address of the app, which shows this test's home."""
    app.use(home)
    return app.address


@pytest.fixture(scope="module")
def tabs(chromium):
    """A window for all pages of a file: Streamlit's scripts are fetched and compiled once."""
    with window(chromium) as tabs:
        yield tabs


@pytest.fixture
def page(server, tabs):
    """A browser page, while the app is running. It finds nothing of the pages before it."""
    page = tabs.new_page()
    yield page
    if page.url.startswith(server):
        page.evaluate("localStorage.clear()")
    page.close()
    tabs.clear_cookies()
