"""What the names of folders and files say: splits, containers, tool folders, system files."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from ..storage.schema import HELD_OUT_SPLITS, TRAINING_SPLITS

UNLABELLED = "_unlabeled"  # FiftyOne's folder for images without a label
SPLITS = TRAINING_SPLITS | HELD_OUT_SPLITS
# Splits that are no common name for training or held-out data. Their images mostly have no labels.
_OTHER_SPLITS = {"trainval", "pred", "predict", "prediction", "unlabeled", "unlabelled"}
_SPLIT_WORDS = SPLITS | _OTHER_SPLITS
_FOLDS = {"fold", "kfold", "cv"}  # a number follows

# Words that may stand beside the word of a split: `train_images`, `my-test-set`, `seg_train`.
_FILLERS = {
    "set", "sets", "data", "dataset", "datasets", "image", "images", "img", "imgs", "pics",
    "pictures", "photos", "jpg", "jpeg", "png", "split", "folder", "dir", "my", "the", "our", "new",
    "final", "full", "small", "large", "mini", "tiny", "resized", "cropped", "crop", "raw",
    "original", "processed", "preprocessed", "clean", "augmented", "aug", "seg", "public",
    "private", "labeled", "labelled", "files", "v", "x", "px",
}  # fmt: skip
# Folders around images or around classes, which are no classes themselves.
_CONTAINERS = {
    "images", "image", "img", "imgs", "pics", "pictures", "photos", "jpegimages", "pngimages",
    "jpgs", "jpegs", "pngs", "jpg", "jpeg", "png", "data", "dataset", "datasets", "files",
    "byclass", "classes",
}  # fmt: skip
# Folders of annotations, whose images are no photographs of a class.
_TOOLS = {
    "annotations", "annotation", "anns", "labels", "labeltxt", "masks", "trimaps",
    "segmentationclass", "segmentationobject", "segmentations", "imagesets", "groundtruth", "gt",
    "bboxes", "xmls", "jsons",
}  # fmt: skip
# Words of folders over which the images are distributed; a number follows: `part_1`, `batch2`.
_PARTS = {"part", "batch", "chunk", "shard", "vol", "volume", "disk", "disc"}
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]+")
_JOINED = re.compile(
    rf"({'|'.join(sorted(_SPLIT_WORDS, key=len, reverse=True))})"
    r"(set|sets|data|dataset|images|imgs|img|dir|split)"
)

# Files and folders of operating systems and tools. Names that begin with '.' are hidden.
_SYSTEM = {
    "@eadir", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler", "lost+found", "lost.dir",
    "system volume information", "__macosx", "__pycache__", "__thumbnails__", "desktop.ini",
    "thumbs.db", "ehthumbs.db", "icon\r", "fseventsd", "found.000",
}  # fmt: skip


@dataclass(frozen=True)
class SplitName:
    """word: the split, such as "train" or "fold3". rest: words that do not belong to it."""

    word: str
    rest: tuple[str, ...]


def is_system(name: str) -> bool:
    """Whether a file or folder is hidden, or belongs to an operating system or a tool."""
    return name.startswith((".", "__MACOSX")) or name.lower() in _SYSTEM


def system_part(path: str) -> str | None:
    """Return a path up to its first part that belongs to the system or is hidden; None without."""
    parts = path.split("/")
    for i, part in enumerate(parts):
        if is_system(part) and part not in (".", ".."):
            return "/".join(parts[: i + 1])
    return None


def split_name(name: str) -> SplitName | None:
    """Return what a name says about a split; None if it names none, or several.

    `val2017` is the split val, `seg_train` train, `TrainingSet` training. `asl_test` has the rest
    ("asl",).
    """
    if name == UNLABELLED:
        return None
    if name.lower() in _SPLIT_WORDS:
        return SplitName(name.lower(), ())
    words = [_unjoined(word) for word in _words(name)]
    for i, word in enumerate(words[:-1]):
        if word in _FOLDS and words[i + 1].isdigit():
            rest = tuple(w for w in words[:i] + words[i + 2 :] if w not in _FILLERS)
            return SplitName(f"fold{int(words[i + 1])}", rest)
    if "hold" in words and "out" in words:
        words = ["holdout", *(word for word in words if word not in ("hold", "out"))]
    if {"train", "val"} <= set(words):
        words = ["trainval", *(word for word in words if word not in ("train", "val"))]
    found = {word for word in words if word in _SPLIT_WORDS}
    if len(found) != 1:
        return None
    others = (word for word in words if word not in found | _FILLERS and not word.isdigit())
    rest = tuple(others)
    return SplitName(found.pop(), rest)


def split_of(name: str) -> str | None:
    """Return the split that a folder or file is named after; None if other words are in the name.

    A plain name is returned as it is written: "Test".
    """
    found = split_name(name)
    if found is None or found.rest:
        return None
    return name if name.lower() == found.word else found.word


def splits_of(names: Collection[str]) -> dict[str, str] | None:
    """Return the split of each of these folders, which are beside each other.

    None if they are not all splits. A part that all names share is ignored, so that `asl_train`
    and `asl_test` are splits.
    """
    found = {name: split_name(name) for name in names}
    if not found or None in found.values():
        return None
    rests = {split.rest for split in found.values()}
    words = {split.word for split in found.values()}
    if rests == {()}:
        return {name: split_of(name) or name for name in names}
    if len(rests) == 1 and len(words) == len(names) > 1:
        return {name: split.word for name, split in found.items()}
    return None


def mix_split_and_class(names: Collection[str]) -> bool:
    """Whether the names combine split and class: `cats_train`, `cats_test`, `dogs_train` …"""
    found = [split_name(name) for name in names]
    if not found or None in found:
        return False
    rests = [split.rest for split in found]
    return len(set(rests)) > 1 and len({split.word for split in found}) > 1 < len(rests) and (
        len(set(rests)) < len(rests)
    )  # fmt: skip


def is_container(name: str) -> bool:
    """Whether a folder is named after images in general: `images`, `JPEGImages`, `dataset`."""
    return _consists_of(name, _CONTAINERS)


def is_tool(name: str) -> bool:
    """Whether a folder is named after annotations: `labels`, `SegmentationClass`, `masks`."""
    return _consists_of(name, _TOOLS)


def are_parts(names: Collection[str]) -> bool:
    """Whether images are distributed over these folders: `images_001`, `images_002` …"""
    words = [_words(name) for name in names]
    plain = {tuple(word for word in parts if not word.isdigit()) for parts in words}
    if len(names) < 2 or len(plain) > 1 or not all(any(map(str.isdigit, w)) for w in words):
        return False
    return bool(_PARTS & set(next(iter(plain)))) or all(map(is_container, names))


def _consists_of(name: str, words: set[str]) -> bool:
    parts = [word for word in _words(name) if not word.isdigit()]
    if "".join(parts) in words:
        return True
    return bool(words & set(parts)) and all(part in words | _FILLERS for part in parts)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _TOKEN.findall(name)]


def _unjoined(word: str) -> str:
    """Return the split in a word like "trainset"."""
    match = _JOINED.fullmatch(word)
    return match[1] if match else word
