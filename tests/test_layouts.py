"""Options of folders and lists, and that preview and load are one reading. See also bad_trees.py,
whose cases run in test_bad_input.py."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from bad_trees import BESIDE, COUNTED, FOLDERS, Tree, pictures
from click.testing import CliRunner

import labelaudit
from labelaudit import load_dataset, preview_dataset
from labelaudit.cli import main
from labelaudit.core.errors import LabelAuditError
from labelaudit.core.images import UnreadableImageError, decode
from labelaudit.dataset.ingest import natural_order
from labelaudit.sources.archive import member_names
from labelaudit.sources.find_image import ImageFinder
from labelaudit.sources.folder_names import is_container, is_system, is_tool, split_of
from labelaudit.sources.folder_walk import MAX_VISITS, list_files
from labelaudit.sources.unread import similar_classes

# Each differs in what is read: splits, links, lists, zips, names of files, ignored folders.
COMPARED = [
    "seg_train/seg_train/sea beside seg_pred/seg_pred without classes",
    "splits in the class folders",
    "the same, test/ is ignored",
    "the same, with --label-from name",
    "train_labels.csv and val_labels.csv of the same file names",
    "COCO of two splits in annotations/",
    "a zip with two lists",
    "addresses on a server and in a bucket",
    "class folders that are shortcuts (ln -s)",
    "files of the system in a zip",
]


def by_name(name: str) -> Tree:
    (tree,) = [tree for tree in [*FOLDERS, *BESIDE, *COUNTED] if tree.what == name]
    return tree


@pytest.mark.parametrize("name", COMPARED)
def test_the_preview_shows_what_is_loaded(name, tmp_path):
    tree = by_name(name)
    source = tree.make(tmp_path)
    preview = preview_dataset(source, **tree.options)
    dataset = load_dataset("x", source, **tree.options)
    table = dataset.view().to_pandas()
    assert [entry.name for entry in preview.classes] == dataset.classes
    counts = {entry.name: entry.images for entry in preview.classes if entry.images}
    assert counts == dict(Counter(table.ground_truth))
    assert preview.splits == dict(Counter(table.split.dropna()))
    assert preview.skipped == dataset.info["skipped"]
    for entry in preview.classes:
        for path in entry.samples:
            (row,) = table[table.filepath == path].itertuples()
            assert row.ground_truth == entry.name
            assert preview.thumbnail(path, 32).startswith("data:image/")


def test_everything_below_a_folder_is_loaded_or_counted(tmp_path):
    for tree in COUNTED:
        if tree.zipped or "only arrays" in tree.what or "ignored name" in tree.what:
            continue
        folder = tmp_path / str(COUNTED.index(tree))
        source = tree.make(folder)
        found = preview_dataset(source, **tree.options)
        kept = found.images + found.skipped["count"] + sum(found.skipped["others"].values())
        listing = list_files(source)
        there = len(listing.names) + sum(listing.passed_over.values()) + len(listing.left_out)
        assert kept == there, tree.what


@pytest.mark.parametrize(
    ("name", "split", "container", "tool"),
    [
        ("train", "train", False, False), ("Test", "Test", False, False),
        ("training_set", "training", False, False), ("TrainingSet", "training", False, False),
        ("val2017", "val", False, False), ("seg_test", "test", False, False),
        ("trainset", "train", False, False), ("test_images", "test", False, False),
        ("hold-out", "holdout", False, False), ("HoldOut", "HoldOut", False, False),
        ("trainval", "trainval", False, False), ("fold_3", "fold3", False, False),
        ("kfold-10", "fold10", False, False), ("images_train_2014", "train", False, False),
        ("test_tube", None, False, False), ("trainer", None, False, False),
        ("contest", None, False, False), ("valley", None, False, False),
        ("devil", None, False, False), ("train_test_split", None, False, False),
        ("foldable", None, False, False), ("images", None, True, False),
        ("JPEGImages", None, True, False), ("by_class", None, True, False),
        ("dataset-resized", None, True, False), ("imagery", None, False, False),
        ("Annotations", None, False, True), ("ground_truth", None, False, True),
        ("SegmentationClass", None, False, True), ("mask", None, False, False),
        ("label maker", None, False, False), ("\u732b", None, False, False),
    ],
)  # fmt: skip
def test_names_of_folders(name, split, container, tool):
    assert (split_of(name), is_container(name), is_tool(name)) == (split, container, tool)


def test_names_of_the_system_are_no_classes_of_flowers():
    hidden = ["@eaDir", "$RECYCLE.BIN", "Thumbs.db", "._1.png", ".git", "__MACOSX"]
    assert all(map(is_system, hidden))
    assert not any(map(is_system, ["_unlabeled", "@home", "thumbs", "recycle", "cache"]))


# --- options ---


def cli(*arguments, code=0):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def test_a_dry_run_prints_the_reading_and_stores_nothing(tmp_path):
    source = by_name("other files").make(tmp_path)
    text = cli("load", source, "--dry-run").stdout
    assert f"folder {source} is read as class folders" in text
    assert "classes: cat/, dog/" in text
    assert f"{source}/cat/0.png, {source}/cat/1.png" in text
    assert "not read: 1 files without a suffix, 1 .md files, 1 .xml files" in text
    assert "nothing was loaded" in text
    data = json.loads(cli("load", source, "--dry-run", "--json").stdout)
    assert [(c["name"], c["images"], len(c["samples"])) for c in data["classes"]] == [
        ("cat", 2, 2), ("dog", 2, 2),
    ]  # fmt: skip
    assert labelaudit.list_datasets() == []
    loaded = cli("load", source, "--name", "x").stdout
    assert "read as class folders: classes: cat/, dog/" in loaded
    assert "not read: 1 files without a suffix" in loaded


def test_every_option_of_a_refusal_works_on_the_command_line(tmp_path):
    tree = Tree("", pictures("photo/dog", "photo/cat", "sketch/dog", "sketch/cat", "old/x"), "")
    source = tree.make(tmp_path)
    assert "--label-from 2" in cli("load", source, code=1).stderr
    text = cli("load", source, "--name", "x", "--label-from", 2, "--split-from", 1,
               "--ignore", "old,*/cat/0.png").stdout  # fmt: skip
    assert "x: 6 samples (4 photo, 4 sketch)" not in text
    assert "x: 6 samples (3 photo, 3 sketch), 2 classes" in text
    assert "2 ignored (old), 2 ignored (*/cat/0.png)" in text
    (source / "m.csv").write_text("what,where\na,photo/dog/0.png\nb,photo/cat/0.png\n")
    text = cli("load", source / "m.csv", "--label-column", "what", "--path-column", "where").stdout
    assert "m: 2 samples, 2 classes" in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"label_from": 1}, "label_from='1' works only for a folder or a zip"),
        ({"split_from": "none"}, "split_from='none' works only for a folder or a zip"),
        ({"ignore": "x"}, "works only for a folder or a zip"),
        ({"path_column": "x", "label": "label"}, "has no column 'x': it has filepath, label"),
    ],
)
def test_options_that_do_not_fit_a_list(tmp_path, options, says):
    Tree("", pictures(""), "").make(tmp_path)
    path = tmp_path / "in/m.csv"
    path.write_text("filepath,label\n0.png,a\n")
    with pytest.raises(LabelAuditError, match=says):
        load_dataset("x", path, **options)


def test_a_path_column_without_a_list(tmp_path):
    source = Tree("", pictures("cat", "dog"), "").make(tmp_path)
    with pytest.raises(LabelAuditError, match="path_column='x' works only for a list of images"):
        load_dataset("x", source, path_column="x")
    with pytest.raises(LabelAuditError, match="cannot be both split and label"):
        load_dataset("x", source, label_from=1, split_from=1)


def test_a_zoo_dataset_has_no_preview():
    with pytest.raises(LabelAuditError, match="digits is a zoo dataset"):
        preview_dataset("digits")


# --- parts ---


def test_links_are_followed_but_not_without_end(tmp_path):
    """Ten folders with two links each to the next one: 1,024 paths."""
    for i in range(10):
        (tmp_path / f"{i}").mkdir()
        for name in "ab":
            (tmp_path / f"{i}/{name}").symlink_to(tmp_path / f"{i + 1}")
    (tmp_path / "10").mkdir()
    (tmp_path / "10/x.png").write_bytes(b"x")
    found = list_files(tmp_path / "0")
    assert 0 < len(found.names) <= MAX_VISITS
    assert {reason for _, reason in found.left_out} == {
        "is a link to a folder that is linked too often"
    }


def test_links_out_of_the_allowed_folders_are_not_followed(tmp_path):
    tree = Tree("", {"in/cat/0.png": "", "in/dog/0.png": "", "far/0.png": "", "in/cow->": "../far"},
                "", source="in")  # fmt: skip
    source = tree.make(tmp_path)
    found = preview_dataset(source, within=[str(source)])
    assert [entry.name for entry in found.classes] == ["cat", "dog"]
    assert found.skipped["files"] == [
        {"file": "cow", "why": "is a link to a folder outside of those that may be used here"}
    ]
    assert [entry.name for entry in preview_dataset(source).classes] == ["cat", "cow", "dog"]


class Names:
    """Files that exist only by name."""

    kind = "folder"

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def is_unsafe(self, name: str) -> bool:
        return False


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("1.png", "a/1.png"), ("1", "a/1.png"), ("A/1.PNG", "a/1.png"), ("a\\1.png", "a/1.png"),
        ("/far/a/1.png", "a/1.png"), ("b/1.png", None), ("2.png", None), ("x/2.png", "b/x/2.png"),
        ("c/x/2.png", "c/x/2.png"), ("3", None), ("3.jpg", "d/3.jpg"), ("top.png", "top.png"),
        ("elsewhere/top.png", "top.png"), ("https://a.org/1.png", None), ("", None), ("..", None),
        ("cafe\u0301.png", "caf\u00e9.png"), ("1.png.png", None), ("v1.2", "e/v1.2.png"),
    ],
)  # fmt: skip
def test_images_are_found_by_name_only_where_one_is_meant(listed, found):
    files = Names("a/1.png", "b/x/2.png", "c/x/2.png", "b/2.png", "d/3.jpg", "d/3.png", "top.png",
                  "caf\u00e9.png", "e/v1.2.png", "notes.txt")  # fmt: skip
    if listed == "x/2.png":  # two files end like this
        name, reason = ImageFinder(files).find(listed)
        assert name is None
        assert "may be b/x/2.png or c/x/2.png" in reason
        return
    assert ImageFinder(files).find(listed)[0] == found


def test_names_in_a_zip_without_an_encoding():
    class Info:
        flag_bits = 0

        def __init__(self, raw: bytes) -> None:
            self.filename = raw.decode("cp437")

    def read(name: str, encoding: str) -> str:
        return member_names([Info(name.encode(encoding)), Info(b"plain.png")])[0]

    for encoding in ("utf-8", "cp1252", "cp437"):
        assert read("caf\u00e9/\u00fcber.png", encoding) == "caf\u00e9/\u00fcber.png"


def test_classes_have_one_order_whatever_the_seed_of_hashes():
    names = ["10", "2", "02", "002", "1"]
    for start in range(len(names)):
        assert natural_order(names[start:] + names[:start]) == ["1", "2", "02", "002", "10"]
    assert natural_order(["9" * 5000, "1"]) == ["1", "9" * 5000]


def test_classes_that_are_probably_one():
    names = ["Cat", "cat", "ice cream", "icecream", "caf\u00e9", "cafe\u0301", "dog", "dogs"]
    assert similar_classes(names) == [names[:2], names[2:4], names[4:6]]


@pytest.mark.parametrize("suffix", [".heic", ".jpg"])
def test_heic_needs_a_package_and_says_so(tmp_path, monkeypatch, suffix):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    for data in (None, path.read_bytes()):
        with pytest.raises(UnreadableImageError, match="run pip install pillow-heif"):
            decode(str(path), data)


def test_heic_is_read_with_the_package(monkeypatch):
    """The package adds its format to Pillow on the first HEIC image."""
    import types

    from PIL import Image

    content = b"\0\0\0\x18ftypheic" + b"\0" * 40

    def register() -> None:
        opener = lambda file, name: Image.new("RGB", (3, 2))  # noqa: E731
        Image.register_open("HEIF", opener, lambda head: head[8:12] == b"heic")

    fake = types.SimpleNamespace(register_heif_opener=register)
    monkeypatch.setitem(sys.modules, "pillow_heif", fake)
    try:
        assert decode("x.heic", content).size == (3, 2)
    finally:
        Image.OPEN.pop("HEIF", None)
        Image.ID.remove("HEIF")


def test_csv_files_for_excel_begin_with_a_mark(tmp_path):
    source = Tree("", pictures("caf\u00e9", "dog"), "").make(tmp_path)
    dataset = load_dataset("x", source)
    path = tmp_path / "labels.csv"
    labelaudit.write_labels(dataset.view(), path, bom=True)
    assert path.read_bytes().startswith(b'\xef\xbb\xbf"id",')
    assert load_dataset("y", path).classes == dataset.classes
    labelaudit.write_labels(dataset.view(), path)
    assert path.read_bytes().startswith(b'"id",')
    with pytest.raises(LabelAuditError, match=r"bom works only with a manifest that ends in \.csv"):
        labelaudit.write_labels(dataset.view(), path.with_suffix(".jsonl"), bom=True)
    text = cli("export", "x", tmp_path / "cli.csv", "--bom").stdout
    assert "4 labels written" in text
    assert (tmp_path / "cli.csv").read_bytes().startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("format", ["folders", "fiftyone", "label-studio"])
@pytest.mark.parametrize("options", [{"dry_run": True}, {"dry_run": True, "link": True},
                                     {"link": True}, {}])  # fmt: skip
def test_an_export_of_a_deleted_image_is_one_sentence(tmp_path, format, options):
    source = Tree("", pictures("cat", "dog"), "").make(tmp_path)
    dataset = load_dataset("x", source)
    (source / "cat/1.png").unlink()
    with pytest.raises(LabelAuditError, match=r"cat/1.png cannot be read .*Nothing was written"):
        labelaudit.export_dataset(dataset, tmp_path / "out", format, **options)
    assert not Path(tmp_path / "out").exists()


def test_duplicates_of_deleted_images(tmp_path):
    source = Tree("", pictures("cat", "dog"), "").make(tmp_path)
    dataset = load_dataset("x", source)
    (source / "cat").rename(tmp_path / "gone")
    assert labelaudit.find_duplicates(dataset).searched == 2
    other = load_dataset("y", source)
    (source / "dog").rename(tmp_path / "gone too")
    with pytest.raises(LabelAuditError, match="none of the 2 images of 'y' can be read"):
        labelaudit.find_duplicates(other)


# --- the app ---


def preview_page(source: str, key: str) -> None:
    from labelaudit.ui import load_preview

    options = load_preview.options(key, with_root=True)
    load_preview.show(key, source, {**options, "within": None}, draw=True)


def open_preview(source: Path):
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_function(preview_page, args=(str(source), "k"), default_timeout=300)
    app.run()
    assert not app.exception
    return app


def test_the_app_shows_the_preview_and_takes_every_option(tmp_path):
    source = Tree("", {**dict.fromkeys(pictures("<b>", "dog", "test"), ""), "dog/n.txt": "x"},
                  "").make(tmp_path)  # fmt: skip
    app = open_preview(source)
    assert "may be a split or a class" in app.error[0].value
    app.text_input(key="k-ignore").set_value("test").run()
    assert not app.error
    assert app.markdown[0].value == "**Read as class folders**"
    assert {metric.label: metric.value for metric in app.metric} == {"Images": "4", "Classes": "2"}
    html = app.get("html")[0].proto.body
    assert "&lt;b&gt;" in html
    assert "<b><b>" not in html
    assert html.count("data:image/png;base64,") == 4
    assert any("2 ignored" in caption.value for caption in app.caption)
    app.text_input(key="k-ignore").set_value("")
    app.text_input(key="k-label-from").set_value("1").run()
    assert {metric.label: metric.value for metric in app.metric}["Classes"] == "3"
    app.text_input(key="k-label-from").set_value("labels.csv").run()
    assert "its lists are none" in app.error[0].value
    (source / "labels.csv").write_text("where,what\ndog/0.png,a\ndog/1.png,b\n")
    app.text_input(key="k-path-column").set_value("where")
    app.text_input(key="k-label").set_value("what").run()
    assert app.markdown[0].value == "**Read as image list**"
    skipped = next(e for e in app.expander if e.label.startswith("Images skipped"))
    assert skipped.label == "Images skipped: 4"


def test_a_preview_is_read_again_only_if_the_options_change(tmp_path, monkeypatch):
    from labelaudit.ui import load_preview

    source = Tree("", pictures("cat", "dog"), "").make(tmp_path)
    read = []
    monkeypatch.setattr(load_preview, "preview_dataset",
                        lambda *a, **k: read.append(a) or preview_dataset(*a, **k))  # fmt: skip
    app = open_preview(source)
    app.run()
    assert len(read) == 1
    app.text_input(key="k-split-from").set_value("none").run()
    assert len(read) == 2
