"""Class folders: `<split>/<class>/<image>`, which most training code reads."""

from __future__ import annotations

import numpy as np

from ..core.plural import counted
from ..dataset.arrays import MISSING
from ..storage.schema import CLASS_LIST_SUFFIX
from .file_names import UniquePaths, distinct_names
from .manifest import class_list, write_rows
from .outputs import Output
from .samples import Samples

LABELS = "labels.csv"  # labels with ids, splits and tags, as a manifest
CLASS_LIST = f"labels{CLASS_LIST_SUFFIX}"  # class and split names of the folders
NO_SPLIT = "no_split"


def write_folders(samples: Samples, output: Output, folder: str) -> list[str]:
    """Write labelled images into class folders, and labels.csv and labels.classes.json."""
    labelled = samples.labels != MISSING
    top_files = (LABELS, CLASS_LIST)
    splits = _split_folders(samples, top_files)
    classes = distinct_names(samples.classes, () if splits else top_files)
    class_folders = np.array([*(classes[name] for name in samples.classes), None], object)
    folders = class_folders[samples.labels]
    if splits:
        pairs = zip(samples.splits, folders, strict=True)
        names = [name if name is None else f"{splits[split]}/{name}" for split, name in pairs]
        folders = np.array(names, object)
    paths = samples.image_paths(folders, UniquePaths(top_files), in_class_folder=True)
    for i, image in samples.images(np.flatnonzero(labelled)):
        output.add_image(paths[i], image)
    names_by_folder = {
        "class_folders": {folder: name for name, folder in classes.items()},
        "split_folders": {folder: name for name, folder in splits.items()},
    }
    output.write(CLASS_LIST, class_list(samples, True, int(labelled.sum()), **names_by_folder))
    write_rows(samples, output, LABELS, lambda _, rows: paths[rows], labelled)
    return _notes(samples, classes)


def _split_folders(samples: Samples, taken: tuple[str, ...]) -> dict[str | None, str]:
    """Return a folder for each split; empty if no sample has a split."""
    names = list(dict.fromkeys(samples.splits.tolist()))
    if names == [None]:
        return {}
    folders: dict[str | None, str] = {}
    if None in names:
        folders[None] = distinct_names([NO_SPLIT], [*taken, *filter(None, names)])[NO_SPLIT]
    return folders | distinct_names(filter(None, names), [*taken, *folders.values()])


def _notes(samples: Samples, classes: dict[str, str]) -> list[str]:
    notes = []
    if samples.unlabelled:
        notes.append(f"{counted(samples.unlabelled, 'sample')} without a label left out.")
    renamed = [(name, folder) for name, folder in classes.items() if name != folder]
    if renamed:
        name, folder = renamed[0]
        notes.append(
            f"{counted(len(renamed), 'class')} with a name that no folder can have ({name!r} is in "
            f"{folder!r}): {CLASS_LIST} contains the real names."
        )
    return notes
