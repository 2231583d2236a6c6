"""Writes corrected labels into the file or the folders that they came from."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from ...core.errors import BadInputError, StorageError
from ...core.progress import QUIET, Task
from ...dataset.dataset import Dataset
from ...export.tables import open_sink
from ...sources.class_folders import TITLE
from ...sources.files import Folder, Narrowed
from ...sources.load import reopen
from ...sources.source import is_image_name
from ..source_classes import SourceClasses
from .current import read_current
from .lists import FileChange, change_lists
from .moves import Move, check_finished, finish, make_moves, plan_moves, undo_moves

__all__ = ["WriteBack", "plan_write_back", "undo_moves", "write_back"]


@dataclass(frozen=True)
class WriteBack:
    """What would be written, or was. `files` for lists of images, `moves` for class folders.

    rows: (path of the image, label before, label after). left: (path, why) of labels that cannot be
    written. removed: samples that are removed here and stay in the source.
    """

    dataset: str
    files: list[FileChange]
    moves: list[Move]
    left: list[tuple[str, str]]
    removed: int
    written: tuple[str, ...] = ()  # files
    backups: tuple[str, ...] = ()

    @property
    def rows(self) -> list[tuple[str, str | None, str | None]]:
        """Every change: path of the image, label before, label after."""
        moved = [(move.before, move.old_label, move.label or None) for move in self.moves]
        return [row for file in self.files for row in file.rows] + moved

    def to_dict(self) -> dict:
        """Return plain JSON values."""
        return {
            "dataset": self.dataset,
            "changes": [list(row) for row in self.rows],
            "files": [file.path for file in self.files if file.content is not None],
            "moves": [asdict(move) for move in self.moves],
            "left": [list(row) for row in self.left],
            "removed": self.removed,
            "written": list(self.written),
            "backups": list(self.backups),
        }


def plan_write_back(dataset: Dataset, task: Task = QUIET) -> WriteBack:
    """Return which labels of the source would be changed, and how. Nothing is written.

    Raises BadInputError for a dataset without a source that can be read again, for a format that
    cannot be written, and if the source was changed since it was read; the errors of
    `load_dataset` if it cannot be read.
    """
    check_finished(dataset)
    frame = dataset.view().frame
    with frame.steady():
        current, origin = read_current(frame), frame.meta["origin"]
        source = reopen(origin, None, task)
        removed = int(current.removed.sum())
        if source.lists:
            files = change_lists(dataset.name, source, current, origin["label"])
            left = [row for file in files for row in file.left]
            return WriteBack(dataset.name, files, [], left, removed)
        folder = Path(origin["source"])
        if source.format != TITLE or not folder.is_dir() or origin["label_from"] == "name":
            raise BadInputError(
                f"the labels of {source.description} cannot be written back: write them elsewhere "
                "with `labelaudit export`."
            )
        names = Folder(folder)
        wanted = Narrowed(names, origin["ignore"]) if origin["ignore"] else names
        images = [name for name in wanted.names if is_image_name(name)]
        moves, left = plan_moves(wanted, images, current, origin)
        return WriteBack(dataset.name, [], moves, left, removed)


def write_back(
    dataset: Dataset,
    output: str | os.PathLike | None = None,
    *,
    in_place: bool = False,
    task: Task = QUIET,
) -> WriteBack:
    """Write the current labels into a copy of the source's own file, or into the file itself.

    Everything else in the file stays as it is, byte for byte where a text file is concerned: other
    columns, their order, delimiter, quotes, encoding and line ends. Images in class folders are
    moved instead, which needs in_place; `undo_moves` moves them back.

    output: the file to write; a folder, if several files list the images. in_place: replace the
    file, after a copy of it was written beside it (`labels.csv.bak`).
    Raises the errors of `plan_write_back`; BadInputError if neither or both are given, or the
    output exists; StorageError if a file cannot be written or is read-only.
    """
    if in_place == (output is not None):
        raise BadInputError("say where to write: give an output, or in_place, and not both.")
    if in_place:
        finish(dataset)  # of a process that was killed
    plan = plan_write_back(dataset, task)
    if plan.moves or not plan.files:
        if not in_place:
            raise BadInputError(
                f"the labels of dataset {dataset.name!r} are its class folders: images are moved, "
                "which needs in_place (--in-place)."
            )
        if plan.moves:
            make_moves(dataset, plan.moves)
        return plan
    if in_place:
        _check_writable([file.path for file in plan.files if file.content is not None])
    written, backups = [], []
    targets = _targets(plan.files, output) if output is not None else {}
    for file in plan.files:
        if in_place and file.content is None:
            continue
        if in_place:
            backups.append(_backup(file.path))
        target = targets.get(file.path, file.path)
        with open_sink(target) as sink:
            sink.write(Path(file.path).read_bytes() if file.content is None else file.content)
        written.append(target)
    if written and in_place:
        frame = dataset.view().frame
        with frame.transaction():
            SourceClasses.read(frame).remember(frame, {after for *_, after in plan.rows})
    values = {**vars(plan), "written": tuple(written), "backups": tuple(backups)}
    return WriteBack(**values)


def _targets(files: list[FileChange], output: str | os.PathLike) -> dict[str, str]:
    """Return where each file is written."""
    path = Path(os.path.abspath(Path(output).expanduser()))
    if len(files) > 1:
        if not path.is_dir():
            raise BadInputError(
                f"{path} is no folder: {len(files)} files have the labels, so give a folder."
            )
        common = os.path.commonpath([os.path.dirname(file.path) for file in files])
        targets = {f.path: str(path / os.path.relpath(f.path, common)) for f in files}
        for target in targets.values():
            os.makedirs(os.path.dirname(target), exist_ok=True)
    else:
        name = path / os.path.basename(files[0].path) if path.is_dir() else path
        targets = {files[0].path: str(name)}
    taken = next((target for target in targets.values() if os.path.lexists(target)), None)
    if taken:
        raise BadInputError(f"{taken} already exists: choose another place, or use --in-place.")
    return targets


def _check_writable(paths: list[str]) -> None:
    """Raise StorageError for a read-only file: it could be replaced, but is protected, as DVC
    protects the files of its cache."""
    for path in paths:
        if not os.stat(path).st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            raise StorageError(
                f"{path} is read-only: make it writable, or write the labels to another file."
            )


def _backup(path: str) -> str:
    number, name = 1, f"{path}.bak"
    while os.path.lexists(name):
        number += 1
        name = f"{path}.bak{number}"
    try:
        shutil.copy2(path, name)
    except OSError as error:
        raise StorageError(f"{name} cannot be written: {error.strerror}.") from error
    return name
