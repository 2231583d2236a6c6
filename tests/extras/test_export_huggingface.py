"""What `export` writes for Hugging Face, opened by the real `datasets`."""

from __future__ import annotations

import numpy as np
import pytest

from labelaudit import load_arrays
from labelaudit.export import export_dataset, huggingface

datasets = pytest.importorskip("datasets")

NAMES = ["zebra", '=1+1, "x"', "日本"]  # in no natural order


@pytest.fixture
def odd(home, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    images = np.random.default_rng(0).integers(0, 255, (12, 5, 4, 3), np.uint8)
    labels = [*(i % 3 for i in range(11)), None]
    splits = [["train", "fold-1", "all", None][i % 4] for i in range(12)]
    tags = [["hard"] if i % 2 else [] for i in range(12)]
    dataset = load_arrays("odd", images, labels, classes=NAMES, splits=splits, tags=tags)
    dataset.set_labels([1], "日本")
    return dataset


@pytest.mark.parametrize("shard_bytes", [500_000_000, 150])
def test_datasets_opens_it_and_all_is_equal(odd, tmp_path, monkeypatch, shard_bytes):
    monkeypatch.setattr(huggingface, "SHARD_BYTES", shard_bytes)
    done = export_dataset(odd, tmp_path / "out", "huggingface")
    opened = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert set(opened) == {"train", "fold_1", "all_", "no_split"}
    assert any("'fold-1'" in note for note in done.notes)
    if shard_bytes == 150:
        assert len(list((tmp_path / "out/data").glob("train-*"))) > 1
    rows = {row["id"]: (name, row) for name, part in opened.items() for row in part}
    assert len(rows) == len(odd)
    features = opened["train"].features
    assert isinstance(features["image"], datasets.Image)
    assert features["label"].names == features["original_label"].names == NAMES
    for sample in odd.view():
        _, row = rows[sample.id]
        name = None if row["label"] is None else NAMES[row["label"]]
        assert name == sample.ground_truth
        before = None if row["original_label"] is None else NAMES[row["original_label"]]
        assert before == sample.original_label
        assert row["split"] == sample.split
        assert tuple(row["tags"]) == sample.tags
        assert row["image"].tobytes() == sample.image.tobytes()
    assert NAMES[rows[1][1]["label"]] != NAMES[rows[1][1]["original_label"]]


def test_usual_splits_keep_their_names(audited, tmp_path):
    done = export_dataset(audited, tmp_path / "out", "huggingface")
    assert done.notes == []
    opened = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in opened.items()} == audited.info["splits"]
    assert "split" not in opened["train"].column_names
    assert opened["train"].features["label"].names == audited.classes
    card = (tmp_path / "out/README.md").read_text()
    assert "| whose label is not the one that was loaded | 359 |" in card
    assert "359 labels made wrong on purpose" in card
    assert "Run `run-1`" in card


def test_class_folders_are_an_imagefolder(audited, tmp_path):
    export_dataset(audited, tmp_path / "out", "folders")
    opened = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out"),
                                   cache_dir=str(tmp_path / "cache"))  # fmt: skip
    assert {name: len(part) for name, part in opened.items()} == audited.info["splits"]
    names = opened["train"].features["label"].names
    assert names == audited.classes
    counts = np.bincount(opened["train"]["label"], minlength=10)
    assert counts.tolist() == list(
        audited.view().match(split="train").count_values("ground_truth").values()
    )
