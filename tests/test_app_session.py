"""A session of the app: what Python writes for it. test_browser_smoke.py shows it in a browser."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

import labelaudit
from labelaudit import app_session
from labelaudit.app_session import Session, SessionFolder, app_folder
from labelaudit.core.errors import BadInputError, BusyError, LabelAuditError, NotFoundError
from labelaudit.core.subprocess_env import SESSION


@pytest.fixture
def session(tmp_path):
    """A session with a process that is not the app."""
    folder = tmp_path / "session"
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with Session(process, SessionFolder(folder), 8600) as session:
        yield session


def test_the_app_is_told_the_samples_of_a_view_in_order(session, make_dataset, tmp_path):
    dataset, other = make_dataset(20, name="pets"), make_dataset(5, name="other")
    folder = SessionFolder(tmp_path / "session")
    assert folder.shown() is None
    assert session.selected_view is None
    session.dataset = dataset
    assert (folder.shown().dataset, folder.shown().ids, session.view) == ("pets", None, None)
    view = dataset.view().select([3, 9, 4]).sort_by("id", reverse=True)
    session.view = view
    assert (folder.shown().ids, folder.shown().field, folder.shown().run) == ([9, 4, 3], "id", None)
    assert session.view is view
    session.clear_view()
    assert folder.shown().ids is None
    session.view = other
    assert folder.shown().dataset == "other"
    with pytest.raises(BadInputError, match="assign a View"):
        session.view = [1, 2]
    with pytest.raises(BadInputError, match="assign a Dataset"):
        session.dataset = "pets"
    with pytest.raises(LabelAuditError, match="no predictions"):
        session.view = dataset.view().sort_by("hardness")
    assert session.dataset.name == "other"  # as before


def test_a_selection_belongs_to_the_view_it_was_made_in(session, make_dataset, tmp_path):
    dataset = make_dataset(20)
    folder = SessionFolder(tmp_path / "session")
    session.view = dataset.view().limit(10)
    folder.write_selected(folder.shown().number, [7, 2])
    assert session.selected == [7, 2]
    assert session.selected_view.ids.tolist() == [2, 7]
    session.view = dataset.view()
    assert session.selected == []
    folder.write_selected(1, [7])  # of the earlier view, a moment too late
    assert session.selected == []


def test_a_closed_session_says_so(session, make_dataset, tmp_path):
    dataset = make_dataset(20)
    assert "8600/session" in repr(session)
    session.wait(0.01)
    session.close()
    session.close()
    session.wait()
    assert "closed" in repr(session)
    assert not (tmp_path / "session").exists()
    assert session.selected == []
    SessionFolder(tmp_path / "session").write_selected(1, [3])  # a page that is still open
    with pytest.raises(LabelAuditError, match="is closed: call launch_app again"):
        session.view = dataset.view()


def test_what_cannot_be_opened_is_refused_before_the_app_starts(make_dataset):
    dataset = make_dataset(5)
    with pytest.raises(NotFoundError, match="gone"):
        labelaudit.launch_app("gone")
    with pytest.raises(BadInputError, match="give a Dataset, a View or a name"):
        labelaudit.launch_app(7)
    with pytest.raises(BadInputError, match="from 1 to 65535"):
        labelaudit.launch_app(dataset, port=99_999)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(BusyError, match="cannot be used"):
            labelaudit.launch_app(dataset, port=taken.getsockname()[1])


def test_an_app_that_does_not_start_says_why_and_leaves_nothing(make_dataset, home, monkeypatch):
    fails = [sys.executable, "-c", "raise SystemExit('no streamlit here')"]
    monkeypatch.setattr(app_session, "command", lambda *_: fails)
    with pytest.raises(LabelAuditError, match="did not start: no streamlit here"):
        labelaudit.launch_app(make_dataset(5), open_browser=False)
    assert not list((home / "sessions").iterdir())


def test_the_app_finds_its_session_in_its_environment(tmp_path, monkeypatch):
    assert app_folder() is None
    monkeypatch.setenv(SESSION, str(tmp_path))
    (tmp_path / "view.json").write_text(json.dumps({"number": 3, "dataset": "pets"}))
    assert app_folder().shown().dataset == "pets"


def test_all_datasets_are_dropped_only_on_confirmation(make_dataset):
    make_dataset(5, name="a")
    make_dataset(5, name="b")
    with pytest.raises(BadInputError, match=r"deletes 2 datasets .*: pass confirm=True"):
        labelaudit.drop_all()
    assert labelaudit.drop_all(confirm=True) == ["a", "b"]
    assert labelaudit.list_datasets() == []
    assert labelaudit.drop_all(confirm=True) == []
