"""A fingerprint stands for images and labels, wherever they are."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from test_cli import cli

import labelaudit
from labelaudit.core.errors import BadInputError
from labelaudit.dataset.state_fingerprint import dataset_fingerprint


def test_an_export_equals_the_state_that_it_was_made_of(tmp_path, picture, monkeypatch):
    for i in range(8):
        picture(tmp_path / "pets" / ("train", "test")[i % 2] / "abcd"[i // 2] / f"{i}.png", seed=i)
    dataset = labelaudit.load_dataset("pets", tmp_path / "pets")
    (tmp_path / "pets/train/a/broken.png").write_bytes(b"no image")
    loaded = labelaudit.verify(dataset, tmp_path / "pets")
    assert (loaded.equal, loaded.fingerprint) == (True, loaded.other)
    dataset.set_labels([1], "b")
    dataset.set_labels([2], None)
    dataset.tag([3], "removed")
    changed = labelaudit.verify(dataset, tmp_path / "pets")
    assert (changed.equal, changed.missing, changed.extra, changed.relabelled) == (False, 0, 1, 2)
    exported = labelaudit.export_dataset(dataset.view(), tmp_path / "coco", "coco")
    assert exported.fingerprint == changed.fingerprint
    assert f"state of images and labels: {exported.fingerprint}" in str(exported)
    for format, name in (
        ("coco", "instances_train.json"), ("folders", "labels.classes.json"),
        ("huggingface", "README.md"),
        ("label-studio", "README.txt"), ("fiftyone", "metadata.json"),
    ):  # fmt: skip
        if format != "coco":
            labelaudit.export_dataset(dataset.view(), tmp_path / format, format)
        text = (tmp_path / format / name).read_text()
        assert exported.fingerprint in text, format
        assert labelaudit.__version__ in text, format
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "coco")
    for target in ("coco", "zipped.zip"):
        assert labelaudit.verify(dataset, tmp_path / target).equal
    assert cli("verify", "pets").stdout.strip() == exported.fingerprint
    monkeypatch.chdir(tmp_path)
    data = json.loads(cli("verify", "pets", exported.fingerprint[:12], "--json").stdout)
    assert data["equal"]
    assert "3 have another label" not in cli("verify", "pets", "pets", code=3).stdout
    assert "1 additional, 2 labelled differently" in cli("verify", "pets", "pets", code=3).stdout
    assert "has the fingerprint" in cli("verify", "pets", "0" * 12, code=3).stdout


def test_arrays_have_a_fingerprint_and_unknown_hashes_none(home, tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (8, 6, 6), dtype=np.uint8)
    dataset = labelaudit.load_arrays("arrays", images, [0, 1] * 4)
    frame = dataset.view().frame
    first = dataset_fingerprint(frame)
    dataset.tag([1], "odd")
    assert dataset_fingerprint(frame) == first
    dataset.set_labels([1], "1")
    assert dataset_fingerprint(frame) != first
    dataset.add_samples([{"filepath": str(tmp_path / "no.png"), "label": "x"}])
    assert dataset_fingerprint(frame) is None
    with pytest.raises(BadInputError, match="load it once more"):
        labelaudit.verify(dataset, None)
