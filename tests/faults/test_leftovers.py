"""What is cleaned up, and what is not because another process uses it."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from forks import Program

import labelaudit
from labelaudit import Dataset, LabelAuditError
from labelaudit.dataset import edits
from labelaudit.dataset.history_log import write_meta
from labelaudit.export.tables import write_table
from labelaudit.storage import paths, schema
from labelaudit.storage.locks import UseMark

# A process that does something, says "ready" and waits for its input to end, or to be killed.
WAITING = "import sys, os\n{}\nprint('ready', flush=True)\nsys.stdin.read()\n"


@contextmanager
def another(code: str):
    """Another process that did this and still runs."""
    process = Program(WAITING.format(code))
    assert process.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        process.kill()


HOLD = """
from pathlib import Path
from labelaudit.storage.locks import UseMark
mark = UseMark(Path({!r}))
mark.acquire()
"""


def mark(dataset: Dataset, table: str) -> Path:
    folder = paths.marks(dataset.name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{table}.writing"


def half_written(dataset: Dataset, table: str) -> Path:
    """A data file that no version of the table knows."""
    store = dataset.view().store
    path = Path(store._folder(store._snapshot().folder, table), "data", "half.lance")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    path.with_name(".tmp1A2b3C").write_bytes(b"less than half")  # as LanceDB begins a file
    return path


# --- tables ---


@pytest.mark.parametrize("table", ["verdicts", "samples", "annotations", "predictions-9"])
@pytest.mark.system
def test_a_half_written_table_is_cleared_by_the_next_change_once_its_writer_is_dead(
    make_dataset, table
):
    dataset = make_dataset(6)
    rest, path = half_written(dataset, table), mark(dataset, table)
    with another(HOLD.format(str(path))):
        dataset.tag([1], "x")
        assert rest.exists()  # its writer lives
        assert path.exists()
        assert dataset.view().store._mark(table).is_held()
    dataset.tag([2], "x")
    assert not rest.exists()
    assert not rest.with_name(".tmp1A2b3C").exists()
    assert not path.exists()
    assert Dataset("plain").info["tags"] == {"x": 2}
    assert table in ("samples", "annotations") or not rest.parents[1].exists()


def test_files_without_a_mark_are_nobody_s_business(make_dataset):
    dataset = make_dataset(6)
    rest = half_written(dataset, "annotations")
    dataset.tag([1], "x")
    assert rest.exists()


def test_a_cut_short_change_never_happened_and_is_cleared(make_dataset, monkeypatch):
    """All tables were written, and the commit was not."""
    dataset = make_dataset(6)
    store, before = dataset.view().store, dataset.view().to_pandas()

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "_swap", dies)
        with pytest.raises(KeyboardInterrupt):
            dataset.set_labels([1, 2], "c3")
    assert before.equals(Dataset("plain").view().to_pandas())
    assert mark(dataset, "annotations").exists()
    half_written(dataset, "annotations")
    Dataset("plain").add_samples([{"filepath": "/nowhere/new.png", "label": "c1"}])
    assert labelaudit.list_changes(Dataset("plain")) == []
    Dataset("plain").set_labels([3], "c0")
    assert [change.count for change in labelaudit.list_changes(Dataset("plain"))] == [1]
    assert Dataset("plain").view().values("ground_truth").tolist()[:3] == ["c0", "c1", "c0"]
    assert not list(paths.marks("plain").iterdir())


def test_a_write_that_failed_is_cleared_too(make_dataset):
    dataset = make_dataset(6)
    run = dataset.new_run().finish({"classes": dataset.classes})
    logits = np.zeros((2, 4), np.float32)
    run.write_predictions([(np.array([1, 2]), logits)])
    with pytest.raises(LabelAuditError, match="not finite"):
        run.write_predictions([(np.array([1, 2]), logits), (np.array([3, 4]), logits * np.nan)])
    assert mark(dataset, f"predictions-{run.id}").exists()
    dataset.tag([1], "x")
    assert not mark(dataset, f"predictions-{run.id}").exists()
    assert len(next(run.logits())[0]) == 2


# --- runs ---

BEGIN = """
from labelaudit import Dataset
import pyarrow as pa
import numpy as np
run = Dataset("plain").new_run("other")
run.append_dynamics(1, np.array([1]), np.array([0]), np.zeros(1, "f"), np.zeros(1, "f"))
"""


def states(dataset: Dataset) -> dict:
    rows = dataset.view().store.read("runs", ["id", "name", "state"]).to_pylist()
    return {row["name"]: row["state"] for row in rows}


@pytest.mark.system
def test_a_run_that_was_begun_is_taken_back_once_its_process_is_dead(make_dataset):
    dataset = make_dataset(6)
    with another(BEGIN):
        dataset.new_run("mine")
        assert states(dataset) == {"other": "begun", "mine": "begun"}
        assert "dynamics-1" in dataset.view().store.tables()
    dataset.new_run("next").finish({"classes": dataset.classes})
    assert states(dataset) == {"other": "gone", "mine": "begun", "next": "finished"}
    assert "dynamics-1" not in dataset.view().store.tables()
    names = {path.name.rpartition("-")[2] for path in paths.checkpoints("plain").glob("*")}
    assert names == {"2.begun"}


@pytest.mark.system
def test_a_run_that_can_be_resumed_is_kept_and_what_belongs_to_none_is_not(make_dataset):
    dataset = make_dataset(6)
    with another(BEGIN):
        pass
    begun = next(paths.checkpoints("plain").glob("*.begun"))
    checkpoint = begun.with_suffix(".safetensors")
    checkpoint.touch()
    stray = checkpoint.with_name(checkpoint.name.replace("-1.", "-7."))
    stray.touch()
    dataset.new_run("next")
    assert dataset.unfinished_runs == ["other"]
    assert checkpoint.exists()
    assert not stray.exists()
    dataset.new_run("other").finish({"classes": dataset.classes})  # takes its place
    assert dataset.runs == ["other"]
    dataset.new_run("more")
    assert not checkpoint.exists()
    assert not begun.exists()


@pytest.mark.system
def test_runs_begun_on_another_machine_are_left_alone(make_dataset):
    dataset = make_dataset(6)
    with another(BEGIN):
        pass
    next(paths.checkpoints("plain").glob("*.begun")).unlink()  # no sign of it here
    dataset.new_run("mine")
    assert states(dataset) == {"other": "begun", "mine": "begun"}


# --- samples, classes and tags that change together ---


@pytest.mark.parametrize("at", range(1, 8))
def test_samples_that_were_about_to_be_added_leave_nothing(make_dataset, monkeypatch, at):
    dataset = make_dataset(6)
    store, calls = dataset.view().store, []
    rows = [{"filepath": f"/new/{i}.png", "label": "fresh"} for i in range(3)]

    def dying(function):
        def call(*arguments):
            calls.append(function.__name__)
            if len(calls) == at:
                raise KeyboardInterrupt
            return function(*arguments)

        return call

    with monkeypatch.context() as patch:
        for name in ("_once", "_written", "_create", "_swap"):
            patch.setattr(store, name, dying(getattr(store, name)))
        with pytest.raises(KeyboardInterrupt):
            dataset.add_samples(rows)
    again = Dataset("plain")
    assert (len(again), again.classes) == (6, ["c0", "c1", "c2", "c3"])
    again.tag([1], "x")
    assert again.add_samples(rows) == [7, 8, 9]
    assert store.count("samples") == len(again) == 9
    assert again.classes == ["c0", "c1", "c2", "c3", "fresh"]
    assert again[8].filepath == "/new/1.png"


def test_predictions_and_their_tag_are_one_commit(make_dataset, monkeypatch):
    dataset = make_dataset(6)
    run = dataset.new_run().finish({"classes": dataset.classes})

    def dies(*_):
        raise KeyboardInterrupt

    rows = [(np.array([1, 4, 99]), np.zeros((3, 4), np.float32))]
    with monkeypatch.context() as patch:
        patch.setattr(edits, "tag", dies)
        with pytest.raises(KeyboardInterrupt):
            run.write_predictions(rows)
    again = Dataset("plain")
    assert again.info["tags"] == {}
    assert not again.run("run-1").has_predictions()
    run.write_predictions(rows)
    assert Dataset("plain").info["tags"] == {"processed": 2}


# --- folders and files ---

LOCKED = """
from labelaudit.storage.tables import Store
import contextlib
stack = contextlib.ExitStack()
stack.enter_context(Store("other").transaction())
"""


@pytest.mark.system
def test_a_load_that_was_killed_is_cleared_by_any_other_but_not_one_under_way(make_dataset, home):
    folder = home / "datasets" / "other" / "0123456789ab"
    make_dataset(2)
    with another(LOCKED):
        folder.mkdir(parents=True)
        make_dataset(2, name="third")
        assert folder.exists()
    make_dataset(2, name="fourth")
    assert not folder.parent.exists()
    assert labelaudit.list_datasets() == ["fourth", "plain", "third"]


def test_checkpoints_of_a_dataset_whose_deletion_was_killed_go_with_the_next_load(
    make_dataset, home
):
    make_dataset(2).new_run("x")
    make_dataset(2, name="other").new_run("x")
    folders = home / "checkpoints"
    shutil.rmtree(home / "datasets" / "plain")
    make_dataset(2, name="third")
    assert [path.name.rpartition("-")[0] for path in folders.iterdir()] == ["other"]


@pytest.mark.system
def test_a_file_that_is_written_clears_what_a_killed_process_left_of_it(tmp_path):
    table, path = pa.table({"a": [1]}), tmp_path / "a[1].csv"
    dead, alive = (tmp_path / f".a[1].csv.{tail}.partial" for tail in ("00000000", "11111111"))
    others = [tmp_path / name for name in (".a[1].csv.backup", ".b.csv.00000000.partial")]
    for file in (dead, *others):
        file.touch()
    with another(HOLD.format(str(alive))):
        write_table(table, path)
        assert sorted(tmp_path.glob("*.*")) == sorted([alive, *others, path])
    write_table(table, path)
    assert sorted(tmp_path.glob("*.*")) == sorted([*others, path])
    assert oct(path.stat().st_mode & 0o777) == "0o644"


# --- holding ---


def test_a_file_is_left_behind_only_when_nobody_holds_it(tmp_path):
    path = tmp_path / "held"
    with UseMark(path).cleaning_up() as dead:
        assert not dead  # it is not there
    with UseMark(path), UseMark(path), UseMark(path).cleaning_up() as dead:  # several may
        assert not dead
    assert not path.exists()
    mark = UseMark(path)
    mark.acquire()
    mark.close()
    with pytest.raises(ZeroDivisionError), UseMark(path).cleaning_up():
        _ = 1 / 0
    assert path.exists()  # clearing failed: it is to be tried again
    with UseMark(path).cleaning_up() as dead:
        assert dead
    assert not path.exists()


def test_a_file_that_was_cleared_while_it_was_being_taken_is_made_again(tmp_path, monkeypatch):
    path, stat, calls = tmp_path / "held", os.stat, []

    def cleared(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            path.unlink()
        return stat(*arguments, **options)

    monkeypatch.setattr("labelaudit.storage.locks.os.stat", cleared)
    mark = UseMark(path)
    mark.acquire()
    monkeypatch.undo()
    assert os.path.samestat(os.stat(path), os.fstat(mark.descriptor))
    with UseMark(path).cleaning_up() as dead:
        assert not dead
    mark.close()


# --- versions ---


def test_a_dataset_of_a_newer_version_is_refused_and_takes_no_other_down(make_dataset):
    dataset = make_dataset(3)
    make_dataset(3, name="other")
    meta = dataset.view().frame.meta
    assert meta["format"] == schema.FORMAT
    store = dataset.view().store
    older = json.dumps({key: value for key, value in meta.items() if key != "format"})
    row = store.read("meta", ["id", "info"]).set_column(1, "info", [[older]])
    store.overwrite("meta", row, schema.META)
    assert len(Dataset("plain")) == 3  # of the time before
    Dataset("plain").add_samples([{"filepath": "/a"}])
    assert Dataset("plain").view().frame.meta["format"] == schema.FORMAT
    newer = json.dumps({**meta, "format": schema.FORMAT + 1})
    store.overwrite("meta", row.set_column(1, "info", [[newer]]), schema.META)
    for step in (lambda: Dataset("plain"), lambda: len(dataset.classes)):
        with pytest.raises(LabelAuditError, match=r"by a newer LabelAudit \(format 3, .* 2\)"):
            step()
    assert labelaudit.list_datasets() == ["other", "plain"]
    assert len(Dataset("other")) == 3
    write_meta(store, meta)
    assert len(Dataset("plain")) == 4
