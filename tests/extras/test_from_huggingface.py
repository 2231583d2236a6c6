"""Loading what the package `datasets` writes."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
from PIL import Image

import labelaudit
from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.core.progress import Task

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The package's cache, in this test's folder."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", str(folder))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
    datasets.disable_progress_bars()
    return folder


def pixels(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 255, (6, 7, 3), np.uint8)


def made(count=4, names=("dog", "cat"), column="image", label="label", labels=None):
    """A dataset that contains PNG images."""
    features = datasets.Features(
        {column: datasets.Image(), label: datasets.ClassLabel(names=list(names)),
         "note": datasets.Value("string")}
    )  # fmt: skip
    rows = {
        column: [Image.fromarray(pixels(i)) for i in range(count)],
        label: labels or [i % len(names) for i in range(count)],
        "note": ["x"] * count,
    }
    return datasets.Dataset.from_dict(rows, features=features)


def check(dataset, labels, splits=None):
    table = dataset.view().to_pandas()
    assert table.ground_truth.tolist() == labels
    assert table.split.tolist() == (splits or [None] * len(labels))
    for i, sample in enumerate(dataset.view()):
        np.testing.assert_array_equal(np.asarray(sample.image), pixels(i))


def test_a_dataset_in_memory_keeps_the_order_of_its_classes():
    dataset = labelaudit.load_huggingface("pets", made(labels=[0, 1, -1, None]))
    assert dataset.classes == ["dog", "cat"]
    check(dataset, ["dog", "cat", None, None])


def test_splits_and_classes_of_a_dataset_dict():
    parts = datasets.DatasetDict(train=made(2), test=made(2, names=("cat", "emu")))
    dataset = labelaudit.load_huggingface("pets", parts)
    assert dataset.classes == ["dog", "cat", "emu"]  # by name, not by number
    assert dataset.view().values("ground_truth").tolist() == ["dog", "cat", "cat", "emu"]
    assert dataset.info["splits"] == {"train": 2, "test": 2}


def test_columns_are_found_by_their_kind_where_they_have_other_names():
    dataset = labelaudit.load_huggingface("a", made(column="img", label="species"))
    check(dataset, ["dog", "cat"] * 2)
    two = made().add_column("fine", [1, 1, 0, 0])
    two = two.cast_column("fine", datasets.ClassLabel(names=["x", "y"])).rename_column("label", "c")
    with pytest.raises(LabelAuditError, match=r"no column 'label'.*it has c, fine\."):
        labelaudit.load_huggingface("b", two)
    assert labelaudit.load_huggingface("b", two, label="fine").classes == ["x", "y"]
    with pytest.raises(LabelAuditError, match=r"no column 'picture'.*it has image, label, note"):
        labelaudit.load_huggingface("c", made(), image="picture")


def test_labels_that_are_no_class_labels():
    texts = made().remove_columns("label").add_column("label", ["b", "a", None, "b"])
    dataset = labelaudit.load_huggingface("texts", texts)
    assert dataset.classes == ["a", "b"]
    check(dataset, ["b", "a", None, "b"])
    numbers = made().remove_columns("label").add_column("label", [10, 9, 10, 9])
    assert labelaudit.load_huggingface("numbers", numbers).classes == ["9", "10"]
    many = made().remove_columns("label").add_column("label", [[0], [1], [0, 1], []])
    with pytest.raises(LabelAuditError, match="one label per image"):
        labelaudit.load_huggingface("many", many)
    assert "many" not in labelaudit.list_datasets()


def relabelled(values):
    return made().remove_columns("label").add_column("label", values)


def test_missing_labels_are_no_classes():
    for values in ([1.0, float("nan"), 0.0, None], [1, -1, 0, None]):
        dataset = labelaudit.load_huggingface("numbers", relabelled(values), overwrite=True)
        assert dataset.classes == ["0", "1"]
        check(dataset, ["1", None, "0", None])
    words = labelaudit.load_huggingface("words", relabelled(["nan", "None", "NA", ""]))
    check(words, ["nan", "None", "NA", None])
    with pytest.raises(LabelAuditError, match="labels -1 and 1"):
        labelaudit.load_huggingface("signs", relabelled([1, -1, 1, -1]))
    with pytest.raises(LabelAuditError, match="'a;b', which is several labels"):
        labelaudit.load_huggingface("several", relabelled(["a", "b", "a;b", "b"]))


def test_a_split_without_labels_is_loaded_without():
    parts = datasets.DatasetDict(train=made(2), test=made(1).remove_columns("label"))
    dataset = labelaudit.load_huggingface("pets", parts)
    assert dataset.view().values("ground_truth").tolist() == ["dog", "cat", None]
    assert dataset.info["skipped"]["notes"] == [
        "Split test has no column 'label': its samples have no label."
    ]
    with pytest.raises(LabelAuditError, match="no column 'label'"):
        labelaudit.load_huggingface("none", made().remove_columns("label"))


@pytest.mark.parametrize(
    ("dtype", "scale", "says"),
    [("float32", 1 / 255, "dtype float64"), ("int32", 4, "values from 0 to"), ("uint8", 1, None)],
)
def test_arrays_of_numbers_are_images_if_they_are_0_to_255(dtype, scale, says):
    features = datasets.Features(
        {"image": datasets.Array3D((6, 7, 3), dtype), "label": datasets.Value("string")}
    )
    rows = {"image": [(pixels(i) * scale).astype(dtype) for i in range(4)], "label": [*"abab"]}
    data = datasets.Dataset.from_dict(rows, features=features)
    if says is None:
        check(labelaudit.load_huggingface("pets", data), [*"abab"])
        return
    with pytest.raises(LabelAuditError, match=says):
        labelaudit.load_huggingface("pets", data)
    assert "pets" not in labelaudit.list_datasets()


def test_a_stream_is_read_once_row_by_row(monkeypatch):
    monkeypatch.setattr("labelaudit.sources.source.CHECK_ROWS", 2)
    read = []

    def rows():
        for i in range(5):
            read.append(i)
            yield {"image": Image.fromarray(pixels(i)), "label": i % 2}

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])}
    )
    stream = datasets.IterableDataset.from_generator(rows, features=features)
    check(
        labelaudit.load_huggingface("s", stream), ["dog", "cat", "dog", "cat", "dog"], ["train"] * 5
    )
    assert read == [*range(5)]
    read.clear()
    with pytest.raises(StoppedError):
        labelaudit.load_huggingface("t", stream, task=Task(stop=lambda: True))
    assert len(read) <= 2
    bare = datasets.IterableDataset.from_generator(rows)  # it knows no features before it is read
    assert labelaudit.load_huggingface("u", bare).classes == ["0", "1"]


def test_files_are_referenced_but_not_those_of_the_cache(tmp_path, cache, picture):
    kept, cached = picture(tmp_path / "in/a.png"), picture(cache / "downloads/b.png")
    data = datasets.Dataset.from_dict(
        {"image": [str(kept), str(cached), str(tmp_path / "gone.png"), None], "label": [*"abcd"]}
    )
    both = {"paths": data, "images": data.cast_column("image", datasets.Image())}
    for name, one in both.items():
        dataset = labelaudit.load_huggingface(name, one)
        stored = dataset.view().frame.read("samples", ["filepath", "image"]).to_pylist()
        assert stored[0] == {"filepath": str(kept), "image": None}
        assert stored[1] == {"filepath": str(cached), "image": cached.read_bytes()}
        assert [entry["why"] for entry in dataset.info["skipped"]["files"]] == [
            "has no image", "there is no such file",
        ]  # fmt: skip


def test_save_to_disk(tmp_path, home):
    made().save_to_disk(tmp_path / "one")
    check(labelaudit.load_dataset("one", tmp_path / "one"), ["dog", "cat"] * 2)
    parts = datasets.DatasetDict(train=made(2), test=made(2, label="species"))
    parts["test"] = parts["test"].rename_column("species", "label")
    parts.save_to_disk(tmp_path / "two")
    dataset = labelaudit.load_dataset("two", tmp_path / "two")
    assert dataset.info["splits"] == {"train": 2, "test": 2}
    assert dataset.info["source"] == f"Hugging Face folder {tmp_path / 'two'}"
    for file in (tmp_path / "one").glob("*.arrow"):
        file.write_bytes(b"broken")
    with pytest.raises(LabelAuditError, match=r"cannot be read .*save it with save_to_disk again"):
        labelaudit.load_dataset("three", tmp_path / "one")
    assert "three" not in labelaudit.list_datasets()


def test_parquet_as_the_hub_has_it_is_streamed(tmp_path, cache):
    for split, count in (("train", 4), ("test", 1)):
        path = tmp_path / f"repo/data/{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        made(count).to_parquet(path)
    dataset = labelaudit.load_dataset("repo", tmp_path / "repo")
    assert dataset.classes == ["dog", "cat"]
    assert dataset.info["splits"] == {"train": 4, "test": 1}
    assert not list(cache.rglob("*.arrow"))
    # the scheme takes a path, too: whatever the package does
    again = labelaudit.load_dataset("hub", f"hf:{tmp_path / 'repo'}", split="train")
    check(again, ["dog", "cat"] * 2, ["train"] * 4)


def test_the_packages_own_image_folders(tmp_path, picture):
    """A folder gives the same samples as `load_dataset("imagefolder")`."""
    for i, place in enumerate(["train/cat/a.png", "train/dog/b.png", "test/cat/c.png"]):
        picture(tmp_path / "in" / place, seed=i)
    theirs = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "in"))
    first = labelaudit.load_huggingface("theirs", theirs)
    second = labelaudit.load_dataset("ours", tmp_path / "in")
    columns = ["filepath", "ground_truth", "split"]
    tables = [d.view().to_pandas()[columns].sort_values("filepath") for d in (first, second)]
    assert tables[0].values.tolist() == tables[1].values.tolist()


def test_config_and_split_are_handed_on_and_failures_are_one_sentence(monkeypatch):
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: asked.append((a, k)) or made())
    labelaudit.load_dataset("a", "hf:owner/name@small", split="train")
    labelaudit.load_dataset("b", "hf:owner/name")
    assert asked == [
        (("owner/name", "small"), {"split": "train"}), (("owner/name", None), {"split": None}),
    ]  # fmt: skip
    monkeypatch.undo()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LabelAuditError, match=r"hf:/nowhere/x cannot be loaded \(") as caught:
        labelaudit.load_dataset("c", "hf:/nowhere/x")
    assert "\n" not in str(caught.value)
    with pytest.raises(LabelAuditError, match="'hf:' is not a dataset"):
        labelaudit.load_dataset("c", "hf:")
    with pytest.raises(LabelAuditError, match="list is not a Hugging Face dataset"):
        labelaudit.load_huggingface("c", [1])


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(LabelAuditError, match="pip install datasets"):
        labelaudit.load_dataset("a", "hf:owner/name")


@pytest.mark.parametrize("form", ["saved", "parquet", "hub"])
def test_a_dataset_is_followed(form, tmp_path, home, monkeypatch):
    def write(rows: list[tuple[int, str]]) -> str:
        pixels = [np.random.default_rng(seed).integers(0, 255, (9, 9, 3), np.uint8)
                  for seed, _ in rows]  # fmt: skip
        names = sorted({label for _, label in rows})
        kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
        columns = {"image": [Image.fromarray(p) for p in pixels], "label": [r[1] for r in rows]}
        data = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
        folder = tmp_path / form
        shutil.rmtree(folder, ignore_errors=True)
        if form == "saved":
            datasets.DatasetDict({"train": data}).save_to_disk(folder)
        elif form == "parquet":
            folder.mkdir()
            data.to_parquet(folder / "train-00000-of-00001.parquet")
        else:
            found = datasets.DatasetDict({"train": data})
            monkeypatch.setattr(datasets, "load_dataset", lambda *a, **b: found)
            return "hf:me/pets"
        return str(folder)

    dataset = labelaudit.load_dataset("pets", write([(i, "ab"[i % 2]) for i in range(6)]))
    assert not any(labelaudit.plan_sync(dataset).counts.values())
    write([(50, "c"), (0, "b"), (1, "b"), (51, "a"), (4, "a"), (5, "b")])
    plan = labelaudit.plan_sync(dataset)
    assert {name: count for name, count in plan.counts.items() if count} == {
        "added": 1, "gone": 1, "replaced": 1, "moved": 2, "relabelled": 1,
    }  # fmt: skip
    labelaudit.apply_sync(dataset, plan)
    assert not any(labelaudit.plan_sync(dataset).counts.values())
    assert dataset.classes == ["a", "b", "c"]
    with pytest.raises(labelaudit.LabelAuditError, match="labelaudit export"):
        labelaudit.plan_write_back(dataset)
