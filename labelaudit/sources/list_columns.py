"""Which columns of a table hold the path, the label and the rest.

Header names are compared without case, blanks and punctuation: `File_Name`, ` filename`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..core.errors import BadInputError
from .image_list import HOW_TO_SET_LABEL, HOW_TO_SET_PATH, MAX_ERROR_TEXT, ListFile
from .labels import ONE_LABEL
from .table_reader import (
    BATCHED_SUFFIXES,
    FILE_NAME,
    FILEPATH,
    LABEL,
    column_names,
    parse_json,
    read_errors,
    read_rows,
)

# Usual names, most certain first, in the form that `normal` returns.
PATH_NAMES = (
    "filepath", "filename", "filepaths", "filenames", "path", "paths", "imagepath", "imgpath",
    "imagepaths", "fullpath", "relativepath", "fname", "imagefile", "imagefilename", "imagename",
    "imgname",
)  # fmt: skip
# These may also hold numbers that are ids.
IMAGE_NAMES = (
    "file", "files", "image", "img", "images", "photo", "picture", "imageid", "imageids", "imgid",
    "imageindex", "photoid", "idcode",
)  # fmt: skip
PATHS = (*PATH_NAMES, *IMAGE_NAMES, "uuid", "key", "id", "name", "imageurl", "url")
LABELS = (
    "label", "labels", "class", "classname", "classes", "category", "categories", "categoryname",
    "target", "targets", "groundtruth", "trueclass", "truelabel", "labelname", "imagelabel",
    "classlabel",
)  # fmt: skip
# These are labels if there is no other column.
WEAK_LABELS = ("species", "breed", "variety", "diagnosis", "dx", "kind", "type", "gt", "y")
SAMPLE_ROWS = 2000  # read to judge a column
MAX_LABEL_TEXT = 60  # characters; longer values are captions


@dataclass(frozen=True)
class Columns:
    """Names of columns in the file; None if there is none. is_certain: the name of the label column
    says what it is, or the user named it."""

    path: str
    label: str
    split: str | None = None
    id: str | None = None
    tags: str | None = None
    is_certain: bool = True

    @property
    def is_manifest(self) -> bool:
        """Whether the path column is `filepath`, so that `id` means the id of the sample."""
        return normal(self.path) == FILEPATH


def normal(name: str) -> str:
    """Return a header name without case, blanks and punctuation."""
    return re.sub(r"[\W_]+", "", name.casefold())


def path_column(file: ListFile, names: Sequence[str]) -> str | None:
    """Return the column with the paths of the images; None if no name fits.

    If several fit, it is the first one whose first rows are images. Raises BadInputError if the
    user named a column that does not exist.
    """
    if file.path_column is not None:
        return named_column(file, names, file.path_column, "the paths", HOW_TO_SET_PATH)
    by_name = {normal(name): name for name in reversed(names)}
    found = [by_name[name] for name in PATHS if name in by_name]
    exact = next((name for name in found if normal(name) in (FILEPATH, normal(FILE_NAME))), None)
    if exact is not None or len(found) < 2:
        return exact or next(iter(found), None)
    rows = _sample(file)
    return next((name for name in found if found_share(file, rows, name) > 0), found[0])


def find_columns(file: ListFile, label: str | None = None) -> Columns:
    """Return the columns of a table. label: the label column, if the user named it.

    Raises BadInputError that says which column is missing, or that several may have the labels.
    """
    names = column_names(file)
    if not names and file.suffix not in BATCHED_SUFFIXES:
        with read_errors(file):
            parse_json(file.json)
    path = path_column(file, names)
    if path is None:
        raise BadInputError(
            f"{file.name} has no column 'filepath': it has {shorten(names) or 'none'}; it needs "
            "filepath and label, and may have split, id and tags. If other columns have them, name "
            f"them ({HOW_TO_SET_PATH}; {HOW_TO_SET_LABEL})."
        )
    others = [name for name in names if name != path]
    roles = {role: _role(others, role) for role in ("split", "id", "tags")}
    usual = {name for name in roles.values() if name is not None}
    own = set(map(normal, file.fields))  # the user says that these are something else
    rest = [
        name for name in others if name not in usual and normal(name) and normal(name) not in own
    ]
    chosen, is_certain = _label_column(file, path, rest, others, label)
    if normal(path) != FILEPATH or roles["id"] == chosen:
        roles["id"] = None  # its meaning is unknown
    roles = {role: name for role, name in roles.items() if name != chosen}
    return Columns(path, chosen, **roles, is_certain=is_certain)


def _label_column(
    file: ListFile, path: str, rest: list[str], others: list[str], label: str | None
) -> tuple[str, bool]:
    """Return the column of the labels, and whether its name says so."""
    if label is not None:
        return named_column(file, [path, *others], label, "the labels", HOW_TO_SET_LABEL), True
    if len(exact := [name for name in rest if normal(name) == LABEL]) == 1:
        return exact[0], True
    likely = [name for name in rest if normal(name) in LABELS]
    if len(exact) > 1:
        raise BadInputError(f"{file.name} has the column {exact[0]!r} twice: remove one of them.")
    if len(likely) == 1:
        return likely[0], True
    if not likely and len(rest) == 1:
        if normal(rest[0]) in WEAK_LABELS:
            return rest[0], True
        if looks_like_labels(file, rest[0]):
            return rest[0], False
    others = [name for name in others if normal(name)]
    if not rest and len(others) == 1 and looks_like_labels(file, others[0]):
        return others[0], False
    what = f"{path} it has {shorten(rest or others) or 'none'}"
    if len(rest) > 1 and _are_flags(file, rest):
        raise BadInputError(
            f"{file.name} has no column 'label'; besides {what}, with 0 or 1 for each class: "
            f"{ONE_LABEL}; write one column with the name of the class."
        )
    raise BadInputError(
        f"{file.name} has no column 'label'; besides {what}: name the column with the labels "
        f"({HOW_TO_SET_LABEL})."
    )


def looks_like_labels(file: ListFile, name: str) -> bool:
    """Whether the values of a column are few and short, so that they may be classes."""
    rows = _sample(file)
    if name not in rows.column_names:  # a quote in the header is not closed
        return False
    values = [value for value in rows[name].to_pylist() if value not in (None, "")]
    distinct = {str(value) for value in values}
    return (
        1 < len(distinct) <= max(len(values) / 2, 1)
        and max(map(len, distinct)) <= MAX_LABEL_TEXT
        and not all(re.fullmatch(r"-?\d*\.\d+", value) for value in distinct)
    )


def _are_flags(file: ListFile, names: Sequence[str]) -> bool:
    """Whether columns hold only 0 and 1: one column for each class."""
    rows = _sample(file)
    if not set(names) <= set(rows.column_names):  # a quote in the header is not closed
        return False
    values = {str(value).strip() for name in names for value in rows[name].to_pylist()}
    return bool(values) and values <= {"0", "1", "0.0", "1.0", "", "None"}


def found_share(file: ListFile, rows: pa.Table, name: str) -> float:
    """Return the share of the rows whose value in a column is an image of the source."""
    values = rows[name].to_pylist() if name in rows.column_names else []
    return sum(image_of(file, value) is not None for value in values) / max(len(values), 1)


def image_of(file: ListFile, value: object) -> str | None:
    """Return the name in the source of the image with a path in a list; None if there is none."""
    text = str(value or "").strip()
    if not text or "\0" in text or len(text) > MAX_ERROR_TEXT * 10:
        return None
    place = file.relative_path(text)
    if file.files.exists(place):
        return place
    return file.finder.find(text, file.base, file.near)[0]


def sample_pairs(file: ListFile, columns: Columns) -> list[tuple[str | None, str | None]]:
    """Return (image in the source, label) of the first rows. Raises BadInputError without any."""
    rows = _sample(file)
    if not {columns.path, columns.label} <= set(rows.column_names):
        raise BadInputError(f"{file.name} has no rows: add one row per image.")
    images = (image_of(file, value) for value in rows[columns.path].to_pylist())
    labels = (None if v is None else str(v).strip() for v in rows[columns.label].to_pylist())
    return list(zip(images, labels, strict=True))


def shorten(names: Sequence[str]) -> str:
    """Return names on one line, cut if they are long."""
    names = [" ".join(name.split()) for name in names]
    shown = ", ".join(names[:12])[:MAX_ERROR_TEXT]
    return shown + (" …" if len(shown) < len(", ".join(names)) else "")


def _sample(file: ListFile) -> pa.Table:
    return read_rows(file, SAMPLE_ROWS)


def _role(names: Sequence[str], role: str) -> str | None:
    """Return the column of this name: exactly, or in another spelling."""
    exact = next((name for name in names if name == role), None)
    return exact or next((name for name in names if normal(name) == role), None)


def named_column(file: ListFile, names: Sequence[str], wanted: str, what: str, how: str) -> str:
    """Return the column that the user named. Raises BadInputError if there is none, or two."""
    found = [name for name in names if name == wanted]
    found = found or [name for name in names if normal(name) == normal(wanted)]
    if len(found) > 1:
        raise BadInputError(f"{file.name} has the column {found[0]!r} twice: remove one of them.")
    if not found:
        raise BadInputError(
            f"{file.name} has no column {wanted!r}: it has {shorten(names)}; name the column with "
            f"{what} ({how})."
        )
    return found[0]
