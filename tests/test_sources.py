from __future__ import annotations

import json
import posixpath
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import labelaudit
from labelaudit import list_datasets, load_arrays, load_dataset
from labelaudit.core import images as pictures
from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.core.progress import Task
from labelaudit.sources import source as source_room
from labelaudit.sources.layout import read_layout
from labelaudit.storage import paths as home


def zipped(path, folder):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


def contents(dataset):
    table = dataset.view().to_pandas()
    return sorted(zip(table.split.tolist(), table.ground_truth.tolist(), strict=True), key=str)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["cat/1.jpg", "dog/deep/2.jpg"], [("cat", None), ("dog", None)]),
        (["train/cat/1.jpg", "test/dog/2.jpg"], [("cat", "train"), ("dog", "test")]),
        (["pets/train/cat/1.jpg", "pets/val/cat/2.jpg"], [("cat", "train"), ("cat", "val")]),
        (["pets/cat/1.jpg", "pets/dog/2.jpg"], [("cat", None), ("dog", None)]),
        (["cat/1.jpg", "cat/2.jpg"], [("cat", None), ("cat", None)]),  # one class
        (["train/cat/1.jpg"], [("cat", "train")]),
        (["cat/1.jpg", "stray.jpg"], [("cat", None), (None, None)]),
        (["train/1.jpg", "dog/2.jpg"], [("train", None), ("dog", None)]),  # train is a class here
    ],
)
def test_class_folders_are_understood(paths, expected):
    places = read_layout(Counter(posixpath.dirname(path) for path in paths)).places
    found = [places[posixpath.dirname(path)] for path in paths]
    assert [(place.label, place.split if place.label else None) for place in found] == expected


def test_folder_with_splits_is_referenced_where_it_lies(tmp_path, picture):
    for i, place in enumerate(["train/cat/a.png", "train/dog/b.jpg", "test/cat/c.png"]):
        picture(tmp_path / "pets" / place, seed=i, size=(9, 7))
    (tmp_path / "pets" / "train" / "cat" / "notes.txt").write_text("no image")
    dataset = load_dataset("pets", tmp_path / "pets")
    assert contents(dataset) == [("test", "cat"), ("train", "cat"), ("train", "dog")]
    sample = dataset[1]
    assert sample.filepath == str(tmp_path / "pets/test/cat/c.png")
    assert sample.image.size == (9, 7)
    assert dataset.view().frame.read("samples", ["image"])["image"].null_count == 3
    assert load_dataset("pets").name == "pets"


def test_broken_images_are_reported_and_the_rest_loads(tmp_path, picture):
    folder = tmp_path / "pets"
    good = picture(folder / "cat/good.jpg", size=(60, 60))
    (folder / "cat/cut.jpg").write_bytes(good.read_bytes()[:-400])
    (folder / "cat/empty.png").write_bytes(b"")
    (folder / "cat/text.gif").write_text("not a gif")
    (folder / "stray.png").write_bytes(picture(tmp_path / "x.png").read_bytes())
    picture(folder / "dog/fine.png")
    dataset = load_dataset("pets", folder)
    assert contents(dataset) == [(None, "cat"), (None, "dog")]
    skipped = dataset.info["skipped"]
    assert skipped["count"] == 4
    why = {entry["file"].rsplit("/", 1)[-1]: entry["why"] for entry in skipped["files"]}
    assert set(why) == {"cut.jpg", "empty.png", "text.gif", "stray.png"}
    assert "cannot identify" in why["text.gif"]
    assert "not in a class folder" in why["stray.png"]


def test_every_pillow_mode_can_be_audited(tmp_path):
    modes = {"L": 5, "1": 1, "RGBA": (1, 2, 3, 4), "P": 3, "CMYK": (1, 2, 3, 4), "I;16": 9}
    for i, (mode, colour) in enumerate(modes.items()):
        folder = tmp_path / "modes" / f"class{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        suffix = "jpg" if mode == "CMYK" else "png"
        Image.new(mode, (20, 20), colour).save(folder / f"{i}.{suffix}")
    dataset = load_dataset("modes", tmp_path / "modes")
    assert len(dataset) == len(modes)
    labelaudit.train(dataset, config=labelaudit.TrainConfig(epochs=1, batch_size=2))
    assert labelaudit.predict(dataset) == len(modes)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_manifests(tmp_path, picture, suffix):
    for i in range(3):
        picture(tmp_path / "images" / f"{i}.png", seed=i)
    rows = pd.DataFrame(
        {
            "filepath": ["images/0.png", "images/1.png", str(tmp_path / "images/2.png")],
            "label": ["10", "9", None],
            "split": ["train", "test", None],
            "id": [7, 5, 6],
            "tags": ["a;b", "", "b"],
        }
    )
    path = tmp_path / f"manifest{suffix}"
    if suffix == ".parquet":
        rows.to_parquet(path)
    elif suffix == ".jsonl":
        rows.to_json(path, orient="records", lines=True)
    else:
        rows.to_csv(path, sep="\t" if suffix == ".tsv" else ",", index=False)
    dataset = load_dataset("m", path)
    table = dataset.view().to_pandas()
    assert table.id.tolist() == [5, 6, 7]
    assert table.ground_truth.tolist() == ["9", None, "10"]
    assert table.split.tolist() == ["test", None, "train"]
    assert table.tags.tolist() == [(), ("b",), ("a", "b")]
    assert table.filepath.tolist() == [str(tmp_path / f"images/{i}.png") for i in (1, 2, 0)]
    assert dataset.classes == ["9", "10"]  # by number, not by text
    assert dataset.info["labelled"] == 2


def test_manifest_paths_may_be_relative_to_another_folder(tmp_path, picture):
    picture(tmp_path / "far" / "0.png")
    path = tmp_path / "near" / "m.csv"
    path.parent.mkdir()
    path.write_text("\ufefffilepath;label\n0.png;cat\n", encoding="utf-8")  # BOM, semicolons
    dataset = load_dataset("m", path, root=tmp_path / "far")
    assert dataset[1].filepath == str(tmp_path / "far/0.png")
    assert dataset[1].ground_truth == "cat"
    with pytest.raises(LabelAuditError, match="must be a folder"):
        load_dataset("m2", path, root=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("what,label\na.png,cat\n", "no column 'filepath': it has what, label"),
        ("filepath\na.png\n", "no column 'label'"),
        ("filepath,label\n", "has no rows"),
        ("filepath,label\n,cat\n", "row 1: the filepath is empty"),
        ("filepath,label,id\na.png,cat,1\nb.png,cat,2\nc.png,dog,1\n",
         "rows 1 and 3 have the same id 1"),
        ("filepath,label,id\na.png,cat,x\n", "ids must be whole numbers"),
        ("filepath,label,id\na.png,cat,\nb.png,cat,3\n", "row 1: the id is empty"),
        ("filepath,label\na.png,cat\nb.png\n", "cannot be read as csv"),
        ("", "cannot be read as csv"),
    ],
)  # fmt: skip
def test_bad_manifests_make_nothing_and_name_the_row(tmp_path, text, says):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(LabelAuditError) as caught:
        load_dataset("m", tmp_path / "m.csv")
    assert says in str(caught.value)
    assert labelaudit.list_datasets() == []


def test_manifest_rows_without_a_file_are_reported(tmp_path, picture):
    picture(tmp_path / "0.png")
    (tmp_path / "m.csv").write_text("filepath,label\n0.png,cat\ngone.png,dog\n")
    dataset = load_dataset("m", tmp_path / "m.csv")
    assert len(dataset) == 1
    assert dataset.info["skipped"]["files"] == [
        {"file": str(tmp_path / "gone.png"), "why": "there is no such file"}
    ]


def test_zip_of_class_folders(tmp_path, picture):
    for i, place in enumerate(
        ["pets/train/cat/a.png", "pets/train/dog/b.png", "pets/test/cat/c.png"]
    ):
        picture(tmp_path / "in" / place, seed=i)
    (tmp_path / "in/pets/train/cat/bad.png").write_bytes(b"broken")
    path = zipped(tmp_path / "pets.zip", tmp_path / "in")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/pets/train/cat/._a.png", b"junk")
        archive.writestr(
            "pets/train/../../../evil.png", (tmp_path / "in/pets/train/cat/a.png").read_bytes()
        )
    dataset = load_dataset("pets", path)
    path.unlink()  # the images are inside the dataset now
    assert contents(dataset) == [("test", "cat"), ("train", "cat"), ("train", "dog")]
    original = np.asarray(Image.open(tmp_path / "in/pets/train/dog/b.png"))
    dog = dataset.view().match(label="dog").head(1)[0]
    np.testing.assert_array_equal(np.asarray(dog.image), original)
    assert dog.filepath == "pets/train/dog/b.png"
    reasons = [entry["why"] for entry in dataset.info["skipped"]["files"]]
    assert len(reasons) == 2
    assert any("leads out of the archive" in why for why in reasons)
    assert not (tmp_path / "evil.png").exists()


def test_zip_of_a_manifest(tmp_path, picture):
    picture(tmp_path / "in/data/images/0.png")
    (tmp_path / "in/data/labels.jsonl").write_text(
        "\n".join(json.dumps({"filepath": f, "label": "cat"}) for f in ("images/0.png", "gone.png"))
    )
    dataset = load_dataset("m", zipped(tmp_path / "m.zip", tmp_path / "in"))
    assert len(dataset) == 1
    assert dataset[1].filepath == "data/images/0.png"
    assert dataset.info["skipped"]["files"][0]["file"] == "data/gone.png"


def test_unusable_sources_make_nothing_and_say_why(tmp_path, picture):
    (tmp_path / "empty").mkdir()
    picture(tmp_path / "flat/a.png")
    (tmp_path / "all_bad/cat").mkdir(parents=True)
    (tmp_path / "all_bad/cat/x.png").write_bytes(b"?")
    (tmp_path / "broken.zip").write_bytes(b"PK not a zip")
    zipfile.ZipFile(tmp_path / "hollow.zip", "w").close()
    (tmp_path / "notes.txt").write_text("hello")
    for source, says in [
        ("empty", "neither images nor a list of images"),
        ("flat", "is in a class folder"),
        ("all_bad", "holds no image that can be read"),
        ("broken.zip", "not a complete zip"),
        ("hollow.zip", "neither images nor a list of images"),
        ("notes.txt", "is not a folder, a zip or a list of images"),
        ("gone", "does not exist"),
    ]:
        with pytest.raises(LabelAuditError) as caught:
            load_dataset("x", tmp_path / source)
        assert says in str(caught.value), source
        assert labelaudit.list_datasets() == [], source


def test_arrays_with_names_or_indices():
    images = np.random.default_rng(0).integers(0, 255, (4, 6, 5, 3), np.uint8)
    dataset = load_arrays(
        "a", images, [0, 1, -1, 1], classes=["cat", "dog"], splits=["train"] * 3 + ["test"],
        ids=[4, 3, 2, 1], tags=[["x"], [], [], []],
    )  # fmt: skip
    assert dataset.view().values("ground_truth").tolist() == ["dog", None, "dog", "cat"]
    np.testing.assert_array_equal(np.asarray(dataset[3].image), images[1])
    assert dataset[4].tags == ("x",)
    grey = load_arrays("g", images[..., 0], np.array(["b", "a", "b", "a"]))
    assert grey.classes == ["a", "b"]
    assert grey[1].image.mode == "L"


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (np.zeros((2, 4, 4), np.uint8), ["a"], "2 images, but 1 label:"),
        (np.zeros((0, 4, 4), np.uint8), [], "no images"),
        (np.zeros((1, 4, 4)), ["a"], "uint8"),
        (np.zeros((1, 4, 4), np.uint8), [5], "label 5 is not a class index"),
    ],
)
def test_bad_arrays(images, labels, says):
    classes = ["a", "b"] if labels == [5] else None
    with pytest.raises(LabelAuditError, match=says):
        load_arrays("a", images, labels, classes=classes)
    assert labelaudit.list_datasets() == []


def test_loading_reports_progress_and_can_be_stopped(tmp_path, picture, monkeypatch):
    monkeypatch.setattr("labelaudit.sources.source.CHECK_ROWS", 5)
    for i in range(12):
        picture(tmp_path / "p" / f"c{i % 2}" / f"{i}.png")
    seen = []
    load_dataset("p", tmp_path / "p", task=Task(seen.append))
    assert seen[-1].done == seen[-1].total == 12
    with pytest.raises(StoppedError):
        load_dataset("q", tmp_path / "p", task=Task(stop=lambda: True))
    assert labelaudit.list_datasets() == ["p"]


def test_a_zip_of_class_folders_may_hold_other_files(tmp_path, picture):
    for i, place in enumerate(["cat/a.png", "dog/b.png", "cover.png"]):
        picture(tmp_path / "in" / place, seed=i)
    (tmp_path / "in/cat/notes.json").write_text("{}")
    dataset = load_dataset("pets", zipped(tmp_path / "pets.zip", tmp_path / "in"))
    assert dataset.classes == ["cat", "dog"]
    assert sorted(dataset.view().values("filepath")) == ["cat/a.png", "dog/b.png"]


def test_own_data_may_not_take_a_name_of_the_zoo(tmp_path, picture):
    picture(tmp_path / "in/cat/a.png")
    with pytest.raises(LabelAuditError, match="'digits' is the name of a zoo dataset"):
        load_dataset("digits", tmp_path / "in")
    assert labelaudit.list_datasets() == []


def test_a_file_whose_name_is_no_text_is_reported(tmp_path, picture):
    import os

    picture(tmp_path / "in/cat/a.png", seed=0)
    picture(tmp_path / "in/dog/b.png", seed=1)
    os.rename(tmp_path / "in/dog/b.png", os.fsencode(tmp_path / "in/dog/") + b"/\xff.png")
    picture(tmp_path / "in/dog/c.png", seed=2)
    dataset = load_dataset("odd", tmp_path / "in")
    assert len(dataset) == 2
    assert dataset.info["skipped"]["count"] == 1


def test_arrays_are_matched_by_place_whatever_they_are(home):
    import torch

    images = torch.zeros((3, 8, 8), dtype=torch.uint8)
    dataset = labelaudit.load_arrays(
        "mixed", images, torch.tensor([1, 0, -1]), classes=["cat", "dog"],
        ids=pd.Series([10, 20, 30], index=[2, 1, 0]), splits=pd.Series(["a", "b", None]),
    )  # fmt: skip
    table = dataset.view().to_pandas()
    assert table["id"].tolist() == [10, 20, 30]
    assert table["ground_truth"].tolist() == ["dog", "cat", None]
    assert table["split"].tolist() == ["a", "b", None]
    gaps = pd.Series([1, pd.NA, 0], dtype="Int64")
    named = labelaudit.load_arrays("gaps", images, gaps, classes=["cat", "dog"])
    assert named.view().values("ground_truth").tolist() == ["dog", None, "cat"]
    with pytest.raises(LabelAuditError, match=r"label 0.5 is not a class index"):
        labelaudit.load_arrays("half", images, [0.5, 0, 1], classes=["cat", "dog"])
    with pytest.raises(LabelAuditError, match="image 0 has the type int"):
        labelaudit.load_arrays("flat", np.zeros(3, np.uint8), [0, 0, 1])


def test_large_images_of_an_archive_are_read_a_few_at_a_time(tmp_path, picture, monkeypatch):
    for i in range(6):
        picture(tmp_path / "in" / f"c{i % 2}" / f"{i}.bmp", seed=i, size=(60, 60))
    monkeypatch.setattr("labelaudit.sources.source.CHECK_BYTES", 15_000)
    held = []
    monkeypatch.setattr("labelaudit.sources.source.Source._next_group",
                        spied(labelaudit.sources.source.Source._next_group, held))  # fmt: skip
    dataset = load_dataset("big", zipped(tmp_path / "big.zip", tmp_path / "in"))
    assert len(dataset) == 6
    assert max(count for count, _ in held) == 2


def spied(method, calls):
    def call(*arguments):
        calls.append(method(*arguments))
        return calls[-1]

    return call


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("filepath,label,label\na.png,x,y\n", "has the column 'label' twice"),
        ('{"filepath": "a.png", "label": "x", "tags": {"a": 1}}', "tags text or lists of text"),
    ],
)
def test_manifests_of_the_wrong_shape_are_reported(tmp_path, text, says):
    path = tmp_path / ("m.csv" if text.startswith("f") else "m.jsonl")
    path.write_text(text)
    with pytest.raises(LabelAuditError, match=says):
        load_dataset("m", path)


def test_a_load_that_was_stopped_continues_where_it_was(tmp_path, picture, monkeypatch):
    for i in range(40):
        picture(tmp_path / "pets" / "ab"[i % 2] / f"{i:02}.png", seed=i)
    (tmp_path / "pets/a/99.png").write_bytes(b"no image")
    monkeypatch.setattr(source_room, "CHECK_ROWS", 10)
    opened = []

    def decoding(path, *more, **options):
        opened.append(Path(path).name)
        return pictures.decoding(path, *more, **options)

    monkeypatch.setattr(source_room, "decoding", decoding)
    asked = iter([False, False, True])
    with pytest.raises(StoppedError, match="are not checked again"):
        load_dataset("pets", tmp_path / "pets", task=Task(stop=lambda: next(asked)))
    assert len(opened) == 20
    assert list_datasets() == []
    picture(tmp_path / "pets/a/00.png", seed=77, size=(30, 20))  # changed since
    opened.clear()
    dataset = load_dataset("pets", tmp_path / "pets")
    assert len(opened) == 41 - 20 + 1
    assert dataset.info["skipped"]["count"] == 1
    table = dataset.view().to_pandas()
    widths = dataset.view().frame.number("samples", "width", -1)
    assert len(table) == 40
    assert sorted(widths)[-1] == 30
    assert sorted(widths)[:-1] == [12] * 39
    assert not list((home.local_home() / "checks").glob("*"))  # done: nothing is left


def test_a_damaged_memory_of_a_load_is_no_obstacle(tmp_path, picture, monkeypatch):
    for i in range(4):
        picture(tmp_path / "pets" / "ab"[i % 2] / f"{i}.png", seed=i)
    monkeypatch.setattr(source_room, "CHECK_ROWS", 2)
    asked = iter([False, True])
    with pytest.raises(StoppedError):
        load_dataset("pets", tmp_path / "pets", task=Task(stop=lambda: next(asked)))
    (kept,) = (home.local_home() / "checks").glob("*")
    kept.write_bytes(b"rubbish" * 1000)
    assert len(load_dataset("pets", tmp_path / "pets")) == 4
