"""Detect the format of a path, and open it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..core.errors import BadInputError, NotFoundError
from ..storage import object_store
from ..storage.allowed_roots import check_inside
from . import manifest
from .archive import Archive
from .bucket import Bucket, download
from .class_folders import open_class_folders
from .files import Files, Folder, Narrowed
from .image_list import HOW_TO_SET_PATH, ListFile, open_lists
from .list_choice import ListChoice
from .list_files import list_format, sibling_reader, unknown_format
from .registry import ListFormat, folder_formats
from .source import Source, is_image_name
from .unread import note_odd_classes, report_unread

FOLDERS = "folders"  # value of label_from: class folders, whatever lists are beside them


@dataclass(frozen=True)
class Options:
    """What the user says about a source; see `load_dataset`."""

    label: str | None = None
    path_column: str | None = None
    label_from: str | None = None
    split_from: str | None = None
    ignore: tuple[str, ...] = ()
    allowed_roots: Sequence[str] | None = None
    fields: dict[str, str | None] = field(default_factory=dict)  # see own_columns

    def check_no_fields(self, what: object) -> None:
        """Raise BadInputError if own fields are wanted of a source that is no table."""
        if self.fields:
            raise BadInputError(
                f"fields={[*self.fields]!r} works only for a table with these columns, not for "
                f"{what}: add the field after loading (dataset.add_field)."
            )

    def check_no_folders(self, what: object) -> None:
        """Raise BadInputError if an option is for folders, but the source is none."""
        given = {name: getattr(self, name) for name in ("label_from", "split_from", "ignore")}
        name = next((name for name, value in given.items() if value), None)
        if name:
            raise BadInputError(
                f"{name}={given[name]!r} works only for a folder or a zip, not for {what}: leave "
                "it out."
            )


def open_path(path: Path, root: Path | None = None, options: Options | None = None) -> Source:
    """Open a folder, a zip, or a file that lists images.

    root: the folder that paths in a list are relative to, by default that of the list. Raises
    LabelAuditError if the path is none of these.
    """
    options = options or Options()
    suffix, absolute = path.suffix.lower(), path.absolute()
    if path.is_dir():
        return open_folder(Folder(absolute, options.allowed_roots), options)
    if suffix == ".zip":
        return open_folder(Archive(absolute), options)
    if suffix in manifest.SUFFIXES:
        folder = Folder(absolute.parent)
        return _open_list(folder, path.name, Folder(root) if root else folder, options)
    raise BadInputError(
        f"{path} is not a folder, a zip or a list of images "
        f"({', '.join(sorted(manifest.SUFFIXES))}): give one of these."
    )


def open_remote(uri: str, root: str | None, options: Options) -> Source:
    """Open a URI in object storage: a zip, a list of images, or a prefix as a folder."""
    allowed_roots = options.allowed_roots
    if allowed_roots is not None:
        check_inside(uri, allowed_roots)
    suffix, name = PurePosixPath(uri).suffix.lower(), uri.rpartition("/")[2]
    is_list = suffix in manifest.SUFFIXES
    if (is_list or suffix == ".zip") and object_store.size(uri) is not None:
        if not is_list:
            return open_folder(Archive(uri, download(uri)), options)
        folder = Bucket(uri.rpartition("/")[0], allowed_roots)
        return _open_list(folder, name, Bucket(root, allowed_roots) if root else folder, options)
    files = Bucket(uri, allowed_roots)
    if not files.names:
        raise NotFoundError(f"there is nothing at {uri}: check the name.")
    return open_folder(files, options)


def open_folder(files: Files, options: Options) -> Source:
    """Open a folder, zip or prefix: by an image list in it, else by its class folders."""
    if options.ignore:
        files = Narrowed(files, options.ignore)
    if not (options.label_from or options.split_from):
        for entry in folder_formats():
            if entry.matches(files):
                options.check_no_fields(entry.title)
                source = entry.open(files, options.label)
                source.format = entry.title
                return source
    choice = ListChoice(files, options.label, options.path_column)
    lists = _chosen_lists(choice, options)
    if lists:
        if options.split_from:
            raise BadInputError(
                f"split_from={options.split_from!r} works only for class folders, and the labels "
                f"are read from {lists[0].name}: leave it out."
            )
        images = [name for name in files.names if is_image_name(name)]
        entry = list_format(lists[0])
        if entry is None:  # the user named the list
            raise BadInputError(unknown_format(lists[0]))
        source = _read_lists(entry, lists, options, images)
    else:
        if options.path_column is not None:
            raise BadInputError(
                f"path_column={options.path_column!r} works only for a list of images, and "
                f"{files.path} has none with this column ({HOW_TO_SET_PATH}): leave it out."
            )
        options.check_no_fields(f"the class folders of {files.path}")
        label_from = None if options.label_from == FOLDERS else options.label_from
        source = open_class_folders(files, options.label, label_from, options.split_from)
    read = {file.in_source for file in lists}
    report_unread(files, source.skipped, read)
    choice.note_unread(source.skipped, read)
    note_odd_classes(source.classes, source.skipped)
    return source


def _chosen_lists(choice: ListChoice, options: Options) -> list[ListFile]:
    """Return the lists that give the labels; empty if the folders do."""
    where = options.label_from
    if where is None:
        return [] if options.split_from else choice.choose()
    named = choice.by_name(where)
    return [named] if named else []


def _open_list(folder: Files, name: str, images: Files, options: Options) -> Source:
    """Open the image list `name` in `folder`; its paths refer to `images`."""
    options.check_no_folders(folder.display_name(name))
    file = ListFile(
        folder.display_name(name),
        lambda: folder.open(name),
        images,
        read_sibling=sibling_reader(folder, ""),
        path_column=options.path_column,
    )
    entry = list_format(file)
    if entry is None:
        raise BadInputError(unknown_format(file))
    source = _read_lists(entry, [file], options)
    note_odd_classes(source.classes, source.skipped)
    return source


def _read_lists(
    entry: ListFormat, files: list[ListFile], options: Options, images: Sequence[str] = ()
) -> Source:
    lists = []
    for file in files:
        if file.path_column and entry.certain:
            raise BadInputError(
                f"path_column={file.path_column!r} works only for a table, and {file.name} is "
                f"{entry.title}: leave it out."
            )
        file.fields = dict(options.fields)
        listed = entry.read(file, options.label)
        if not listed.fields:
            options.check_no_fields(f"{file.name}, which is {entry.title}")
        lists.append((file, listed))
        file.release()
    return open_lists(entry.title, lists, images)
