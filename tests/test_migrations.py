"""Datasets that earlier versions stored."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
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
