"""Export a dataset, or a view of it, in one of the formats."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..core.errors import BadInputError, StorageError
from ..core.plural import counted
from ..core.progress import QUIET, Task
from ..dataset.target import Target, as_view
from ..dataset.view import View
from ..storage.object_store import is_remote
from . import manifest
from .checks import check_outside_sources, check_space, check_target, format_bytes
from .formats import MANIFEST, ZIP, Format, all_formats
from .outputs import CountingOutput, FileOutput, FolderOutput, Output, ZipOutput
from .samples import Samples

LINKS = "are hard links to their files"


@dataclass
class Exported:
    """What an export wrote, or would write."""

    format: str
    target: str
    samples: int
    files: int = 0
    bytes: int = 0  # newly written; hard links add nothing
    linked: int = 0  # files that are hard links
    copied: int = 0  # files that could not be linked and were copied
    relabelled: int = 0  # samples with a label that differs from the loaded one
    removed: int = 0  # samples left out because they have the tag `removed`
    fingerprint: str | None = None  # of all images and labels of the dataset; see `verify`
    notes: list[str] = field(default_factory=list)
    dry_run: bool = False

    def to_dict(self) -> dict:
        """Return all fields as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        verb = "would be written" if self.dry_run else "written"
        what = counted(self.samples, "label" if self.format == MANIFEST else "sample")
        files = f"{counted(self.files, 'file')}, {format_bytes(self.bytes)}"
        lines = [f"{what} {verb} to {self.target} ({files})"]
        if self.linked:
            links = counted(self.linked, "image", "is a hard link to its file", LINKS)
            copies = f"; copied, because they could not be linked: {self.copied:,}"
            lines.append(links + (copies if self.copied else ""))
        elif self.copied:
            lines.append(f"{counted(self.copied, 'image')} copied, because hard links failed")
        if self.relabelled:
            lines.append(f"labels that differ from the loaded ones: {self.relabelled:,}")
        if self.removed:
            lines.append(f"{counted(self.removed, 'sample')} tagged removed left out")
        if self.fingerprint:
            lines.append(f"state of images and labels: {self.fingerprint}")
        return "\n".join([*lines, *self.notes])


def export_dataset(
    view: Target,
    target: str | os.PathLike,
    format: str = MANIFEST,
    *,
    link: bool = False,
    images: bool | None = None,
    paths: str = "auto",
    bom: bool = False,
    into_source: bool = False,
    dry_run: bool = False,
    task: Task = QUIET,
) -> Exported:
    """Write the samples of a view with their current labels, without those tagged `removed`.

    view: a view, or a whole dataset. format: a name in `all_formats()`. target: for a manifest a
    file; its suffix sets the kind of table (.csv, .jsonl, .parquet). For other formats, a new or
    empty folder, or a new .zip. link: create hard links to the image files instead of copies, where
    possible. images, paths, bom: for a manifest, see `write_labels`; images that are stored in the
    dataset are written too unless images=False, so that the export can be loaded. into_source:
    allow a target inside the folders of the source images. dry_run: write nothing, and report what
    would be written.

    The export is atomic. Nothing is written if it raises an error: BadInputError if the target
    exists or the options do not fit, DamagedError if an image cannot be read, StorageError if the
    disk is full or read-only, StoppedError if the task is stopped.
    """
    view = as_view(view)
    entry = _get_format(format)
    view = view if isinstance(view, View) else view.view()
    path = absolute(target)
    with view.steady():
        check_export(path, format, link, bool(images), paths, bom)
        samples = Samples(view, task=task)
        if images is None:
            images = format == MANIFEST and bool(samples.stored.any())
            check_export(path, format, link, images, paths, bom)
        if (format != MANIFEST or images) and not into_source:
            check_outside_sources(view, path)
        total = len(samples) if entry.images or images else None
        samples.stage = task.stage(f"writing {entry.title}", total)
        if dry_run:
            output: Output = CountingOutput(path.parent, link)
            return _write(samples, output, format, path, paths, images, bom, dry_run=True)
        if total and not link:
            check_space(path, int(samples.sizes.sum()))
        try:
            with _open_output(path, format, link) as output:
                exported = _write(samples, output, format, path, paths, images, bom)
        except OSError as error:
            raise StorageError(
                f"{path} could not be written: {error.strerror or error}. Nothing was left behind."
            ) from error
    return exported


def write_labels(
    view: Target,
    path: str | os.PathLike,
    *,
    paths: str = "auto",
    images: bool = False,
    bom: bool = False,
    task: Task = QUIET,
) -> int:
    """Write the current labels as a manifest that `load_dataset` reads. Returns the number of rows.

    The suffix sets the format: .csv, .jsonl or .parquet. Columns: id, filepath, label, split, tags.
    Samples tagged `removed` are left out. If the table alone would lose the class order, or blanks
    at the ends of names, `<name>.classes.json` next to it stores them.

    paths: "auto" writes relative paths for files below the manifest's folder, "relative" and
    "absolute" write all paths so. images: also write images that are stored in the dataset, which
    have no file, into `<name>-images` next to the manifest; without them it cannot be loaded.
    bom: begin a CSV with a byte order mark, so that Excel shows letters such as "é".
    Raises the errors of `export_dataset`; nothing is written then.
    """
    view = as_view(view)
    exported = export_dataset(view, path, paths=paths, images=images, bom=bom, task=task)
    return exported.samples


def check_export(
    path: Path,
    format: str,
    link: bool = False,
    images: bool = False,
    paths: str = "auto",
    bom: bool = False,
) -> None:
    """Check the target and options of an export without reading the samples.

    Raises the errors of `export_dataset`.
    """
    entry = _get_format(format)
    if format == MANIFEST:
        manifest.check_manifest(path, paths, images)
    elif not _is_zip(path, format):
        check_target(path)
    elif path.exists():
        raise BadInputError(f"{path} already exists: choose another file.")
    if link and (path.suffix.lower() == ZIP or not entry.files):
        linkable = ", ".join(name for name, entry in all_formats().items() if entry.files)
        raise BadInputError(
            "hard links need a folder of image files: leave link out, or choose a folder and one "
            f"of the formats {linkable}."
        )
    if images and format != MANIFEST:
        raise BadInputError(
            f"images works only with manifest: {format} always contains them, so leave it out."
        )
    if bom and (format != MANIFEST or path.suffix.lower() != ".csv"):
        raise BadInputError(
            f"bom works only with a manifest that ends in .csv, not with {path.name}: leave it out."
        )
    if paths != "auto" and format != MANIFEST:
        raise BadInputError(
            f"paths works only with manifest: {format} has its own paths, so leave it out."
        )
    if not path.parent.is_dir():
        raise BadInputError(
            f"{path} cannot be written because {path.parent} is not a folder: choose another place."
        )


def absolute(target: str | os.PathLike) -> Path:
    """Return the absolute path of a target: `~` is expanded, and a link to a file is followed.

    Raises BadInputError for a URI of object storage.
    """
    if is_remote(target):
        raise BadInputError(
            f"{str(target)!r} is in object storage: write to a folder on this machine, and copy it "
            "there."
        )
    path = Path(os.path.abspath(Path(target).expanduser()))
    # the link stays, and the file it points to is replaced
    return Path(os.path.realpath(path)) if path.is_file() else path


def _get_format(name: str) -> Format:
    formats = all_formats()
    if name not in formats:
        raise BadInputError(f"{name!r} is not a format: the formats are {', '.join(formats)}.")
    return formats[name]


def _is_zip(path: Path, format: str) -> bool:
    return format != MANIFEST and path.suffix.lower() == ZIP


def _open_output(path: Path, format: str, link: bool) -> Output:
    if _is_zip(path, format):
        return ZipOutput(path)
    return FileOutput(path) if format == MANIFEST else FolderOutput(path, link)


def _write(
    samples: Samples,
    output: Output,
    format: str,
    path: Path,
    paths: str,
    images: bool,
    bom: bool,
    dry_run: bool = False,
) -> Exported:
    if format == MANIFEST:
        notes = manifest.write_manifest(samples, output, path.name, path.parent, paths, images, bom)
    else:
        folder = path.stem if _is_zip(path, format) else path.name
        notes = _get_format(format).write(samples, output, folder)
    return Exported(
        format,
        str(path),
        len(samples),
        files=output.files,
        bytes=output.bytes,
        linked=output.linked,
        copied=output.copied,
        relabelled=samples.relabelled,
        removed=samples.removed,
        fingerprint=samples.fingerprint,
        notes=notes,
        dry_run=dry_run,
    )
