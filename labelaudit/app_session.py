"""The app opened from Python: `launch_app` starts it, and a Session says what it shows.

The app is a process of its own. Both sides exchange two small files in a folder of the session:
Python writes which samples to show, the app writes which ones are selected.
"""

from __future__ import annotations

import atexit
import html
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
import webbrowser
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from .core.errors import BadInputError, BusyError, LabelAuditError
from .core.subprocess_env import SESSION, command, environment
from .dataset.dataset import Dataset
from .dataset.view import View
from .storage import paths

HOST = "127.0.0.1"
SHOWN, SELECTED, LOG = "view.json", "selected.json", "app.log"  # files in it
START_SECONDS = 180
PAGE = "session"  # path of the app's page


@dataclass(frozen=True)
class Shown:
    """What the app is to show. number: grows with each change. ids: in order; None for all samples.

    field: the score or other field that the view is sorted by, shown on each image.
    """

    number: int
    dataset: str
    run: str | None = None
    ids: list[int] | None = None
    field: str | None = None


class SessionFolder:
    """The files through which Python and the app talk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write_shown(self, shown: Shown) -> None:
        self._write(SHOWN, asdict(shown))

    def shown(self) -> Shown | None:
        """Return what to show; None before the first dataset is chosen, and after the session."""
        content = self._read(SHOWN)
        return None if content is None else Shown(**content)

    def write_selected(self, number: int, ids: list[int]) -> None:
        """Store the ids that are selected in the view of this number."""
        if self.folder.is_dir():
            self._write(SELECTED, {"number": number, "ids": ids})

    def selected(self, number: int) -> list[int]:
        """Return the ids that are selected in the view of this number."""
        content = self._read(SELECTED)
        return content["ids"] if content and content["number"] == number else []

    def _write(self, name: str, content: dict) -> None:
        partial = self.folder / f"{name}.{uuid.uuid4().hex}"  # the app writes from several threads
        partial.write_text(json.dumps(content))
        partial.replace(self.folder / name)  # a reader sees the old or the new content

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads((self.folder / name).read_text())
        except FileNotFoundError:
            return None


class Session:
    """A running app. `launch_app` returns it; `close`, or the end of Python, stops the app.

    It is a context manager: `with labelaudit.launch_app(dataset) as session:`.
    """

    def __init__(self, process: subprocess.Popen, folder: SessionFolder, port: int) -> None:
        self._process, self._folder, self._port = process, folder, port
        self._number = 0
        self._dataset: Dataset | None = None
        self._view: View | None = None
        atexit.register(self.close)

    def __repr__(self) -> str:
        shown = self._view or self._dataset or "no dataset"
        return f"Session({self.url}, {shown if self.is_running else 'closed'})"

    def _repr_html_(self) -> str:
        """A link, for notebooks."""
        url = html.escape(self.url)
        return f'<a href="{url}" target="_blank">{url}</a>' if self.is_running else "closed"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Address of the page that shows the session's view. Only this machine can reach it."""
        return f"http://{HOST}:{self._port}/{PAGE}"

    @property
    def is_running(self) -> bool:
        """Whether the app is running."""
        return self._process.poll() is None

    @property
    def dataset(self) -> Dataset | None:
        """The dataset that is shown. Assign another one to show all of its samples."""
        return self._dataset

    @dataset.setter
    def dataset(self, dataset: Dataset) -> None:
        if not isinstance(dataset, Dataset):
            raise BadInputError(f"session.dataset = {dataset!r}: assign a Dataset.")
        self._show(dataset, None)

    @property
    def view(self) -> View | None:
        """The view that is shown; None if it is the whole dataset.

        Assign a view to show exactly its samples in its order, as they are now; an open page
        follows within a second. Assign None, or call `clear_view`, to show the whole dataset.
        Raises BadInputError for anything else, and what reading the view raises.
        """
        return self._view

    @view.setter
    def view(self, view: View | Dataset | None) -> None:
        if isinstance(view, Dataset):
            self._show(view, None)
        elif isinstance(view, View):
            self._show(Dataset(view.name), view)
        elif view is None and self._dataset is not None:
            self._show(self._dataset, None)
        elif view is not None:
            raise BadInputError(f"session.view = {view!r}: assign a View, a Dataset or None.")

    def clear_view(self) -> None:
        """Show the whole dataset."""
        self.view = None

    @property
    def selected(self) -> list[int]:
        """Ids of the samples that are selected on the session's page, in the order of selecting."""
        return self._folder.selected(self._number)

    @property
    def selected_view(self) -> View | None:
        """The selected samples as a view of the dataset; None without a dataset."""
        if self._dataset is None:
            return None
        view = self._view or self._dataset.view()
        return view.select(self.selected)

    def refresh(self) -> None:
        """Read the view again, and show it; the selection is cleared."""
        if self._dataset is not None:
            self._show(self._dataset, self._view)

    def wait(self, timeout: float | None = None) -> None:
        """Return when the app has ended, after Ctrl-C, or after `timeout` seconds.

        A script that opens the app calls this at its end, because the app ends with Python.
        """
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.wait(timeout)

    def close(self) -> None:
        """Stop the app. Closing twice is no error."""
        atexit.unregister(self.close)
        if self.is_running:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        shutil.rmtree(self._folder.folder, ignore_errors=True)

    def _show(self, dataset: Dataset, view: View | None) -> None:
        if not self.is_running:
            raise LabelAuditError("the app of this session is closed: call launch_app again.")
        shown = Shown(self._number + 1, dataset.name)
        if view is not None:
            with view.steady():
                run = view.fields.run_or_none()
                name = run["name"] if run else None
                ids, field = view.ids.tolist(), _sorted_by(view)
            shown = Shown(self._number + 1, dataset.name, name, ids, field)
        self._folder.write_shown(shown)
        self._number, self._dataset, self._view = shown.number, dataset, view


def launch_app(
    dataset: Dataset | View | str | None = None,
    *,
    port: int | None = None,
    open_browser: bool = True,
) -> Session:
    """Open the app on a dataset or a view. Returns a Session: `session.view = view` shows a view,
    `session.selected` are the ids that are selected there.

    dataset: a dataset, its name, a view, or None to choose it later. port: of the app, by default a
    free one. open_browser: also open the page in the browser, if this machine has a screen.
    The app is a separate process. It can be reached from this machine only, and ends with Python.
    Raises NotFoundError for an unknown dataset, BadInputError for anything else than a dataset,
    BusyError if the port is taken, and LabelAuditError if the app does not start.
    """
    if isinstance(dataset, str):
        dataset = Dataset(dataset)
    if not isinstance(dataset, Dataset | View | None):
        raise BadInputError(f"launch_app({dataset!r}): give a Dataset, a View or a name.")
    port = _free_port(port)
    folder = paths.local_home() / "sessions" / uuid.uuid4().hex
    folder.mkdir(parents=True, mode=0o700)
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            command(
                "ui",
                "--server.headless=true",
                f"--server.address={HOST}",  # whatever STREAMLIT_SERVER_ADDRESS says
                f"--server.port={port}",
            ),
            stdin=subprocess.PIPE,  # the app ends when this process closes it, however it ends
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for Python
            env=environment() | {SESSION: str(folder)},
        )
    session = Session(process, SessionFolder(folder), port)
    try:
        session.view = dataset  # type: ignore[assignment]
        _wait_for(session, folder / LOG)
    except BaseException:
        session.close()
        raise
    if open_browser and _has_screen():
        webbrowser.open(session.url)
    return session


def app_folder() -> SessionFolder | None:
    """Return the folder of the session that started this app; None if Python did not start it."""
    folder = os.environ.get(SESSION)
    return SessionFolder(Path(folder)) if folder else None


def _sorted_by(view: View) -> str | None:
    """Return the field that the view is sorted by last."""
    fields = [step[1] for step in view.steps if step[0] == "sort_by"]
    return fields[-1] if fields and isinstance(fields[-1], str) else None


def _free_port(port: int | None) -> int:
    """Return the port, or a free one. Raises BusyError if it is taken."""
    if port is not None and not (isinstance(port, int) and 0 < port < 65_536):
        raise BadInputError(f"port={port!r}: give a number from 1 to 65535.")
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port or 0))
        except OSError as error:
            raise BusyError(
                f"port {port} cannot be used ({error.strerror}): give another one, or none."
            ) from error
        return probe.getsockname()[1]


def _wait_for(session: Session, log: Path) -> None:
    """Return when the app answers. Raises LabelAuditError if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    health = f"http://{HOST}:{session._port}/_stcore/health"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while session.is_running and time.monotonic() < deadline:
        with suppress(OSError):
            opener.open(health, timeout=1).close()
            return
        time.sleep(0.05)
    lines = log.read_text(errors="replace").strip().splitlines()
    raise LabelAuditError(f"the app did not start: {lines[-1] if lines else 'it said nothing'}")


def _has_screen() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
