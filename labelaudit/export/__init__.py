"""Ways out: the suspects as CSV, and the labels as they are now, with their images, in formats
that others read (`formats.py` lists them).
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..core.errors import LabelAuditError
from ..core.progress import QUIET, Task
from ..dataset.view import View
from ..storage.object_store import is_remote
from . import labels
from .content import Content
from .downloads import Survey, export_zip, manifest_bytes, survey
from .formats import FORMATS, MANIFEST, ZIP, Format
from .labels import write_labels
from .source_folders import check_outside
from .suspects import suspects_csv, write_suspects
from .tables import write_table
from .trees import Beside, CountTree, FolderTree, Tree, ZipTree, check_space, check_target, size


@dataclass
class Exported:
    """What an export wrote, or would write."""

    format: str
    target: str
    samples: int
    files: int = 0
    bytes: int = 0  # newly written: hard links add none
    linked: int = 0  # files that are hard links
    copied: int = 0  # files that could not be linked, and were copied
    relabelled: int = 0  # samples whose label is not the one that was loaded
    removed: int = 0  # samples left out because they are tagged `removed`
    notes: list[str] = field(default_factory=list)
    dry_run: bool = False

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        verb = "would be written" if self.dry_run else "written"
        what = f"{self.samples:,} {'labels' if self.format == MANIFEST else 'samples'}"
        files = f"{self.files:,} file{'' if self.files == 1 else 's'}, {size(self.bytes)}"
        lines = [f"{what} {verb} to {self.target} ({files})"]
        if self.linked:
            copies = f"; {self.copied:,} could not be, and are copies" if self.copied else ""
            lines.append(f"{self.linked:,} images are hard links to their files{copies}")
        elif self.copied:
            lines.append(f"{self.copied:,} images cannot be hard links there: they are copies")
        if self.relabelled:
            lines.append(f"{self.relabelled:,} labels differ from those that were loaded")
        if self.removed:
            lines.append(f"{self.removed:,} samples tagged removed are left out")
        return "\n".join([*lines, *self.notes])


def export_dataset(
    view: View,
    target: str | os.PathLike,
    format: str = MANIFEST,
    *,
    link: bool = False,
    images: bool = False,
    paths: str = "auto",
    into_source: bool = False,
    dry_run: bool = False,
    task: Task = QUIET,
) -> Exported:
    """Write the samples of a view with their labels as they are now; samples tagged `removed` are
    left out.

    view: a view, or a whole dataset. format: one of FORMATS. target: of a manifest a file, whose
    suffix says which kind (.csv, .jsonl, .parquet); of the others a new or empty folder, or a new
    .zip. link: hard links to the images' files instead of copies, where that can be. images, paths:
    of a manifest, see `write_labels`. into_source: allow a target among the source images.
    dry_run: write nothing, and say what would be.

    Everything appears whole or not at all. Raises LabelAuditError, with nothing written, for a
    target that is there or cannot be made, for an image that cannot be read, and where the disk is
    full; StoppedError after a stop.
    """
    if format not in FORMATS:
        raise LabelAuditError(f"{format!r} is no format: the formats are {', '.join(FORMATS)}.")
    view = view if isinstance(view, View) else view.view()
    path = absolute(target)
    is_zip = format != MANIFEST and path.suffix.lower() == ZIP
    with view.steady():
        check_export(path, format, link, images, paths)
        if (format != MANIFEST or images) and not into_source:
            check_outside(view, path)
        content = Content(view, task=task)
        total = len(content) if FORMATS[format].images or images else None
        content.meter = task.stage(f"writing {FORMATS[format].title}", total)
        if dry_run:
            tree = CountTree(path.parent, link)
            return _written(content, tree, format, path, is_zip, paths, images, dry_run=True)
        if total and not link:
            check_space(path, int(content.sizes.sum()))
        try:
            with _tree(path, format, is_zip, link, images) as tree:
                done = _written(content, tree, format, path, is_zip, paths, images)
        except OSError as error:
            raise LabelAuditError(
                f"{path} could not be written: {error.strerror or error}. Nothing is left of it."
            ) from error
    return done


def check_export(
    path: Path, format: str, link: bool = False, images: bool = False, paths: str = "auto"
) -> None:
    """What can be told of a target at once, without a look at the samples. Raises LabelAuditError
    where `export_dataset` would."""
    if format == MANIFEST:
        labels.check_manifest(path, paths, images)
    elif path.suffix.lower() != ZIP:
        check_target(path)
    elif path.exists():
        raise LabelAuditError(f"{path} is there already: name another file.")
    if link and (path.suffix.lower() == ZIP or not FORMATS[format].files):
        linkable = ", ".join(name for name, entry in FORMATS.items() if entry.files)
        raise LabelAuditError(
            f"hard links need a folder of image files: leave link out, or name a folder and one of "
            f"the formats {linkable}."
        )
    if images and format != MANIFEST:
        raise LabelAuditError(f"images goes with the manifest: {format} holds them always.")
    if paths != "auto" and format != MANIFEST:
        raise LabelAuditError(f"paths goes with the manifest: {format} has paths of its own.")
    if not path.parent.is_dir():
        raise LabelAuditError(f"{path} cannot be written: {path.parent} is no folder.")


def absolute(target: str | os.PathLike) -> Path:
    """A target's path as it is meant: `~` is the home, and a link to a file the file.

    Raises LabelAuditError for a URI of object storage.
    """
    if is_remote(target):
        raise LabelAuditError(
            f"{str(target)!r} lies in object storage: write to a folder of this machine, and copy "
            "it there."
        )
    path = Path(os.path.abspath(Path(target).expanduser()))
    # a link stays, and what it names is replaced
    return Path(os.path.realpath(path)) if path.is_file() else path


def _tree(path: Path, format: str, is_zip: bool, link: bool, images: bool) -> Tree:
    if is_zip:
        return ZipTree(path)
    return FolderTree(path, link) if format != MANIFEST else Beside(path)


def _written(
    content: Content, tree: Tree, format: str, path: Path, is_zip: bool, paths: str, images: bool,
    dry_run: bool = False,
) -> Exported:  # fmt: skip
    if format == MANIFEST:
        notes = labels.write_manifest(content, tree, path, paths, images)
    else:
        notes = FORMATS[format].write(content, tree, path.stem if is_zip else path.name)
    return Exported(
        format, str(path), len(content), tree.files, tree.bytes, tree.linked, tree.copied,
        content.relabelled, content.removed, notes, dry_run,
    )  # fmt: skip


__all__ = [
    "FORMATS", "MANIFEST", "Exported", "Format", "Survey", "absolute", "check_export",
    "export_dataset",
    "export_zip", "manifest_bytes", "size", "survey", "suspects_csv", "write_labels",
    "write_suspects", "write_table",
]  # fmt: skip
