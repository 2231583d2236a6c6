"""Folders as public datasets have them, and what is read of them: cases of `bad_input.py`.

A file ending like an image is a small picture, any other has the given text. A name that ends in
`->` is a link to the text.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

import labelaudit
from labelaudit.sources import Preview

Files = Sequence[str] | Mapping[str, str]


@dataclass(frozen=True)
class Tree:
    """expects: what must be in the outcome. options: of `load_dataset`. zipped: as one zip."""

    what: str
    files: Files
    expects: str
    options: dict = field(default_factory=dict)
    zipped: bool = False
    source: str = ""

    def make(self, folder: Path) -> Path:
        names = self.files if isinstance(self.files, Mapping) else dict.fromkeys(self.files, "")
        if self.zipped:
            with zipfile.ZipFile(folder / "x.zip", "w") as archive:
                for i, (name, text) in enumerate(names.items()):
                    archive.writestr(name, _content(name, text, i))
            return folder / "x.zip"
        for i, (name, text) in enumerate(names.items()):
            path = folder / "in" / name.removesuffix("->")
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("->"):
                os.symlink(text, path)
            else:
                path.write_bytes(_content(name, text, i))
        return folder / "in" / self.source

    def outcome(self, folder: Path) -> str:
        """Return how the source is read. Raises LabelAuditError if it is refused."""
        return describe(labelaudit.preview_dataset(self.make(folder), **self.options))


def describe(found: Preview) -> str:
    """Return classes, splits, skipped images and notes on one line."""
    classes = ", ".join(f"{entry.name} {entry.images}" for entry in found.classes)
    splits = ", ".join(f"{name} {count}" for name, count in found.splits.items())
    text = f"{found.format}: {classes}{f'; splits: {splits}' if splits else ''}"
    text += f"; without a label: {found.unlabelled}" if found.unlabelled else ""
    skipped = [f"skipped: {n} x {why}" for why, n in found.skipped["reasons"].items()]
    others = [f"not read: {n} {kind}" for kind, n in found.skipped["others"].items()]
    return "; ".join([text, *skipped, *others, *found.skipped["notes"]])


def _content(name: str, text: str, seed: int) -> bytes:
    if text or not name.lower().endswith((".jpg", ".jpeg", ".png", ".bmp", ".tga", ".jp2")):
        return text.encode()
    pixels = np.random.default_rng(seed).integers(0, 255, (10, 12, 3), np.uint8)
    buffer = io.BytesIO()
    suffix = name.lower().rsplit(".", 1)[1]
    kind = {"jpg": "JPEG", "tga": "TGA", "bmp": "BMP", "jp2": "JPEG2000"}.get(suffix, "PNG")
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def pictures(*folders: str, count: int = 2) -> list[str]:
    """Names of images in each folder."""
    return [f"{folder}/{i}.png".lstrip("/") for folder in folders for i in range(count)]


def numbered(*folders: str) -> list[str]:
    """Names of images that differ between folders."""
    names = [(folder, 2 * i + k) for i, folder in enumerate(folders) for k in range(2)]
    return [f"{folder}/{number}.png".lstrip("/") for folder, number in names]


def listed(images: Sequence[str], lists: Mapping[str, str]) -> dict[str, str]:
    return dict.fromkeys(images, "") | dict(lists)


COCO = json.dumps({
    "images": [{"id": i, "file_name": f"{i}.png"} for i in range(4)],
    "annotations": [{"image_id": i, "category_id": i % 2} for i in range(4)],
    "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
})  # fmt: skip
COCO_PATHS = COCO.replace('"0.png"', '"images/0.png"').replace('"1.png"', '"images\\\\1.png"')

FOLDERS = [
    # splits
    Tree("only splits: train/, test/", pictures("train", "test"), "--label-from 1"),
    Tree("images/train/, images/val/", pictures("images/train", "images/val"), "no folder is left"),
    Tree("train/images/, valid/images/", pictures("train/images", "valid/images"), "no folder"),
    Tree("train/, valid/, holdout/ without classes", pictures("train", "valid", "holdout"), "none"),
    Tree("holdout/ beside train/, with classes", pictures("train/cat", "train/dog", "holdout/cat"),
         "splits: holdout 2, train 4"),
    Tree("training_set/training_set/cats",
         pictures("training_set/training_set/cats", "training_set/training_set/dogs",
                  "test_set/test_set/cats"), "splits: test 2, training 4"),
    Tree("seg_train/seg_train/sea beside seg_pred/seg_pred without classes",
         pictures("seg_train/seg_train/sea", "seg_train/seg_train/ice", "seg_test/seg_test/sea",
                  "seg_pred/seg_pred"), "sea 4; splits: test 2, train 4; skipped: 2 x is not in"),
    Tree("train2017/, val2017/ with classes", pictures("train2017/a", "train2017/b", "val2017/a"),
         "splits: train 4, val 2"),
    Tree("asl_train/asl_train/A, asl_test/asl_test/A",
         pictures("asl_train/asl_train/A", "asl_train/asl_train/B", "asl_test/asl_test/A"),
         "A 4, B 2; splits: test 2, train 4"),
    Tree("Training/, Testing/", pictures("Training/no", "Training/yes", "Testing/no"),
         "splits: Testing 2, Training 4"),
    Tree("fold1/ to fold3/", pictures("fold1/a", "fold1/b", "fold2/a", "fold3/b"),
         "splits: fold1 4, fold2 2, fold3 2"),
    Tree("two levels of splits: fold1/train/, fold1/test/",
         pictures("fold1/train/a", "fold1/test/a", "fold2/train/a"), "two levels of splits"),
    Tree("the same, with the levels named",
         pictures("fold1/train/a", "fold1/test/a", "fold2/train/a"), "splits: test 2, train 4",
         {"split_from": 2, "label_from": 3}),
    Tree("splits in the class folders", pictures("cat/train", "cat/test", "dog/train"),
         "cat 4, dog 2; splits: test 2, train 4"),
    Tree("names of split and class in one", pictures("cat_train", "cat_test", "dog_train"),
         "split and class at once"),
    Tree("classes that begin with test", pictures("test_tube", "test_strip", "beaker"),
         "beaker 2, test_strip 2, test_tube 2"),
    # containers and tools
    Tree("JPEGImages/ and Annotations/", listed(pictures("JPEGImages"), {
        "Annotations/0.xml": "<a/>", "Annotations/1.xml": "<a/>"}), "no folder is left"),
    Tree("JPEGImages/ and SegmentationClass/, both with images",
         pictures("JPEGImages", "SegmentationClass"), "not read: SegmentationClass/"),
    Tree("images/ with classes beside masks/", pictures("images/a", "images/b", "masks/a"),
         "a 2, b 2; skipped: 2 x is in a folder of annotations"),
    Tree("images/ in each class folder", pictures("cat/images", "dog/images"), "cat 2, dog 2"),
    Tree("a top folder that repeats: x/x/train/cat", pictures("x/x/train/cat", "x/x/train/dog"),
         "cat 2, dog 2; splits: train 4"),
    Tree("dataset-resized/ around the classes",
         pictures("dataset-resized/glass", "dataset-resized/paper"), "glass 2, paper 2"),
    Tree("Final_Training/Images/00000",
         pictures("Final_Training/Images/00000", "Final_Training/Images/00001"),
         "00000 2, 00001 2; splits: training 4"),
    Tree("images beside YOLO's labels", listed(pictures("train/images", "valid/images"), {
        "train/labels/0.txt": "0 .5 .5 .1 .1", "data.yaml": "names: [a, b]"}), "YOLO"),
    # two readings
    Tree("test/ beside class folders", pictures("cat", "dog", "test"), "--ignore test"),
    Tree("the same, all are classes", pictures("cat", "dog", "test"), "cat 2, dog 2, test 2",
         {"label_from": 1}),
    Tree("the same, test/ is ignored", pictures("cat", "dog", "test"), "ignored (test)",
         {"ignore": "test"}),
    Tree("images/ beside class folders", pictures("cat", "dog", "images"), "--label-from 1"),
    Tree("train/ beside car/ and plane/", pictures("car", "plane", "train"), "train 2"),
    Tree("train/ with classes beside a class folder", pictures("train/cat", "train/dog", "cow"),
         "may be a split or a class"),
    Tree("a class called test inside train/", pictures("train/quiz", "train/test"), "--label-from"),
    Tree("domains around the same classes",
         pictures("photo/dog", "photo/cat", "sketch/dog", "sketch/cat"), "--label-from 2"),
    Tree("the same, with the levels named",
         pictures("photo/dog", "photo/cat", "sketch/dog", "sketch/cat"),
         "cat 4, dog 4; splits: photo 4, sketch 4", {"label_from": 2, "split_from": 1}),
    Tree("variants of images around the same classes",
         pictures("color/apple", "color/pear", "grayscale/apple", "grayscale/pear"), "may be"),
    Tree("classes in groups", pictures("animal/cat", "animal/dog", "car/van", "car/bus"), "may be"),
    Tree("the same, the folder of each image is its class",
         pictures("animal/cat", "animal/dog", "car/van"), "cat 2, dog 2, van 2",
         {"label_from": "parent"}),
    Tree("class folders with one folder each", pictures("cat/a", "dog/b"), "--label-from 2"),
    Tree("class folders of which one has a folder more", pictures("cat", "dog/more"), "dog 2"),
    Tree("loose images and one folder", [*pictures("", count=6), *pictures("thumbs")],
         "in no class folder"),
    Tree("one folder of images", pictures("flowers"), "There is only one class"),
    Tree("train/, test/ and a copy of both in a folder of the same name",
         pictures("xray/train/a", "xray/test/a", "xray/xray/train/a"), "--ignore xray/xray"),
    Tree("the same, without the copy",
         pictures("xray/train/a", "xray/test/a", "xray/xray/train/a"),
         "a 4; splits: test 2, train 2", {"ignore": "xray/xray"}),
    Tree("images in numbered folders", pictures("images_001", "images_002"), "no folder is left"),
    Tree("images in numbered parts", pictures("HAM_part_1", "HAM_part_2"), "no folder is left"),
    Tree("classes in numbered parts", pictures("part1/cat", "part2/cat", "part2/dog"),
         "cat 4, dog 2"),
    Tree("classes with numbers", pictures("grade 1", "grade 2"), "grade 1 2, grade 2 2"),
    # names of files
    Tree("file names that begin with the class",
         ["train/cat.0.jpg", "train/cat.1.jpg", "train/dog.0.jpg", "train/dog.1.jpg"],
         "--label-from name"),
    Tree("the same, with --label-from name",
         ["train/cat.0.jpg", "train/cat.1.jpg", "test/dog.0.jpg", "test/dog.1.jpg"],
         "cat 2, dog 2; splits: test 2, train 2", {"label_from": "name"}),
    Tree("file names with a number in brackets", ["yes (1).png", "yes (2).png", "no (1).png"],
         "no 1, yes 2", {"label_from": "name"}),
    Tree("a level that no folder has", pictures("cat", "dog"), "smaller level", {"label_from": 7}),
    Tree("an unknown place of the labels", pictures("cat"), "is not a level",
         {"label_from": "colour"}),
    Tree("the split level of a list", listed(pictures(""), {
        "m.csv": "filepath,label\n0.png,a\n1.png,b\n"}), "no folder is left", {"split_from": 1}),
    # names of classes
    Tree("classes that differ only by case", pictures("train/Cat", "test/cat"), "'Cat' and 'cat'"),
    Tree("classes that differ only by Unicode form", pictures("caf\u00e9", "cafe\u0301"), "differ"),
    Tree("classes that differ only by blanks", pictures("ice cream", "icecream"), "differ only"),
    Tree("a class folder with a line break in its name", pictures("cat\ndog", "cow"),
         "has characters that cannot be printed"),
    Tree("_unlabeled/ beside class folders", pictures("cat", "dog", "_unlabeled"),
         "cat 2, dog 2; without a label: 2"),
    Tree("classes that differ by leading zeros", pictures("01", "1", "001", "2"),
         "1 2, 01 2, 001 2, 2 2"),
]  # fmt: skip

TABLE = "".join(f"{i}.png,{'cat' if i % 2 else 'dog'}\n" for i in range(4))
FOUR = numbered("cat", "dog")
BOTH = "cat/0.png,cat\ncat/1.png,cat\ndog/2.png,dog\ndog/3.png,dog\n"

BESIDE = [
    Tree("train.csv and test.csv beside img/", listed(pictures("img", count=4), {
        "train.csv": "filepath,label\nimg/0.png,a\nimg/1.png,b\n",
        "test.csv": "filepath,label\nimg/2.png,a\nimg/3.png,b\n"}),
        "a 2, b 2; splits: test 2, train 2"),
    Tree("image_id,label without suffixes", listed(pictures("img", count=4), {
        "train.csv": "image_id,label\n" + TABLE.replace(".png", "")}), "cat 2, dog 2"),
    Tree("id,breed beside train/", listed(pictures("train", count=4), {
        "labels.csv": "id,breed\n" + TABLE.replace(".png", "")}), "cat 2, dog 2"),
    Tree("train.csv beside a submission", listed(pictures("train", "test", count=4), {
        "train.csv": "id,label\n" + TABLE.replace(".png", ""),
        "sample_submission.csv": "id,label\n0,cat\n1,cat\n"}),
        "sample_submission.csv was not read"),
    Tree("train_labels.csv and val_labels.csv of the same file names",
         listed(pictures("train", "val"), {"train_labels.csv": "filename,class\n0.png,a\n1.png,b\n",
         "val_labels.csv": "filename,class\n0.png,b\n1.png,a\n"}),
         "a 2, b 2; splits: train 2, val 2"),
    Tree("a file name that two folders have", listed(pictures("a1/x", "a1/y"), {
        "m.csv": "filename,label\n0.png,cat\n1.png,dog\nx/0.png,cat\n"}), "may be a1/x/0.png",
        {"label_from": "m.csv"}),
    Tree("COCO in annotations/ beside train2017/", listed(pictures("train2017", count=4), {
        "annotations/instances_train2017.json": COCO}), "COCO annotations: cat 2, dog 2"),
    Tree("COCO of two splits in annotations/",
         listed(pictures("train2017", "val2017", count=4), {
             "annotations/instances_train2017.json": COCO,
             "annotations/instances_val2017.json": COCO}),
         "cat 4, dog 4; splits: train 4, val 4"),
    Tree("COCO beside images/ with captions in another file",
         listed(pictures("images", count=4), {"instances.json": COCO_PATHS,
                "captions.json": json.dumps({"images": [], "captions": []})}), "cat 2, dog 2"),
    Tree("_annotations.csv in each split, with blanks after commas",
         listed(pictures("train", "valid"), {
             "train/_annotations.csv": "filename, class\n0.png, a\n1.png, b\n",
             "valid/_annotations.csv": "filename, class\n0.png, a\n1.png, b\n"}),
         "a 2, b 2; splits: train 2, valid 2"),
    # lists that are no labels
    Tree("notes.csv: file_name,comment", listed(FOUR, {
        "notes.csv": "file_name,comment\ncat/0.png,nice\ndog/2.png,dark\n"}),
        "notes.csv was not read: has no column"),
    Tree("captions of all images", listed(FOUR, {"captions.csv": "image,caption\n" + "".join(
        f"{name},picture number {i}\n" for i, name in enumerate(FOUR))}), "captions.csv was not"),
    Tree("ages of all images", listed(FOUR, {"ages.csv": "file_name,age\n" + "".join(
        f"{name},{30 + i % 2}\n" for i, name in enumerate(FOUR))}), "may mean something else"),
    Tree("the same, read on request", listed(FOUR, {"ages.csv": "file_name,age\n" + "".join(
        f"{name},{30 + i % 2}\n" for i, name in enumerate(FOUR))}), "30 2, 31 2",
        {"label_from": "ages.csv"}),
    Tree("a list of two columns, Image,Id", listed(pictures("train", count=4), {
        "train.csv": "Image,Id\n0.png,a\n1.png,b\n2.png,a\n3.png,b\n"}), "a 2, b 2"),
    Tree("a list of several columns beside numbered parts", listed(
        numbered("p_part_1", "p_part_2"), {
            "meta.csv": "lesion,image_id,dx,age\na,0,nv,5\nb,1,mel,6\nc,2,nv,6\nd,3,nv,7\n"}),
        "besides image_id it has lesion, dx, age"),
    Tree("the same, the column named", listed(
        numbered("p_part_1", "p_part_2"), {
            "meta.csv": "lesion,image_id,dx,age\na,0,nv,5\nb,1,mel,6\nc,2,nv,6\nd,3,nv,7\n"}),
        "mel 1, nv 3", {"label": "dx"}),
    Tree("a column of 0 and 1 for each class", listed(pictures("train", count=4), {
        "_classes.csv": "filename, cat, dog\n0.png, 1, 0\n1.png, 0, 1\n2.png, 1, 1\n"}),
        "with 0 or 1 for each class"),
    Tree("captions without class folders", listed(pictures("img", count=4), {
        "captions.csv": "image,caption\n0.png,a b\n1.png,c d\n2.png,e f\n3.png,g h\n"}),
        "--label-column"),
    Tree("a list of other files", listed(FOUR, {"prices.csv": "name,label\nfood,a\n"}),
         "prices.csv was not read: none of its"),
    Tree("JSON of each image beside it", listed(FOUR, {
        n.replace(".png", ".json"): '{"label": "x"}' for n in FOUR}), "cat 2, dog 2"),
    # a list and folders
    Tree("a list that agrees with the folders", listed(FOUR, {
        "labels.csv": "filepath,label\n" + BOTH}), "manifest: cat 2, dog 2"),
    Tree("a list with other names of the same classes", listed(FOUR, {
        "labels.csv": "filepath,label\n" + BOTH.replace(",cat", ",Felis")}), "Felis 2, dog 2"),
    Tree("a list that disagrees with the folders", listed(FOUR, {
        "labels.csv": "filepath,label\n" + BOTH.replace("2.png,dog", "2.png,cat")}),
        "--label-from labels.csv, or --label-from folders"),
    Tree("the same, the folders count", listed(FOUR, {
        "labels.csv": "filepath,label\n" + BOTH.replace("2.png,dog", "2.png,cat")}),
        "class folders: cat 2, dog 2", {"label_from": "folders"}),
    Tree("the same, the list counts", listed(FOUR, {
        "labels.csv": "filepath,label\n" + BOTH.replace("2.png,dog", "2.png,cat")}),
        "manifest: cat 3, dog 1", {"label_from": "labels.csv"}),
    Tree("a list of fewer images than the folders have", listed(FOUR, {
        "labels.csv": "filepath,label\ncat/0.png,cat\ncat/1.png,cat\ndog/2.png,dog\n"}),
        "it agrees with the folders"),
    Tree("two lists without a split", listed(pictures("img"), {
        "a.csv": "filename,label\n0.png,a\n1.png,b\n", "b.csv": "filename,label\n0.png,b\n"}),
        "--label-from a.csv"),
    Tree("a zip with two lists", listed(pictures("img"), {
        "a.csv": "filename,label\n0.png,a\n1.png,b\n", "b.csv": "filename,label\n0.png,b\n"}),
        "a 1, b 1", {"label_from": "a.csv"}, zipped=True),
    Tree("a named list without known columns", listed(FOUR, {"m.csv": "a,b\n1,2\n"}),
         "--path-column", {"label_from": "m.csv"}),
    Tree("a list that is not there", listed(pictures("cat", "dog"), {}), "its lists are none",
         {"label_from": "labels.csv"}),
    # columns
    Tree("File_Name,Label", listed(pictures(""), {
        "m.csv": "File_Name,Label\n0.png,a\n1.png,b\n"}), "a 1, b 1"),
    Tree("filepath, label with a blank", listed(pictures(""), {
        "m.csv": "filepath, label\n0.png, a\n1.png, b\n"}), "a 1, b 1"),
    Tree("columns with unusual names", listed(pictures(""), {
        "m.csv": "what,where\na,0.png\nb,1.png\n"}), "a 1, b 1",
        {"path_column": "where", "label": "what"}),
    Tree("a named column that is not there", listed(pictures(""), {
        "m.csv": "what,where\na,0.png\nb,1.png\n"}), "has no column 'place'",
        {"path_column": "place", "label": "what"}, source="m.csv"),
    Tree("two columns that may be the labels", listed(pictures(""), {
        "m.csv": "file_name,species,breed\n0.png,cat,manx\n1.png,dog,pug\n"}), "--label-column"),
    Tree("backslashes in paths", listed(pictures("a/b"), {
        "m.csv": "filepath,label\na\\b\\0.png,x\n.\\a\\b\\1.png,y\n"}), "x 1, y 1"),
    Tree("paths of another machine", listed(pictures("a/b"), {
        "m.csv": "filepath,label\n/kaggle/input/a/b/0.png,x\nC:\\data\\a\\b\\1.png,y\n"}),
        "2 of the images were found by name"),
    Tree("a path whose file is in another class folder", listed(["dog/1.png"], {
        "m.csv": "filepath,label\ncat/1.png,cat\ndog/1.png,dog\n"}),
        "cat 0, dog 1; skipped: 1 x there is no such file"),
    Tree("addresses on a server and in a bucket", listed(pictures(""), {
        "m.csv": "filepath,label\n0.png,a\nhttps://x.org/1.png,b\ns3://x/1.png,b\n"}),
        "remote files are not read"),
    Tree("names in NFC in the list and in NFD on the disk", listed(["cafe\u0301.png"], {
        "m.csv": "filepath,label\ncaf\u00e9.png,a\n"}), "a 1"),
    Tree("a first line sep=; as Excel writes it", listed(pictures(""), {
        "m.csv": "sep=;\nfilepath;label\n0.png;a\n1.png;b\n"}), "a 1, b 1"),
    Tree("images that metadata.csv does not have", listed(pictures("train", count=3), {
        "train/metadata.csv": "file_name,label\n0.png,a\n1.png,b\n"}),
        "skipped: 1 x is not listed in metadata.csv"),
    Tree("metadata.csv in one of two splits", listed(pictures("train", "test"), {
        "train/metadata.csv": "file_name,label\n0.png,a\n1.png,b\n"}),
        "splits: train 2; skipped: 2 x is not listed"),
]  # fmt: skip

COUNTED = [
    Tree("class folders that are shortcuts (ln -s)", {
        "far/a/0.png": "", "far/b/1.png": "", "near/cat->": "../far/a", "near/dog->": "../far/b"},
        "cat 1, dog 1", source="near"),
    Tree("a shortcut to a folder around it", {
        "cat/0.png": "", "dog/1.png": "", "dog/up->": "../../in"},
        "cat 1, dog 1; skipped: 1 x is a link to a folder around it"),
    Tree("two folders with shortcuts to each other", {
        "cat/0.png": "", "dog/1.png": "", "cat/d->": "../dog", "dog/c->": "../cat"},
        "is a link to a folder around it", {"label_from": 1}),
    Tree("a shortcut to an image, and a broken one", {
        "cat/0.png": "", "dog/1.png->": "../cat/0.png", "dog/2.png->": "gone.png"},
        "cat 1, dog 1; skipped: 1 x there is no such file"),
    Tree("images with rarer suffixes", ["cat/0.tga", "cat/1.jp2", "dog/2.bmp", "dog/3.mpo"],
         "cat 2, dog 2"),
    Tree("drawings, arrays and raw images", {
        **dict.fromkeys(FOUR, ""), "cat/x.svg": "x", "cat/x.npy": "x", "dog/x.cr2": "x"},
        "1 x holds arrays (.npy): load them with load_arrays; skipped: 1 x is a drawing"),
    Tree("zips among images", {**dict.fromkeys(FOUR, ""), "dog/more.zip": "PK", "old.tar.gz": "x"},
         "skipped: 2 x is an archive inside the source"),
    Tree("other files", {
        **dict.fromkeys(FOUR, ""), "README.md": "x", "cat/0.xml": "x", "LICENSE": "x"},
        "not read: 1 files without a suffix; not read: 1 .md files; not read: 1 .xml files"),
    Tree("files of the system", {
        **dict.fromkeys(FOUR, ""), "cat/@eaDir/0.png": "", "$RECYCLE.BIN/1.png": "",
        "lost+found/2.png": "", "__pycache__/x.pyc": "x", ".thumbnails/3.png": "",
        "dog/desktop.ini": "x", "Thumbs.db": "x", ".DS_Store": "x"},
        "cat 2, dog 2; not read: 8 hidden or system"),
    Tree("files of the system in a zip", {
        **dict.fromkeys(FOUR, ""), "cat/@eaDir/0.png": "", "__MACOSX/cat/._0.png": "x",
        "dog/desktop.ini": "x"}, "cat 2, dog 2; not read: 3 hidden or system", zipped=True),
    Tree("only arrays", {"x.npy": "x", "y.npy": "x"}, "2 with .npy"),
    Tree("an ignored name that is not there", FOUR, "matches no file", {"ignore": "masks"}),
    Tree("an ignored pattern", [*FOUR, "cat/small/9.png"], "ignored (*/small/*)",
         {"ignore": "*/small/*"}),
    Tree("backslashes in a zip", ["train\\cat\\0.png", "train\\dog\\1.png"],
         "cat 1, dog 1; splits: train 2", zipped=True),
]  # fmt: skip

TREES = {"Folders": FOLDERS, "Lists beside images": BESIDE, "What is not loaded": COUNTED}
