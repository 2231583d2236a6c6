"""Datasets that earlier versions stored."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest

import labelaudit
from labelaudit import Dataset
from labelaudit.core.errors import DamagedError
from labelaudit.dataset import migrations
from labelaudit.storage import schema

# 100 digits with 10 planted mistakes, a first look, a run of one epoch, scores, applied verdicts of
# "ann", and a tag. Stored by commit 19bfe8f, before the modules were moved into folders.
# The weights were rounded to sixteenths so that the file is small.
FORMAT_1 = Path(__file__).parent / "data" / "dataset-format-1.zip"


@pytest.fixture
def old(home) -> Dataset:
    with zipfile.ZipFile(FORMAT_1) as archive:
        archive.extractall(home)
    return Dataset("old")


def test_a_dataset_of_an_earlier_version_is_read(old):
    assert labelaudit.list_datasets() == ["old"]
    assert (len(old), old.classes) == (100, [str(digit) for digit in range(10)])
    assert old.info["tags"] == {"mistake": 10, "processed": 100, "removed": 1, "seen": 1}
    assert old.info["noise"]["changed"] == 10
    assert old.runs == ["first-look", "run-1"]
    assert [change.kind for change in labelaudit.list_changes(old)] == ["noise", "verdicts", "tag"]
    assert old[1].ground_truth == "3"
    assert old[1].image.size == (8, 8)
    assert old[1].prediction.logits.shape == (10,)
    assert np.isfinite(old.view("run-1").values("suspicion")).sum() >= 97
    run = old.run("run-1")
    ids = old.view().ids
    assert run.dynamics(ids).margin.shape == (1, 100)
    assert run.neighbours([1], 3)[0].shape == (1, 3)
    assert not labelaudit.Review(old, "ann").of([3])[0][0].label
    assert labelaudit.load_model(old, "run-1")[1]["name"] == "run-1"


def test_a_dataset_of_an_earlier_version_is_written_to(old):
    labelaudit.predict(old, "run-1", "cpu")
    labelaudit.compute_scores(old, "run-1")
    labelaudit.Review(old, "bob").decide(7, "keep")
    old.set_labels([7], "0")
    labelaudit.restore_noise(old)
    labelaudit.return_to(old, 0)
    assert old.info["tags"] == {"processed": 100}
    assert not (old.view().frame.original_label >= 0).any()


def test_formats_are_upgraded_step_by_step(monkeypatch):
    monkeypatch.setattr(schema, "FORMAT", 3)
    steps = {1: lambda meta: {**meta, "format": 2, "a": 1}, 2: lambda meta: {**meta, "format": 3}}
    monkeypatch.setattr(migrations, "MIGRATIONS", {**migrations.MIGRATIONS, **steps})
    assert migrations.upgrade("x", {"classes": []}) == {"classes": [], "format": 3, "a": 1}
    assert migrations.upgrade("x", {"format": 3}) == {"format": 3}
    with pytest.raises(DamagedError, match="newer LabelAudit"):
        migrations.upgrade("x", {"format": 4})


# --- format 1: several tables changed without a snapshot ---


def latest(home, table: str):
    """A table of the old dataset as LanceDB knows it."""
    return lancedb.connect(home / "datasets" / "old").open_table(table)


def stamp(home, table: str) -> str:
    handle = latest(home, table)
    return json.dumps([handle.version, handle.schema.metadata[b"labelaudit:made"].decode()])


def write_old_meta(home, **more) -> None:
    handle = latest(home, "meta")
    info = json.loads(handle.to_arrow()["info"][0].as_py())
    handle.update(where="id = 0", values={"info": json.dumps({**info, **more})})


def interrupt(home) -> None:
    """Leave all that format 1 could leave when it was killed: predictions without their tag, a
    class and samples that were not added, and a change that was recorded and not made."""
    with zipfile.ZipFile(FORMAT_1) as archive:
        archive.extractall(home)
    annotations = latest(home, "annotations")
    rows = annotations.to_arrow().to_pylist()
    changed = [{**row, "tags": [t for t in row["tags"] if t != "processed"]} for row in rows]
    annotations.merge_insert("id").when_matched_update_all().execute(
        pa.Table.from_pylist(changed, schema=schema.ANNOTATIONS)
    )
    before = stamp(home, "annotations")
    info = json.loads(latest(home, "meta").to_arrow()["info"][0].as_py())
    adding = {"known": 10, "next_id": info["next_id"], "before": before}
    write_old_meta(
        home,
        classes=[*info["classes"], "new"],
        next_id=info["next_id"] + 2,
        adding=adding,
        predicting={"predictions-2": json.dumps([0, "other"])},
    )
    samples = latest(home, "samples")
    some = samples.to_arrow().slice(0, 2).to_pylist()
    lost = [{**row, "id": info["next_id"] + i} for i, row in enumerate(some)]
    samples.add(pa.Table.from_pylist(lost, schema=schema.SAMPLES))
    history = latest(home, "history")
    last = max(row["id"] for row in history.to_arrow().to_pylist())
    entry = {"id": last + 1, "time": "", "who": "", "kind": "tag", "count": 1, "before": before}
    history.add(pa.Table.from_pylist([{**entry, "info": "{}"}], schema=schema.HISTORY))
    change = {"change": last + 1, "sample": 1, "label_before": 0, "label_after": 1}
    more = {"added": [], "removed": []}
    latest(home, "changes").add(pa.Table.from_pylist([{**change, **more}], schema=schema.CHANGES))


def check_completed(home, tagged: int) -> None:
    dataset = Dataset("old")
    assert (len(dataset), dataset.classes) == (100, [str(digit) for digit in range(10)])
    assert [c.kind for c in labelaudit.list_changes(dataset)][:3] == ["noise", "verdicts", "tag"]
    assert len(labelaudit.list_changes(dataset)) == 3
    assert dataset.info["tags"].get("processed", 0) == tagged


class Killed(BaseException):
    """Ends the code under test, as a kill would."""


def test_what_format_1_left_is_hidden_and_completed_by_the_first_change(home):
    interrupt(home)
    files = {path for path in home.rglob("*") if path.is_file()}
    check_completed(home, 0)
    assert files == {path for path in home.rglob("*") if path.is_file()}  # only read
    Dataset("old").new_run("x").abandon()
    check_completed(home, 100)
    store = Dataset("old").view().store
    assert store.count("samples") == 100
    assert store.read("changes", ["change"])["change"].to_numpy().max() <= 3
    assert not {"adding", "predicting"} & Dataset("old").view().frame.meta.keys()
    assert Dataset("old").add_samples([{"filepath": "/x", "label": "odd"}]) == [101]
    assert Dataset("old").classes[10:] == ["odd"]


def test_a_conversion_killed_anywhere_leaves_a_dataset_that_opens(home, monkeypatch):
    points = ("_hold", "_create", "_once", "_written", "_swap")
    steps = []
    for step in range(1, 60):
        shutil.rmtree(home, ignore_errors=True)
        interrupt(home)
        dataset, calls = Dataset("old"), []
        store = dataset.view().store

        def dying(function, calls=calls, step=step):
            def call(*arguments):
                calls.append(function.__name__)
                if len(calls) == step:
                    raise Killed
                return function(*arguments)

            return call

        with monkeypatch.context() as patch:
            for name in points:
                patch.setattr(store, name, dying(getattr(store, name)))
            try:
                with dataset.transaction():
                    pass
            except Killed:
                pass
        assert Dataset("old").info["tags"].get("processed", 0) in (0, 100)
        check_completed(home, Dataset("old").info["tags"].get("processed", 0))
        with Dataset("old").transaction():
            pass
        check_completed(home, 100)
        steps.append(calls[-1])
        if len(calls) < step:
            break
    assert len(calls) < step
    assert {*steps} == {*points}


def test_an_earlier_version_refuses_a_converted_dataset(old):
    old.tag([1], "x")
    home = Path(old.uri).parents[1]
    assert json.loads(latest(home, "meta").to_arrow()["info"][0].as_py())["format"] == 2
