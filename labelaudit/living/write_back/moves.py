"""Moves images between class folders, with a journal that survives a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ...core.errors import BadInputError, DamagedError, StorageError
from ...core.files import atomic_write
from ...dataset.arrays import MISSING
from ...dataset.columns import Frame
from ...dataset.dataset import Dataset
from ...sources.class_folders import place_images
from ...sources.files import Files
from ...sources.folder_names import UNLABELLED
from ...sources.layout import UnclearLayoutError
from ...storage import schema
from ...storage.paths import local_home
from ..source_classes import SourceClasses
from .current import CurrentLabels

PENDING, DONE = "pending", "done"


@dataclass(frozen=True)
class Move:
    """One image and where it goes. label: its class name there."""

    id: int
    before: str
    after: str
    label: str
    old_label: str | None


def plan_moves(
    files: Files, images: Sequence[str], current: CurrentLabels, origin: dict
) -> tuple[list[Move], list[tuple[str, str]]]:
    """Return the moves, and (path, why) of images that cannot be moved.

    The folders are read again as they would be afterwards, and every image must get its label.
    Raises BadInputError if it would not.
    """
    by_path = {files.filepath(name): name for name in images}
    _, places = _read(files, images, origin)
    label_of = dict(zip(images, (place.label for place in places), strict=True))
    new_names, moves, left = dict.fromkeys(images), [], []
    taken = set(images)
    for i in np.flatnonzero(current.differs).tolist():
        code = int(current.label[i])
        path, label = current.paths[i].as_py(), current.names[code]
        if why := current.why_not(code):
            left.append((path, why))
            continue
        name = by_path.get(path)
        if name is None:
            left.append((path, "is not in the folder any more: sync first"))
            continue
        target = _target(name, label_of[name], UNLABELLED if label is None else label)
        if target is None:
            left.append((path, f"has no folder that could be {label!r} instead"))
            continue
        target = _free(target, taken)
        taken.add(target)
        new_names[name] = target
        old = label_of[name]
        old = None if old == UNLABELLED else old
        moves.append(Move(int(current.ids[i]), path, files.filepath(target), label or "", old))
    _check(files, images, new_names, label_of, moves, origin)
    return moves, left


def _read(files: Files, images: Sequence[str], origin: dict):
    where = origin["label_from"]
    return place_images(files, images, None if where == "folders" else where, origin["split_from"])


def _target(name: str, old: str | None, new: str) -> str | None:
    """Return the name with the class folder replaced; None if it is not certain which one it is."""
    parts = name.split("/")
    at = [i for i, part in enumerate(parts[:-1]) if part == old]
    if len(at) != 1 or not new or "/" in new or new in (".", "..") or new.startswith("."):
        return None
    parts[at[0]] = new
    return "/".join(parts)


def _free(name: str, taken: set[str]) -> str:
    stem, suffix = os.path.splitext(name)
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{stem}-{number}{suffix}"
    return free


def _check(files, images, new_names, label_of, moves, origin) -> None:
    """Check that the folders would be read with the wanted labels."""
    wanted = {move.after: move.label or UNLABELLED for move in moves}
    names = [new_names[name] or name for name in images]
    expected = [
        wanted.get(files.filepath(new), label_of[old])
        for old, new in zip(images, names, strict=True)
    ]
    try:
        _, places = _read(files, names, origin)
        found = [place.label for place in places]
    except UnclearLayoutError as error:
        raise BadInputError(
            f"{files.path} would not be readable after the moves, so nothing was moved: {error}."
        ) from error
    if found != expected:
        raise BadInputError(
            f"{files.path} would be read with other labels after the moves, so nothing was moved: "
            "write the labels elsewhere with `labelaudit export`."
        )


class Journal:
    """The moves of one dataset on this machine: pending ones, and the last ones, to undo them."""

    def __init__(self, name: str) -> None:
        self._folder = local_home() / "write-back"
        self.pending, self.done = (self._folder / f"{name}.{s}.json" for s in (PENDING, DONE))

    def begin(self, moves: list[Move], undoes: bool) -> None:
        """Write the moves down before the first one is made."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.pending) as partial, partial.open("w") as file:
            json.dump({"undoes": undoes, "moves": [vars(move) for move in moves]}, file)
            file.flush()
            os.fsync(file.fileno())

    def end(self, undoes: bool) -> None:
        """All moves are made. An undo cannot be undone."""
        if undoes:
            self.done.unlink(missing_ok=True)
            self.pending.unlink()
        else:
            os.replace(self.pending, self.done)

    def read(self, path: Path) -> tuple[list[Move], bool]:
        """Return the moves in a file of the journal, and whether they undo others; none without
        the file."""
        try:
            content = json.loads(path.read_text())
            return [Move(**row) for row in content["moves"]], content["undoes"]
        except FileNotFoundError:
            return [], False
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DamagedError(
                f"the journal {path} cannot be read ({error}): look at the folders, then delete it."
            ) from error


def check_finished(dataset: Dataset) -> None:
    """Raise BadInputError if a write-back was killed while it moved images."""
    journal = Journal(dataset.name)
    if journal.pending.exists():
        raise BadInputError(
            f"a write-back of dataset {dataset.name!r} was interrupted while it moved images: "
            f"complete it first (labelaudit write-back {dataset.name} --in-place)."
        )


def make_moves(dataset: Dataset, moves: list[Move], undoes: bool = False) -> None:
    """Move files, then let the dataset know. If this process is killed, `finish` continues.

    Raises StorageError if a file cannot be moved.
    """
    journal = Journal(dataset.name)
    journal.begin(moves, undoes)
    _finish(dataset, journal, moves, undoes)


def finish(dataset: Dataset) -> int:
    """Complete the moves of a process that was killed. Returns how many there were."""
    journal = Journal(dataset.name)
    moves, undoes = journal.read(journal.pending)
    if moves:
        _finish(dataset, journal, moves, undoes)
    return len(moves)


def undo_moves(dataset: Dataset) -> list[Move]:
    """Move the files of the last write-back to where they were. Returns the moves.

    Raises BadInputError if there is none to be undone.
    """
    finish(dataset)
    journal = Journal(dataset.name)
    last, _ = journal.read(journal.done)
    if not last:
        raise BadInputError(
            f"no images of dataset {dataset.name!r} were moved on this machine, or that was undone."
        )
    back = [Move(m.id, m.after, m.before, m.old_label or "", m.label or None) for m in last]
    make_moves(dataset, back, undoes=True)
    return back


def _finish(dataset: Dataset, journal: Journal, moves: list[Move], undoes: bool) -> None:
    for move in moves:
        _move(move)
    _store(dataset.view().frame, moves)
    journal.end(undoes)


def _move(move: Move) -> None:
    try:
        if not os.path.lexists(move.before):
            if os.path.lexists(move.after):
                return  # moved before the process was killed
            raise StorageError(f"{move.before} cannot be moved: it does not exist any more.")
        os.makedirs(os.path.dirname(move.after), exist_ok=True)
        if os.path.lexists(move.after):
            raise StorageError(f"{move.before} cannot be moved: {move.after} exists already.")
        os.rename(move.before, move.after)
    except OSError as error:
        raise StorageError(f"{move.before} cannot be moved: {error.strerror}.") from error


def _store(frame: Frame, moves: list[Move]) -> None:
    """Write the new paths and the labels that the source has now."""
    moves = sorted(moves, key=lambda move: move.id)
    ids = np.array([move.id for move in moves], np.int64)
    classes = SourceClasses.read(frame)
    codes = np.array([classes.index.get(move.label, MISSING) for move in moves], np.int32)
    with frame.transaction():
        classes.remember(frame, {move.label for move in moves})
        at = frame.positions(ids)
        names = schema.SAMPLES.names
        rows = frame.take("samples", at, names[1:])
        paths = pa.array([move.after for move in moves])
        columns = [paths if name == "filepath" else rows[name] for name in names]
        frame.upsert("samples", pa.table(columns, schema=schema.SAMPLES), schema.SAMPLES)
        files = frame.take("source-files", at, schema.SOURCE_FILES.names[1:])
        labels = pa.array(codes, pa.int32(), mask=codes < 0)
        columns = [labels if n == "label" else files[n] for n in schema.SOURCE_FILES.names]
        table = pa.table(columns, schema=schema.SOURCE_FILES)
        frame.upsert("source-files", table, schema.SOURCE_FILES)
