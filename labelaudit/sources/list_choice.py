"""Decides which of the lists in a folder give the labels, if any.

A list gives the labels if it says so: its format always has labels (COCO and others), the header of
a column is a usual name of labels, or it covers the images and has few distinct values. Any other
list is left alone and mentioned. If a list and class folders disagree, nothing is guessed.
"""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import PurePosixPath

from ..core.errors import BadInputError, LabelAuditError
from . import manifest
from .class_folders import place_images
from .files import Files
from .image_list import HOW_TO_SET_PATH, ImageList, ListFile
from .layout import HOW_TO_SET, UnclearLayoutError, how_to
from .list_columns import (
    SAMPLE_ROWS,
    Columns,
    find_columns,
    found_share,
    image_of,
    path_column,
    sample_pairs,
)
from .list_files import list_files, list_format, list_split, unknown_format
from .registry import ListFormat
from .source import Skipped, is_image_name
from .table_reader import column_names, read_rows, row_count

# Usual names of image lists, without suffix. If such a file cannot be read, that is an error.
WELL_KNOWN_NAMES = {"metadata", "labels", "samples", "annotations", "_annotations.coco", "manifest"}
FIRST_ROWS = 100  # read to see whether a table lists images
AGREE = 0.98  # share of the images for which a list and the folders must mean the same
COVERS = 0.5  # share of the images that a list must have to compete with class folders


@dataclass
class Candidate:
    """A list that may give the labels. columns: None for a format that is no table. pairs: (image
    in the source, label) of the first rows."""

    file: ListFile
    entry: ListFormat
    columns: Columns | None = None
    pairs: Sequence[tuple[str | None, str | None]] = ()

    @property
    def is_certain(self) -> bool:
        return self.columns is None or self.columns.is_certain

    @property
    def found(self) -> int:
        """How many of the first rows are images of the source."""
        return sum(image is not None for image, _ in self.pairs)

    @property
    def name(self) -> str:
        return self.file.in_source


class ListChoice:
    """The lists in a folder, zip or prefix."""

    def __init__(self, files: Files, label: str | None, path_column: str | None) -> None:
        self._files, self._label, self._path_column = files, label, path_column
        self._images = [name for name in files.names if is_image_name(name)]
        self._lists = list_files(files, self._images, path_column)
        self._left: dict[str, str] = {}  # why a list is not read
        self._errors: dict[str, LabelAuditError] = {}

    def by_name(self, name: str) -> ListFile | None:
        """Return the list that the user names; None if there is no such file."""
        if PurePosixPath(name).suffix.lower() not in manifest.SUFFIXES:
            return None
        same = [file for file in self._lists if file.in_source == name]
        same = same or [f for f in self._lists if posixpath.basename(f.in_source) == name]
        if len(same) != 1:
            names = ", ".join(file.in_source for file in same or self._lists) or "none"
            raise BadInputError(
                f"label_from={name!r} is not one list in {self._files.path}: its lists are {names}."
            )
        return same[0]

    def choose(self) -> list[ListFile]:
        """Return the list that gives the labels, or one per split; empty if the folders do.

        Raises LabelAuditError if several lists fit, a list and the folders disagree, or the only
        list cannot be understood.
        """
        if not self._lists:  # reading a million folders takes a second
            return []
        candidates = list(filter(None, map(self._candidate, self._lists)))
        if self._folder_labels:
            candidates = self._competing(candidates)
        chosen = [c for c in candidates if c.is_certain] or candidates
        if not chosen:
            self._check_nothing_chosen()
            return []
        if len(chosen) > 1:
            self._take_splits(chosen)
        return [c.file for c in chosen] if self._prefer_list(chosen) else []

    def note_unread(self, skipped: Skipped, read: Collection[str]) -> None:
        """Mention the lists that were not read, and why."""
        for name, reason in self._left.items():
            if name not in read:
                skipped.note(f"{name} was not read: {reason}.")

    def _candidate(self, file: ListFile) -> Candidate | None:
        """Return a list that has labels of images of the source; None for any other file."""
        try:
            entry = list_format(file)
            if entry is None:
                return None
            candidate = Candidate(file, entry)
            if entry.certain:
                candidate.pairs = _pairs(file, entry.read(file, self._label))
            else:
                candidate.columns = find_columns(file, self._label)
                candidate.pairs = sample_pairs(file, candidate.columns)
        except LabelAuditError as error:
            is_known = PurePosixPath(file.name).stem in WELL_KNOWN_NAMES
            if is_known and not str(error).startswith(f"{file.name} has no column"):
                raise
            self._errors[file.in_source] = error
            self._left[file.in_source] = str(error).removeprefix(f"{file.name} ").rstrip(".")
            return None
        if "submission" in posixpath.basename(file.in_source).lower():
            self._left[file.in_source] = "it is named as a submission, not as labels"
            return None
        if candidate.columns and not candidate.found and self._images:
            reason = f"none of its {candidate.columns.path!r} is an image here"
            self._left[file.in_source] = reason
            self._errors[file.in_source] = BadInputError(
                f"{file.name} lists no image of {self._files.path}: {reason}; correct the paths, "
                f"or name the column ({HOW_TO_SET_PATH})."
            )
            return None
        return candidate

    def _competing(self, candidates: list[Candidate]) -> list[Candidate]:
        """Return the lists that may give the labels though there are class folders, too."""
        competing = []
        for candidate in candidates:
            if candidate.is_certain:
                competing.append(candidate)
            else:
                self._left[candidate.name] = (
                    f"the folders give the labels, and its column {candidate.columns.label!r} may "
                    f"mean something else; {how_to('label_from', candidate.name)} reads it"
                )
        listed = {image for c in competing for image, _ in c.pairs if image}
        more = sum(row_count(c.file) - len(c.pairs) for c in competing if c.columns)
        if len(listed) + more >= COVERS * len(self._images):
            return competing
        for candidate in competing:
            self._left[candidate.name] = (
                "it lists fewer than half of the images, and the folders give the labels of all; "
                f"{how_to('label_from', candidate.name)} reads it"
            )
        return []

    def _take_splits(self, chosen: list[Candidate]) -> None:
        """Read several lists as splits. Raises BadInputError if they are not."""
        splits = [c.file.split or list_split(c.name) for c in chosen]
        titles = {c.entry.title for c in chosen}
        if len(titles) == 1 and None not in splits and len(set(splits)) == len(splits):
            for candidate, split in zip(chosen, splits, strict=True):
                candidate.file.split = split
            return
        names = [c.name for c in chosen]
        folders = f", or {how_to('label_from', 'folders')}" if self._folder_labels else ""
        raise BadInputError(
            f"{self._files.path} has several lists of images ({', '.join(sorted(names))}): choose "
            f"one ({how_to('label_from', names[0])}{folders}); {HOW_TO_SET}."
        )

    def _prefer_list(self, chosen: list[Candidate]) -> bool:
        """Whether lists, and not the class folders beside them, give the labels.

        Raises BadInputError if they disagree.
        """
        folders = self._folder_labels
        pairs = [(image, label) for c in chosen for image, label in c.pairs if image in folders]
        both = Counter((folders[image], label) for image, label in pairs if label)
        if not both:
            return True
        names = ", ".join(c.name for c in chosen)
        if _agree(both):
            rows = sum(row_count(c.file) if c.columns else len(c.pairs) for c in chosen)
            if rows >= len(folders):
                return True
            for candidate in chosen:
                self._left[candidate.name] = "it agrees with the folders, which have more images"
            return False
        image, label = next((i, x) for i, x in pairs if x and folders[i] != x)
        raise BadInputError(
            f"{self._files.path} has class folders and the list {names}, which may both give the "
            f"labels; {image} is {label!r} in the list and {folders[image]!r} by its folder: "
            f"choose one ({how_to('label_from', chosen[0].name)}, or "
            f"{how_to('label_from', 'folders')}); {HOW_TO_SET}."
        )

    @cached_property
    def _folder_labels(self) -> dict[str, str]:
        """The class of each image by its folder; empty without two classes."""
        if not self._images:
            return {}
        try:
            _, places = place_images(self._files, self._images, None, None)
        except UnclearLayoutError:
            return {}
        labels = {
            name: place.label
            for name, place in zip(self._images, places, strict=True)
            if place.label is not None
        }
        return labels if len(set(labels.values())) > 1 else {}

    def _check_nothing_chosen(self) -> None:
        """Raise the error of the first list, if the folders do not clearly give the labels."""
        if self._folder_labels or not self._lists:
            return
        if self._has_layout and not any(map(self._lists_images, self._lists)):
            return
        for file in self._lists:
            if error := self._errors.get(file.in_source):
                raise error
        if not self._has_layout:
            raise BadInputError(unknown_format(self._lists[0]))

    def _lists_images(self, file: ListFile) -> bool:
        """Whether a table has a column with images of the source."""
        try:
            column = path_column(file, column_names(file))
            return bool(column) and found_share(file, read_rows(file, FIRST_ROWS), column) > 0
        except LabelAuditError:
            return False

    @property
    def _has_layout(self) -> bool:
        try:
            place_images(self._files, self._images, None, None)
        except UnclearLayoutError:
            return False
        return True


def _pairs(file: ListFile, listed: ImageList) -> list[tuple[str | None, str | None]]:
    """Return (image in the source, label) of the first rows of a list that is no table."""
    found = []
    for batch in islice(listed.table.to_batches(SAMPLE_ROWS), 1):
        for row in batch.select(["filepath", "label"]).to_pylist():
            places = (image_of(file, place) for place in listed.candidates(row["filepath"]))
            found.append((next(filter(None, places), None), row["label"]))
    return found


def _agree(both: Counter) -> bool:
    """Whether classes of a list and of folders are the same, perhaps under other names."""
    by_folder: dict[str, Counter] = defaultdict(Counter)
    for (folder, label), count in both.items():
        by_folder[folder][label] += count
    usual = {folder: counts.most_common(1)[0] for folder, counts in by_folder.items()}
    same = sum(count for _, count in usual.values())
    is_one_to_one = len({label for label, _ in usual.values()}) == len(usual)
    return is_one_to_one and same >= AGREE * sum(both.values())
