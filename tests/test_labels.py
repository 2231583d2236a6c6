"""Labels of any type: one class name for each image, no label, or one sentence."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import labelaudit
from labelaudit.core.errors import BadInputError
from labelaudit.core.progress import QUIET
from labelaudit.export import export_dataset
from labelaudit.sources.arrays import open_arrays
from labelaudit.sources.detect import open_path
from labelaudit.sources.labels import LabelNames, check_one_label

IMAGES = np.random.default_rng(0).integers(0, 255, (4, 6, 5, 3), np.uint8)
NAN = float("nan")
ONE = "takes one label per image"


def read(labels, **options) -> tuple[list[str], list]:
    """Classes and labels of four images."""
    source = open_arrays(options.pop("images", IMAGES), labels, **options)
    return source.classes, [row["label"] for row in source.rows()]


@pytest.mark.parametrize(
    ("labels", "classes", "names"),
    [
        (np.array([[0], [1], [0], [1]]), "01", "0101"),
        (np.zeros((4, 1, 1), int), "0", "0000"),
        (np.eye(3)[[0, 1, 2, 1]], "012", "0121"),
        (np.eye(3, dtype=bool)[[0, 1, 2, 1]].tolist(), "012", "0121"),
        ([["a"], ("b",), [], np.array(["a"])], "ab", ["a", "b", None, "a"]),
        ([b"a", np.bytes_(b"b"), "a", np.str_("b")], "ab", "abab"),
        ([0.0, 1.0, NAN, -1], "01", ["0", "1", None, None]),
        (["nan", "None", "NA", None], ["NA", "None", "nan"], ["nan", "None", "NA", None]),
        (["", " ", "a", "b"], "ab", [None, None, "a", "b"]),
        (pd.Series([1, pd.NA, 0, 1], dtype="Int64"), "01", ["1", None, "0", "1"]),
        (np.ma.array([0, 1, 1, 0], mask=[0, 0, 1, 0]), "01", ["0", "1", None, "0"]),
        (pd.Categorical(["s", "l", "s", None], ["s", "m", "l"]), "sml", ["s", "l", "s", None]),
        (pd.get_dummies(["b", "a", "b", "a"]), "ab", "baba"),
        (pd.DataFrame({"x": [*"baba"]}), "ab", "baba"),
        ((name for name in "abab"), "ab", "abab"),
        ([2**80, 0, 0, 0], ["0", str(2**80)], [str(2**80), "0", "0", "0"]),
        (["cat, large", "dog", "dog", "dog"], ["cat, large", "dog"], ["cat, large", *["dog"] * 3]),
    ],
)
def test_labels_that_mean_one_class_each(labels, classes, names):
    assert read(labels) == ([*classes], [*names])


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([[1, 1], [0, 1], [1, 0], [0, 1]], f"2 classes for image 0: LabelAudit {ONE}"),
        ([[0, 0], [0, 1], [1, 0], [0, 1]], f"0 classes for image 0: LabelAudit {ONE}"),
        (np.full((4, 2), 0.5), r"for probabilities, give values.argmax\(axis=1\)"),
        ([["a"], ["b", "a"], [], ["a"]], ONE),
        (["a", ["b", "a"], "b", "a"], f"image 1: there are 2 labels .*{ONE}"),
        (["a", "b", "a;b", "a"], f"'a;b', which is several labels: .*{ONE}"),
        (["a|b", "b|c", "d", "d"], ONE),
        (["['a', 'b']", "a", "b", "b"], ONE),
        (["[0]", "[1]", "[0]", "[1]"], f"lists as labels, such as '.0.': .*{ONE}"),
        ([0.5, 1, 2, 3], "image 0: label 0.5 is not a class index"),
        ([np.inf, 1, 2, 3], "label inf is not a class index"),
        ([-1, 1, 1, -1], "labels -1 and 1, but a negative number means no label"),
        ([-2, -1, 0, 1], "labels -2, -1, but a negative number means no label"),
        ([b"\xff", "a", "b", "c"], "image 0: the label b'.xff' is not UTF-8"),
        ("abab", "the labels are 'abab': give a list"),
        ({0: "a"}, "give a list"),
        ({"a", "b", "c", "d"}, "give a list"),
        (None, "there are no labels"),
        (7, "give a list"),
        ([{"a": 1}, "b", "c", "d"], "image 0: the label is a mapping"),
        ([object(), "b", "c", "d"], "has the type object"),
        (np.array(["2026-01-01"] * 4, "M8[D]"), "array of datetime64"),
        ([0, 1], "4 images, but 2 labels"),
    ],
)
def test_labels_with_another_meaning_are_refused(labels, says):
    with pytest.raises(BadInputError, match=says):
        read(labels)


def test_given_classes_are_what_labels_are_looked_up_in():
    assert read([0, 1, -1, 1.0], classes=["b", "a"]) == (["b", "a"], ["b", "a", None, "a"])
    assert read([-1, 1, 1, -1], classes=["x", "y"])[1] == [None, "y", "y", None]
    assert read([*"abab"], classes=["b", "a", "c"])[0] == ["b", "a", "c"]
    assert read(np.eye(2, dtype=int)[[0, 1, 0, 1]], classes=[b"x", 7])[1] == ["x", "7", "x", "7"]
    for labels, classes, says in [
        ([*"abca"], ["a", "b"], "image 2: label 'c' is not among the given classes"),
        ([*"0101"], ["a", "b"], "label '0' is not among"),
        ([0, 1, 2, 1], ["a", "b"], "there are only 2 classes"),
        (np.eye(3)[[0, 1, 2, 1]], ["a", "b"], "3 columns, but there are 2 classes"),
        ([0, 1, 0, 1], "ab", "classes has the type str"),
        ([0, 1, 0, 1], {"a": 0, "b": 1}, "classes has the type dict"),
        ([0, 1, 0, 1], ["a", "a"], "'a' twice"),
        ([0, 1, 0, 1], ["a", None], "class 1 has no name"),
    ]:
        with pytest.raises(BadInputError, match=says):
            read(labels, classes=classes)


def test_a_label_of_minus_one_is_mentioned():
    source = open_arrays(IMAGES, [0, 1, -1, 1])
    (note,) = source.skipped.report["notes"]
    assert note == "Labels that are -1 were read as no label: 1 image."


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tags": "red!"}, "the tags are 'red!': give a list"),
        ({"tags": [["a"], [1], [], []]}, "a tag of image 1 is 1"),
        ({"tags": [1, 2, 3, 4]}, "a tag of image 0 is 1"),
        ({"splits": "test"}, "the splits are 'test'"),
        ({"ids": ["a", "b", "c", "d"]}, "the id of image 0 is 'a': ids are whole numbers"),
        ({"ids": [2**70, 1, 2, 3]}, r"below 2\^63"),
        ({"ids": np.array([2**63, 1, 2, 3], np.uint64)}, r"below 2\^63"),
        ({"ids": [1.5, 2, 3, 4]}, "the id of image 0 is 1.5"),
        ({"ids": [1, NAN, 3, 4]}, "the id of image 1 is nan"),
        ({"ids": [1, None, 3, 4]}, "the id of image 1 is None"),
        ({"ids": [True, False, 3, 4]}, "the id of image 0 is True"),
        ({"images": np.zeros((4, 64), np.uint8)}, r"shape \(4, 64\).*reshape rows of pixels"),
        ({"images": np.zeros((4, 0, 5), np.uint8)}, "so no pixels"),
        ({"images": [*IMAGES[:3], IMAGES[0][:0]]}, "image 3: .*so no pixels"),
        ({"images": [Image.new("L", (0, 0))] * 4}, "image 0 has 0 x 0 pixels"),
        ({"images": IMAGES / 255}, "dtype float64: scale it"),
        ({"images": IMAGES.astype(int)}, "dtype int64: scale it"),
        ({"images": IMAGES.transpose(0, 3, 1, 2)}, "put the channels last"),
        ({"images": IMAGES.tolist()}, "image 0 has the type list"),
        ({"images": ["a.png"] * 4}, "files are loaded by load_dataset"),
        ({"images": "a.png"}, "the images are 'a.png'"),
        ({"images": Image.fromarray(IMAGES[0])}, "give a list"),
        ({"images": pd.DataFrame({"a": [1]})}, "the images are a data frame"),
        ({"images": []}, "no images"),
    ],
)
def test_other_arrays_with_another_meaning_are_refused(options, says):
    with pytest.raises(BadInputError, match=says):
        read([0, 1, 0, 1], **options)


def test_tags_splits_and_ids_in_other_usual_types(home):
    encoded = [Image.fromarray(image) for image in IMAGES]
    dataset = labelaudit.load_arrays(
        "x", encoded, [0, 1, 0, 1], tags=["red", None, ("a", "b"), np.array(["c"])],
        splits=np.array([[b"train"], [b"test"], [b"train"], [b"test"]]), ids=[4.0, 3, np.int8(2), 1]
    )  # fmt: skip
    table = dataset.view().to_pandas()
    assert table["id"].tolist() == [1, 2, 3, 4]
    assert table["tags"].tolist() == [("c",), ("a", "b"), (), ("red",)]
    assert table["split"].tolist() == ["test", "train", "test", "train"]


def test_encoded_images_are_opened_when_they_are_loaded(home):
    from labelaudit.core.images import encode

    dataset = labelaudit.load_arrays(
        "x", [b"no image", encode(IMAGES[0]), b"", IMAGES[1]], [*"abcd"]
    )
    assert dataset.view().values("ground_truth").tolist() == ["b", "d"]
    assert dataset.classes == [*"abcd"]
    assert [entry["file"] for entry in dataset.info["skipped"]["files"]] == ["image 0", "image 2"]


# --- lists of images: numbers and missing labels mean the same in every format ---

WRITERS = {
    "csv": lambda table, path: table.to_csv(path, index=False),
    "parquet": lambda table, path: table.to_parquet(path, index=False),
    "json": lambda table, path: path.write_text(json.dumps(table.to_dict("records"))),
    "jsonl": lambda table, path: path.write_text(
        "\n".join(json.dumps(row) for row in table.to_dict("records"))
    ),
}


def listed(tmp_path, form: str, labels) -> tuple[list[str], list, list[str]]:
    """Classes, labels and notes of a list, without opening its images."""
    table = pd.DataFrame({"filepath": [f"{i}.png" for i in range(len(labels))], "label": labels})
    path = tmp_path / f"m.{form}"
    WRITERS[form](table, path)
    source = open_path(path)
    source.check = False
    found = [label for batch in source.read(QUIET) for label in batch["label"].to_pylist()]
    return source.classes, found, source.skipped.report["notes"]


@pytest.mark.parametrize("form", WRITERS)
def test_missing_labels_in_lists(tmp_path, form):
    assert listed(tmp_path, form, [0.0, 1.0, NAN, 1.0])[:2] == ([*"01"], ["0", "1", None, "1"])
    classes, found, notes = listed(tmp_path, form, [0, 1, -1, 12])
    assert (classes, found) == (["0", "1", "12"], ["0", "1", None, "12"])
    assert notes == ["Labels that are -1 were read as no label."]
    words = ["nan", "None", "NA", "null", "-1"]
    assert listed(tmp_path, form, words)[:2] == (sorted(words), words)
    for labels in ([-1, 1, 1], [-2, -1, 0]):
        with pytest.raises(BadInputError, match="a negative number means no label"):
            listed(tmp_path, form, labels)


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize(
    "labels",
    [["a", "b", "a;b"], ["a", "a|c", "b|c"], ["a", "['a', 'b']", "b"], [["a", "b"], ["a"], ["b"]]],
)
def test_several_labels_in_a_list_are_refused(tmp_path, form, labels):
    with pytest.raises(labelaudit.LabelAuditError, match=f"m.{form}.*LabelAudit {ONE}"):
        listed(tmp_path, form, labels)


@pytest.mark.parametrize("form", ["parquet", "json"])
def test_lists_of_at_most_one_label(tmp_path, form):
    assert listed(tmp_path, form, [["a"], [], ["b"]])[1] == ["a", None, "b"]


def test_categories_in_parquet_keep_their_order(tmp_path):
    labels = pd.Categorical(["s", "l", "s"], ["s", "m", "l"])
    assert listed(tmp_path, "parquet", labels)[0] == ["s", "l"]


@pytest.mark.parametrize(
    ("form", "target"),
    [("folders", "out"), ("fiftyone", "out"), ("label-studio", "out"), ("manifest", "m.csv"),
     ("manifest", "m.jsonl"), ("manifest", "m.parquet")],
)  # fmt: skip
def test_classes_that_look_like_missing_labels_come_back(home, tmp_path, picture, form, target):
    names = ["nan", "None", "NA", "null", "N/A", "NaN", "-1", "1.0"]
    rows = [{"filepath": str(picture(tmp_path / f"in/{i}.png", i)), "label": name}
            for i, name in enumerate(names)]  # fmt: skip
    (tmp_path / "in.json").write_text(json.dumps(rows))
    dataset = labelaudit.load_dataset("x", tmp_path / "in.json")
    export_dataset(dataset, tmp_path / target, form)
    back = labelaudit.load_dataset("back", tmp_path / target)
    assert sorted(back.view().values("ground_truth")) == sorted(names)
    assert sorted(back.classes) == sorted(names)


def test_names_with_a_comma_are_no_lists_unless_their_parts_are_classes():
    check_one_label(["cat, large", "dog, large", "emu"], "x")
    with pytest.raises(BadInputError, match="'cat, dog', which is several labels"):
        check_one_label(["cat, dog", "cat", "dog"], "x")
    assert LabelNames("x").name(float("nan"), "y") is None


@pytest.mark.parametrize(
    "rows",
    [
        ["0.png,cat/dog", "1.png,cat", "2.png,dog"],
        ["0.png,cat+dog", "1.png,cat", "2.png,dog"],
        ["0.png,cat dog", "1.png,dog emu", "2.png,cat", "3.png,dog", "4.png,emu"],
        [f"{i}.png,{name}" for i in range(3) for name in ("cat", "dog")],
    ],
)
@pytest.mark.parametrize("path", ["filepath", "file_name", "image"])
def test_lists_of_several_labels_per_image_are_refused(tmp_path, home, rows, path):
    (tmp_path / "l.csv").write_text("\n".join([f"{path},label", *rows]))
    with pytest.raises(BadInputError, match="LabelAudit takes one label per image"):
        labelaudit.load_dataset("several", tmp_path / "l.csv")


def test_names_with_blanks_and_rows_twice_are_no_several_labels(tmp_path, picture):
    for i in range(4):
        picture(tmp_path / f"{i}.png", seed=i)
    rows = ["filepath,label", "0.png,fire", "1.png,truck", "2.png,fire truck", "3.png,a/b"]
    (tmp_path / "l.csv").write_text("\n".join([*rows, "0.png,fire", "1.png,fire"]))
    assert labelaudit.load_dataset("one", tmp_path / "l.csv").classes == [
        "a/b", "fire", "fire truck", "truck",
    ]  # fmt: skip


def test_several_labels_of_one_sample_are_refused(make_dataset):
    dataset = make_dataset(2)
    several = "one label per image"
    with pytest.raises(BadInputError, match=several):
        dataset[1].ground_truth = ["c0", "c1"]
    with pytest.raises(BadInputError, match=several):
        dataset.add_samples({"filepath": ["/a.png"], "label": [["c0", "c1"]]})
