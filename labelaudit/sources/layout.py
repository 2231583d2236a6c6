"""Finds out which folders of a tree are splits and which are classes.

The tree is read from the top. At each level, the folders beside each other are a split level, a
folder around everything, a folder of images beside folders of annotations, or classes. Where two
readings are possible, nothing is guessed: `UnclearLayoutError` names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..core.errors import BadInputError
from .folder_names import split_of, splits_of

# follows a message that names options of the command line
HOW_TO_SET = (
    "in Python these options are arguments such as label_from=1, in the app they are fields of the "
    "same names"
)
NO_CLASS_FOLDER = "is not in a class folder"
BESIDE_IMAGES = "is in a folder of annotations beside the images"


class UnclearLayoutError(BadInputError):
    """The folders have no reading, or several. The message begins in lower case, without a path."""


@dataclass(frozen=True)
class Place:
    """What a folder says about the images directly in it. why: why there is no label."""

    label: str | None = None
    split: str | None = None
    why: str = NO_CLASS_FOLDER


@dataclass
class Layout:
    """The reading of a tree. places: by folder; "" is the top. steps: how each level was read."""

    places: dict[str, Place]
    steps: list[str] = field(default_factory=list)


@dataclass
class Branch:
    """A folder with images. `at` of its parts were read already."""

    folder: str
    parts: tuple[str, ...]
    count: int
    at: int = 0
    split: str | None = None
    label: str | None = None
    why: str = NO_CLASS_FOLDER

    @property
    def rest(self) -> tuple[str, ...]:
        return self.parts[self.at :]


def how_to(option: str, value: object) -> str:
    """Say how an option is set on the command line; HOW_TO_SET says it for Python and the app."""
    return f"--{option.replace('_', '-')} {value}"


def read_layout(
    counts: Mapping[str, int], label_from: str | None = None, split_from: str | None = None
) -> Layout:
    """Return the reading of a tree.

    counts: the number of images directly in each folder, by its path with '/'; "" is the top.
    label_from: the level of the class folders: "1" for the folders at the top, "2" for those in
    them, "parent" for the folder of each image, "name" for none; None to detect it.
    split_from: the level of the split folders, or "none". Raises UnclearLayoutError if there is no
    reading or several, and BadInputError for an invalid option.
    """
    branches = [
        Branch(folder, tuple(folder.split("/")) if folder else (), count)
        for folder, count in sorted(counts.items())
    ]
    label_level, split_level = _level(label_from, "label_from"), _level(split_from, "split_from")
    if label_level is not None:
        steps = _read_levels(branches, label_level, split_level)
    else:
        from .layout_reader import LayoutReader

        steps = LayoutReader(branches, split_level).read()
    places = {b.folder: Place(b.label, b.split, b.why) for b in branches}
    return Layout(places, steps)


def _level(value: str | None, option: str) -> int | None:
    """Return a level; 0 for "none" or "name", -1 for "parent"."""
    if value is None:
        return None
    words = {"none": 0} if option == "split_from" else {"parent": -1, "name": 0}
    if value in words:
        return words[value]
    if value.isdecimal() and 0 < int(value) < 100:
        return int(value)
    more = "none for no splits" if option == "split_from" else (
        "parent for the folder of each image, name for the beginning of the file name, folders to "
        "detect the level, or the name of a list of images in the source"
    )  # fmt: skip
    raise BadInputError(
        f"{option}={value!r} is not a level of folders: give 1 for the folders at the top, 2 for "
        f"those in them, {more}."
    )


def _read_levels(branches: list[Branch], label: int, split: int | None) -> list[str]:
    """Set labels and splits by levels that the user named."""
    if split is None:
        split = _find_split_level(branches, label)
    if split == label != 0:
        raise BadInputError(f"level {label} cannot be both split and label: give two levels.")
    for branch in branches:
        parts = branch.parts
        split_index = split or 0
        if split_index and len(parts) >= split_index:
            branch.split = split_of(parts[split_index - 1]) or parts[split_index - 1]
        index = len(parts) if label == -1 else label
        if 0 < index <= len(parts) and index != split_index:
            branch.label = parts[index - 1]
        elif label == -1:
            branch.why = NO_CLASS_FOLDER
        else:
            branch.why = f"has no class folder at level {label}"
    if label and all(branch.label is None for branch in branches):
        raise BadInputError(f"no image is in a folder at level {label}: give a smaller level.")
    where = {-1: "the folder of each image", 0: "the beginning of each file name"}.get(
        label, f"folders at level {label}"
    )
    return [*([f"splits: folders at level {split}"] if split else []), f"classes: {where}"]


def _find_split_level(branches: list[Branch], label: int) -> int:
    """Return the level above the classes at which all folders are splits; 0 if there is none."""
    deepest = max((len(branch.parts) for branch in branches), default=0)
    above = label - 1 if label > 0 else deepest + label
    for level in range(1, above + 1):
        deep = [b for b in branches if len(b.parts) >= level + (label == -1)]
        if deep and splits_of({b.parts[level - 1] for b in deep}):
            return level
    return 0
