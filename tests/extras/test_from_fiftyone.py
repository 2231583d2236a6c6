"""Loading what FiftyOne exports."""

from __future__ import annotations

import os

import pytest

import labelaudit


@pytest.fixture(scope="module")
def fo(tmp_path_factory):
    """The package with a separate database."""
    with pytest.MonkeyPatch.context() as patch:
        if "fiftyone" not in os.sys.modules:  # else it has one already
            patch.setenv("FIFTYONE_DATABASE_DIR", str(tmp_path_factory.mktemp("fiftyone")))
        patch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
        yield pytest.importorskip("fiftyone")


@pytest.fixture
def theirs(fo, tmp_path, picture):
    """Five samples: 0 dog, 1 cat, 2 without a label, 3 cat, 4 dog."""
    dataset = fo.Dataset()
    for i in range(5):
        path = picture(tmp_path / "src" / f"{i}.png", seed=i)
        sample = fo.Sample(filepath=str(path), tags=["train" if i < 3 else "test", "x"])
        if i != 2:
            sample["ground_truth"] = fo.Classification(label=["dog", "cat"][i % 2])
            sample["mood"] = fo.Classification(label="calm", confidence=0.5)
        dataset.add_sample(sample)
    yield dataset
    dataset.delete()


LABELS = ["dog", "cat", None, "cat", "dog"]


def table(dataset):
    return dataset.view().to_pandas().sort_values("filepath")


@pytest.mark.parametrize("options", [{}, {"include_confidence": True},
                                     {"classes": ["dog", "cat"]}, {"abs_paths": True}])  # fmt: skip
def test_image_classification_export(fo, theirs, tmp_path, options):
    theirs.export(
        str(tmp_path / "out"), dataset_type=fo.types.FiftyOneImageClassificationDataset,
        label_field="ground_truth", **options,
    )  # fmt: skip
    dataset = labelaudit.load_dataset("pets", tmp_path / "out")
    assert table(dataset).ground_truth.tolist() == LABELS
    assert dataset.classes == options.get("classes", ["cat", "dog"])
    assert dataset.info["skipped"]["count"] == 0
    assert table(dataset).filepath.tolist() == [
        str(tmp_path / f"out/data/{i}.png") for i in range(5)
    ]


def test_dataset_export(fo, theirs, tmp_path):
    theirs.export(str(tmp_path / "out"), dataset_type=fo.types.FiftyOneDataset)
    dataset = labelaudit.load_dataset("pets", tmp_path / "out")
    assert table(dataset).ground_truth.tolist() == LABELS
    assert table(dataset).split.tolist() == ["train"] * 3 + ["test"] * 2
    assert table(dataset).tags.tolist() == [("x",)] * 5
    mood = labelaudit.load_dataset("mood", tmp_path / "out", label="mood")
    assert mood.classes == ["calm"]


def test_class_folders_export(fo, theirs, tmp_path):
    theirs.match_tags("train").export(
        str(tmp_path / "out"), dataset_type=fo.types.ImageClassificationDirectoryTree,
        label_field="ground_truth",
    )  # fmt: skip
    dataset = labelaudit.load_dataset("pets", tmp_path / "out")
    found = dict(zip(table(dataset).filepath, table(dataset).ground_truth, strict=True))
    assert {path.split("/")[-1]: label for path, label in found.items()} == {
        "0.png": "dog", "1.png": "cat", "2.png": None,
    }  # fmt: skip
