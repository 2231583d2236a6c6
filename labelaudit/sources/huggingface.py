"""Hugging Face datasets: from the hub, from a folder that `save_to_disk` wrote, or in memory.

Rows are read one by one, so a dataset of any size, also a streamed one, passes through.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from ..core.errors import LabelAuditError
from ..core.images import encode
from ..dataset.ingest import natural_order
from .files import Files
from .listing import SAY_LABEL
from .source import Row, Source, is_image_name

if TYPE_CHECKING:
    import datasets

SCHEME = "hf:"
IMAGE, LABEL = "image", "label"
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.parquet$")
_HUB_NAME = re.compile(r"(?P<path>[^@]+)(@(?P<config>[^@]+))?")


def open_hub(address: str, split: str | None = None, label: str | None = None) -> Source:
    """`hf:owner/name` or `hf:owner/name@config`: whatever `datasets.load_dataset` takes, which is
    fetched once into its own cache. split: only this one."""
    datasets = _package()
    match = _HUB_NAME.fullmatch(address.removeprefix(SCHEME))
    if not match:
        raise LabelAuditError(f"{address!r} is no dataset: write hf:owner/name or …@config.")
    try:
        found = datasets.load_dataset(match["path"], match["config"], split=split)
    except Exception as error:  # it raises many kinds, of its own and of the network's
        raise LabelAuditError(
            f"{address} cannot be loaded ({_first_line(error)}): "
            "check name, configuration, split and network."
        ) from error
    return open_object(found, IMAGE, label or LABEL, f"Hugging Face {address[len(SCHEME) :]}")


def is_saved(files: Files) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return files.holds("dataset_dict.json") or (
        files.holds("state.json") and files.holds("dataset_info.json")
    )


def is_parquet(files: Files) -> bool:
    """Whether it has no images but Parquet files with a column of them, as the hub does."""
    first = next((name for name in files.names if name.lower().endswith(".parquet")), None)
    if first is None or any(map(is_image_name, files.names)):
        return False
    if files.load is not None:  # by its name: to look inside means to unpack it
        return _SHARD.search(first) is not None
    try:
        fields = parquet.read_schema(files.locate(first))
    except (pa.ArrowException, OSError):
        return False
    return any(
        pa.types.is_struct(f.type) and {"bytes", "path"} == {part.name for part in f.type}
        for f in fields
    )


def open_parquet(files: Files, label: str | None = None) -> Source:
    """Streamed: nothing of it is copied into the package's cache."""
    _refuse_zip(files)
    datasets = _package()
    try:
        found = datasets.load_dataset(str(files.path), streaming=True)
    except Exception as error:
        raise LabelAuditError(
            f"{files.path} looks like a Hugging Face dataset, but cannot be read "
            f"({_first_line(error)}): fetch it again."
        ) from error
    return open_object(found, IMAGE, label or LABEL, f"Hugging Face folder {files.path}")


def open_saved(files: Files, label: str | None = None) -> Source:
    _refuse_zip(files)
    datasets = _package()
    try:
        found = datasets.load_from_disk(str(files.path))
    except Exception as error:
        raise LabelAuditError(
            f"{files.path} looks like a Hugging Face dataset, but cannot be read "
            f"({_first_line(error)}): "
            "save it again with save_to_disk."
        ) from error
    return open_object(found, IMAGE, label or LABEL, f"Hugging Face folder {files.path}")


def _refuse_zip(files: Files) -> None:
    if files.load is not None:
        raise LabelAuditError(
            f"{files.path} holds a Hugging Face dataset: "
            f"{'unpack' if files.what == 'archive' else 'fetch'} it and load the folder."
        )


def open_object(
    data, image: str = IMAGE, label: str = LABEL, description: str = "Hugging Face dataset"
) -> Source:
    """A Dataset, DatasetDict, or their streamed kin; see `labelaudit.load_huggingface`."""
    datasets = _package()
    known = (datasets.Dataset, datasets.IterableDataset)
    parts = dict(data) if isinstance(data, Mapping) else {_split_of(data): data}
    odd = next((part for part in parts.values() if not isinstance(part, known)), None)
    if odd is not None or not parts:
        raise LabelAuditError(
            f"{type(odd if parts else data).__name__} is no Hugging Face dataset: give a Dataset "
            "or a DatasetDict."
        )
    columns = [_Columns.of(part, image, label, datasets) for part in parts.values()]

    def rows() -> Iterator[Row]:
        cache = os.path.realpath(datasets.config.HF_CACHE_HOME)
        for (split, part), names in zip(parts.items(), columns, strict=True):
            for i, row in enumerate(names.of_interest(part, datasets)):
                place = f"{split or 'row'}/{i:06d}"
                try:
                    picture = _picture(row[names.image], place, cache)
                except LabelAuditError as error:
                    source.skipped.add(place, str(error))
                else:
                    yield {**picture, "label": names.name(row, place), "split": split}

    counts = [getattr(part, "num_rows", None) for part in parts.values()]
    total = None if None in counts else sum(counts)
    classes = list(dict.fromkeys(name for names in columns for name in names.classes))
    source = Source(description, classes, total, rows)
    return source


class _Columns:
    """Which columns of a dataset are image and label, and what the labels are called."""

    def __init__(self, image: str, label: str, names: list[str] | None, classes: list[str]) -> None:
        self.image, self.label, self.names, self.classes = image, label, names, classes

    @classmethod
    def of(cls, part, image: str, label: str, datasets) -> _Columns:
        features = part.features or dict.fromkeys(part.column_names or ())
        if not features:  # a stream that nobody has looked into yet
            features = dict.fromkeys(next(iter(part), {}))
        image = _column(features, image, IMAGE, datasets.Image, "images", "image=…")
        label = _column(features, label, LABEL, datasets.ClassLabel, "labels", SAY_LABEL)
        kind = features[label]
        if isinstance(kind, datasets.ClassLabel):
            return cls(image, label, kind.names, kind.names)
        if kind is not None and not isinstance(kind, datasets.Value):
            raise LabelAuditError(
                f"column {label!r} is {kind}: LabelAudit audits one label an image; make a column "
                "of class names or ClassLabel."
            )
        known = part.unique(label) if hasattr(part, "unique") else ()
        return cls(image, label, None, natural_order(str(v) for v in known if v is not None))

    def of_interest(self, part, datasets):
        """The dataset with these two columns only, images as they are stored."""
        part = part.select_columns([self.image, self.label]).with_format(None)
        if isinstance((part.features or {}).get(self.image), datasets.Image):
            part = part.cast_column(self.image, datasets.Image(decode=False))
        return part

    def name(self, row: Mapping, place: str) -> str | None:
        value = row[self.label]
        if value is None or (self.names is not None and value == -1):
            return None  # -1 is what the hub has for a label that is kept back
        if self.names is None:
            return str(value)
        if not 0 <= value < len(self.names):
            raise LabelAuditError(
                f"{place}: {self.label} is {value}, but there are {len(self.names)} class names."
            )
        return self.names[value]


def _column(features: Mapping, name: str, default: str, kind, what: str, how: str) -> str:
    """The column of this name; where it is the usual name and not there, the only one of a kind."""
    if name in features:
        return name
    fitting = [n for n, feature in features.items() if isinstance(feature, kind)]
    if name == default and len(fitting) == 1:
        return fitting[0]
    among = fitting if name == default and fitting else features
    raise LabelAuditError(
        f"the dataset has no column {name!r}: name the one with the {what} ({how}), "
        f"of {', '.join(among) or 'none'}."
    )


def _picture(value, place: str, cache: str) -> Row:
    """Where the image lies, if it lies somewhere to stay, else its bytes."""
    match value:
        case {"bytes": bytes() as data}:
            return {"filepath": value.get("path") or f"{place}.png", "image": data}
        case {"path": str() as path}:
            return _file(path, cache)
        case str():
            return _file(value, cache)
        case bytes():
            return {"filepath": f"{place}.png", "image": value}
        case Image.Image() | np.ndarray():
            return {"filepath": f"{place}.png", "image": encode(value)}
        case list():
            return {"filepath": f"{place}.png", "image": encode(np.asarray(value, np.uint8))}
    raise LabelAuditError("has no image")


def _file(path: str, cache: str) -> Row:
    """Files in the package's own cache are copied: they go when it is emptied."""
    if "://" in path:  # within an archive, or on a server
        from datasets.utils.file_utils import xopen

        try:
            with xopen(path, "rb") as file:
                return {"filepath": path, "image": file.read()}
        except Exception as error:  # of whatever file system it is
            raise LabelAuditError(f"{path} cannot be read ({error})") from error
    whole = os.path.realpath(path)
    if whole.startswith(cache + os.sep) and os.path.isfile(whole):
        return {"filepath": path, "image": Path(whole).read_bytes()}
    return {"filepath": os.path.abspath(path)}


def _split_of(data) -> str | None:
    """Of a single dataset; a part of a split, or several, is none."""
    split = str(getattr(data, "split", None) or "")
    return split if re.fullmatch(r"\w+", split) else None


def _first_line(error: Exception) -> str:
    """It says what; hints for those who know the package follow."""
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__


def _package() -> datasets:
    try:
        import datasets
    except ImportError as error:
        raise LabelAuditError(
            "Hugging Face datasets need the package datasets: pip install datasets"
        ) from error
    return datasets
