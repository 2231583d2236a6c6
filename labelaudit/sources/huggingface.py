"""Hugging Face datasets: from the hub, from a folder that `save_to_disk` wrote, or in memory.

Rows are read one at a time, so a dataset can be of any size, or streamed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from ..core.errors import BadInputError, DamagedError, LabelAuditError, NotFoundError
from ..core.images import encode
from .files import Files
from .image_list import HOW_TO_SET_LABEL
from .labels import ONE_LABEL, LabelNames, check_one_label
from .source import Row, Source, class_names, is_image_name

if TYPE_CHECKING:
    import datasets

SCHEME = "hf:"
IMAGE, LABEL = "image", "label"
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.parquet$")
_HUB_NAME = re.compile(r"(?P<path>[^@]+)(@(?P<config>[^@]+))?")


def open_hub(address: str, split: str | None = None, label: str | None = None) -> Source:
    """Open `hf:owner/name` or `hf:owner/name@config`: anything `datasets.load_dataset` accepts.

    It is downloaded once, into the cache of the package. split: load only this one. Raises
    LabelAuditError if it cannot be loaded.
    """
    datasets = _package()
    match = _HUB_NAME.fullmatch(address.removeprefix(SCHEME))
    if not match:
        raise BadInputError(
            f"{address!r} is not a dataset on the hub: write hf:owner/name or hf:owner/name@config."
        )
    try:
        found = datasets.load_dataset(match["path"], match["config"], split=split)
    except Exception as error:  # of many types, its own and the network's
        raise NotFoundError(
            f"{address} cannot be loaded ({_first_line(error)}): "
            "check its name, configuration and split, and the network."
        ) from error
    return open_object(found, IMAGE, label or LABEL, f"Hugging Face {address[len(SCHEME) :]}")


def is_saved(files: Files) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return files.exists("dataset_dict.json") or (
        files.exists("state.json") and files.exists("dataset_info.json")
    )


def is_parquet(files: Files) -> bool:
    """Whether a folder contains Parquet files with an image column, and no image files."""
    first = next((name for name in files.names if name.lower().endswith(".parquet")), None)
    if first is None or any(map(is_image_name, files.names)):
        return False
    if files.load is not None:  # decided by name, because its content is not on disk
        return _SHARD.search(first) is not None
    try:
        fields = parquet.read_schema(files.filepath(first))
    except (pa.ArrowException, OSError):
        return False
    return any(
        pa.types.is_struct(f.type) and {"bytes", "path"} == {part.name for part in f.type}
        for f in fields
    )


def open_parquet(files: Files, label: str | None = None) -> Source:
    """Open a folder of Parquet files as a stream, so that it is not copied into the cache."""
    return _open_folder(
        files,
        label,
        lambda package, path: package.load_dataset(path, streaming=True),
        "download it",
    )


def open_saved(files: Files, label: str | None = None) -> Source:
    """Open a folder that `save_to_disk` wrote."""
    return _open_folder(
        files,
        label,
        lambda package, path: package.load_from_disk(path),
        "save it with save_to_disk",
    )


def _open_folder(files: Files, label: str | None, load: Callable, fix: str) -> Source:
    """Open a local folder with `load(package, path)`."""
    if files.load is not None:
        raise BadInputError(
            f"{files.path} contains a Hugging Face dataset: "
            f"{'unpack' if files.kind == 'archive' else 'download'} it and load the folder."
        )
    try:
        data = load(_package(), str(files.path))
    except LabelAuditError:
        raise
    except Exception as error:
        raise DamagedError(
            f"{files.path} looks like a Hugging Face dataset, but cannot be read "
            f"({_first_line(error)}): {fix} again."
        ) from error
    return open_object(data, IMAGE, label or LABEL, f"Hugging Face folder {files.path}")


def open_object(
    data, image: str = IMAGE, label: str = LABEL, description: str = "Hugging Face dataset"
) -> Source:
    """Open a Dataset or DatasetDict, in memory or streamed: see `load_huggingface`."""
    datasets = _package()
    types = (datasets.Dataset, datasets.IterableDataset)
    parts = dict(data) if isinstance(data, Mapping) else {_split_name(data): data}
    wrong = next((part for part in parts.values() if not isinstance(part, types)), None)
    if wrong is not None or not parts:
        raise BadInputError(
            f"{type(wrong if parts else data).__name__} is not a Hugging Face dataset: give a "
            "Dataset or a DatasetDict."
        )
    reader = LabelNames(description)  # for all parts, as -1 may be a class in one of them
    columns, notes = _columns(parts, image, label, datasets, reader)

    def rows() -> Iterator[Row]:
        cache = os.path.realpath(datasets.config.HF_CACHE_HOME)
        for (split, part), names in zip(parts.items(), columns, strict=True):
            for i, row in enumerate(names.select(part, datasets)):
                place = f"{split or 'row'}/{i:06d}"
                try:
                    image_fields = _image_fields(row[names.image], place, cache)
                except DamagedError as error:
                    source.skipped.add(place, str(error))
                else:
                    yield {**image_fields, "label": names.label_name(row, place), "split": split}
        reader.check()  # again, as streams know their labels only now
        for text in reader.notes:
            source.skipped.note(text)

    counts = [getattr(part, "num_rows", None) for part in parts.values()]
    total = None if None in counts else sum(counts)
    classes = list(dict.fromkeys(name for names in columns for name in names.classes))
    source = Source(description, classes, total, rows)
    for text in notes:
        source.skipped.note(text)
    return source


def _columns(
    parts: Mapping, image: str, label: str, datasets, reader: LabelNames
) -> tuple[list[_Columns], list[str]]:
    """Return the columns of each part, and sentences about parts without labels.

    Raises BadInputError if no part has labels.
    """
    columns, unlabelled, missing = [], [], None
    for split, part in parts.items():
        try:
            columns.append(_Columns.of(part, image, label, datasets, reader))
        except _NoLabelsError as error:
            missing = error
            columns.append(_Columns.of(part, image, None, datasets, reader))
            unlabelled.append(str(split))
    if missing is not None and len(unlabelled) == len(parts):
        raise missing
    return columns, [
        f"Split {split} has no column {label!r}: its samples have no label." for split in unlabelled
    ]


class _NoLabelsError(BadInputError):
    """A part has no column that can be the labels."""


class _Columns:
    """The columns of image and label, None without labels.

    names: of the class indices, None if the labels are names themselves. classes: all class names.
    """

    def __init__(
        self,
        image: str,
        label: str | None,
        reader: LabelNames,
        names: list[str] | None = None,
        classes: list[str] | None = None,
    ) -> None:
        self.image, self.label, self.names, self.classes = image, label, names, classes or []
        self._reader = reader

    @classmethod
    def of(cls, part, image: str, label: str | None, datasets, reader: LabelNames) -> _Columns:
        features = part.features or dict.fromkeys(part.column_names or ())
        if not features:  # a stream whose first row was not read yet
            features = dict.fromkeys(next(iter(part), {}))
        image = _column(features, image, IMAGE, datasets.Image, "images", "image=…")
        if label is None:
            return cls(image, None, reader)
        try:
            label = _column(features, label, LABEL, datasets.ClassLabel, "labels", HOW_TO_SET_LABEL)
        except BadInputError as error:
            raise _NoLabelsError(str(error)) from error
        kind = features[label]
        if isinstance(kind, datasets.ClassLabel):
            return cls(image, label, reader, kind.names, kind.names)
        if kind is not None and not isinstance(kind, datasets.Value):
            raise BadInputError(
                f"column {label!r} has the type {kind}: {ONE_LABEL}; give a column of class names "
                "or ClassLabel."
            )
        values = part.unique(label) if hasattr(part, "unique") else ()
        first = LabelNames(f"column {label!r}")
        found = class_names(first.name(value, "its values") for value in values)
        first.check()
        check_one_label(found, f"column {label!r}")
        return cls(image, label, reader, None, found)

    def select(self, part, datasets):
        """Return the dataset with only these columns, and images in their encoded form."""
        names = [name for name in (self.image, self.label) if name is not None]
        part = part.select_columns(names).with_format(None)
        if isinstance((part.features or {}).get(self.image), datasets.Image):
            part = part.cast_column(self.image, datasets.Image(decode=False))
        return part

    def label_name(self, row: Mapping, place: str) -> str | None:
        """Return the class name of a row; None for no label."""
        if self.label is None:
            return None
        value = row[self.label]
        if self.names is None:
            return self._reader.name(value, place)
        if value is None or value == -1:
            return None  # datasets on the hub use -1 for labels that are withheld
        if not 0 <= value < len(self.names):
            raise BadInputError(
                f"{place}: {self.label} is {value}, but there are {len(self.names)} class names."
            )
        return self.names[value]


def _column(features: Mapping, name: str, default: str, kind, what: str, how: str) -> str:
    """Return the column `name`; if the default name does not exist, the only one of its type."""
    if name in features:
        return name
    matching = [n for n, feature in features.items() if isinstance(feature, kind)]
    if name == default and len(matching) == 1:
        return matching[0]
    choices = matching if name == default and matching else features
    raise BadInputError(
        f"the dataset has no column {name!r}: name the column with the {what} ({how}); it has "
        f"{', '.join(choices) or 'none'}."
    )


def _image_fields(value, place: str, cache: str) -> Row:
    """Return the filepath of an image, and its bytes unless it is a permanent file."""
    match value:
        case {"bytes": bytes() as data}:
            return {"filepath": value.get("path") or f"{place}.png", "image": data}
        case {"path": str() as path}:
            return _file_fields(path, cache)
        case str():
            return _file_fields(value, cache)
        case bytes():
            return {"filepath": f"{place}.png", "image": value}
        case Image.Image() | np.ndarray() | list():
            return {"filepath": f"{place}.png", "image": _encoded(value, place)}
    raise DamagedError("has no image")


def _encoded(value: Image.Image | np.ndarray | list, place: str) -> bytes:
    """Encode an image. Raises BadInputError for numbers that are not 0 to 255: all images of the
    dataset must be scaled alike, so that one alone is not left out."""
    try:
        if isinstance(value, list):  # integers of any type become a list of int
            try:
                value = np.asarray(value)
            except ValueError:
                raise BadInputError(
                    "the image is a list whose rows have different lengths: give (H, W) or (H, W, "
                    "3) numbers."
                ) from None
            if value.dtype.kind in "iu" and value.size:
                if value.min() < 0 or value.max() > 255:
                    raise BadInputError(
                        f"an image array has values from {value.min()} to {value.max()}: scale it "
                        "to 0 … 255 and convert it to uint8."
                    )
                value = value.astype(np.uint8)
        return encode(value)
    except BadInputError as error:
        raise BadInputError(f"{place}: {error}") from error


def _file_fields(path: str, cache: str) -> Row:
    """Return the fields of an image file. Files in the package's cache are copied, because they
    disappear when it is cleared."""
    if "://" in path:  # in an archive, or on a server
        from datasets.utils.file_utils import xopen

        try:
            with xopen(path, "rb") as file:
                return {"filepath": path, "image": file.read()}
        except Exception as error:  # of any file system
            raise DamagedError(f"{path} cannot be read ({error})") from error
    real = os.path.realpath(path)
    if real.startswith(cache + os.sep) and os.path.isfile(real):
        return {"filepath": path, "image": Path(real).read_bytes()}
    return {"filepath": os.path.abspath(path)}


def _split_name(data) -> str | None:
    """Return the split of a dataset; None if it is part of a split, or of several."""
    split = str(getattr(data, "split", None) or "")
    return split if re.fullmatch(r"\w+", split) else None


def _first_line(error: Exception) -> str:
    """Return the first line of a message; hints about the package follow it."""
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__


def _package() -> datasets:
    try:
        import datasets
    except ImportError as error:
        raise LabelAuditError(
            "Hugging Face datasets need the package datasets: run pip install datasets."
        ) from error
    return datasets
