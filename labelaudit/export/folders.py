"""Class folders: `<split>/<class>/<image>`, as most training code reads them."""

from __future__ import annotations

import numpy as np

from ..dataset.arrays import MISSING
from ..storage.schema import CLASS_LIST_SUFFIX
from .content import Content
from .labels import class_list, write_rows
from .names import Places, distinct_names
from .trees import Tree

LISTING = "labels.csv"  # the labels with ids, splits and tags, as a manifest
CLASS_LIST = f"labels{CLASS_LIST_SUFFIX}"  # what the folders stand for
NO_SPLIT = "no_split"


def write_folders(content: Content, tree: Tree) -> list[str]:
    """Every labelled image below the folder of its class; labels.csv and labels.classes.json."""
    labelled = content.labels != MISSING
    top = (LISTING, CLASS_LIST)
    splits = _split_folders(content, top)
    classes = distinct_names(content.classes, () if splits else top)
    of_class = np.array([*(classes[name] for name in content.classes), None], object)
    folders = of_class[content.labels]
    if splits:
        folders = np.array(
            [name if name is None else f"{splits[split]}/{name}"
             for split, name in zip(content.splits, folders, strict=True)], object,
        )  # fmt: skip
    places = content.image_places(folders, Places(top), of_class=True)
    for i, image in content.images(np.flatnonzero(labelled)):
        tree.place(places[i], image)
    known = {
        "class_folders": {folder: name for name, folder in classes.items()},
        "split_folders": {folder: name for name, folder in splits.items()},
    }
    tree.write(CLASS_LIST, class_list(content, always=True, **known))
    write_rows(content, tree, LISTING, lambda _, rows: places[rows], labelled)
    return _notes(content, classes)


def _split_folders(content: Content, taken: tuple[str, ...]) -> dict[str | None, str]:
    """A folder for each split; none at all where no sample has one."""
    names = list(dict.fromkeys(content.splits.tolist()))
    if names == [None]:
        return {}
    folders: dict[str | None, str] = {}
    if None in names:
        folders[None] = distinct_names([NO_SPLIT], [*taken, *filter(None, names)])[NO_SPLIT]
    return folders | distinct_names(filter(None, names), [*taken, *folders.values()])


def _notes(content: Content, classes: dict[str, str]) -> list[str]:
    notes = []
    if content.unlabelled:
        notes.append(f"{content.unlabelled:,} samples have no label, so no folder: left out.")
    renamed = [(name, folder) for name, folder in classes.items() if name != folder]
    if renamed:
        name, folder = renamed[0]
        notes.append(
            f"{len(renamed):,} classes have names that no folder can have ({name!r} lies in "
            f"{folder!r}): {CLASS_LIST} tells the true ones."
        )
    return notes
