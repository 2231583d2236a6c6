"""Load a dataset from any source: files, the Hugging Face hub, the zoo, or memory."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.errors import BadInputError, LabelAuditError, NotFoundError
from ..core.progress import QUIET, Task
from ..dataset.dataset import Dataset, create_dataset, list_datasets
from ..storage.allowed_roots import resolved
from ..storage.object_store import clean, is_remote
from ..storage.paths import check_name
from . import arrays, huggingface, zoo
from .detect import Options, open_path, open_remote
from .list_choice import WELL_KNOWN_NAMES
from .manifest import SUFFIXES
from .own_columns import wanted_fields
from .source import Source
from .zoo import ZOO


def load_dataset(
    name: str,
    source: str | os.PathLike | None = None,
    *,
    split: str | None = None,
    root: str | os.PathLike | None = None,
    label: str | None = None,
    path_column: str | None = None,
    label_from: str | int | None = None,
    split_from: str | int | None = None,
    ignore: str | Sequence[str] = (),
    within: Sequence[str] | None = None,
    fields: Mapping[str, str | None] | Sequence[str] = (),
    overwrite: bool = False,
    task: Task = QUIET,
) -> Dataset:
    """Open a dataset by name, or create it from a source.

    name: an existing dataset; or a zoo dataset (`digits`, `cifar10`, …), which is downloaded and
    created on first use; or, with `source`, the name of the new dataset.

    source: a path; its format is detected automatically (`labelaudit/sources/registry.py` lists
    all): class folders, a manifest (CSV, JSON lines, Parquet), a Hugging Face ImageFolder or
    dataset folder, COCO annotations, an export of FiftyOne or Label Studio, or a zip of one of
    these. `hf:owner/name` or `hf:owner/name@config` is a dataset on the Hugging Face hub.
    `s3://bucket/pets` is a folder, zip or list in object storage; its images are copied into the
    dataset.
    root: the folder that relative paths in a manifest or another image list refer to; by default
    the folder of that file.
    label: the column, field or control that holds the labels, if it does not have the usual name or
    there are several. path_column: the column of a list that holds the paths, or the file names
    with or without suffix.
    label_from: where the labels of a folder or zip are, if its format is not detected: the level of
    the class folders, counted from 1 for those at the top; "parent" for the folder of each image;
    "name" for the beginning of the file name (`cat.12.jpg`); "folders" for class folders whatever
    lists are beside them; or the name of a list in it.
    split_from: the level of the folders that are splits, or "none" if no folder is one.
    ignore: names of folders or files to leave out, or patterns such as "*/thumbs/*".
    split: load only this split of a zoo dataset, stored as `<name>-<split>`, or of a hub dataset.
    fields: columns of a list to load as own fields (see `Dataset.add_field`): their names, or a
    mapping of each name to its kind: "label" (as of another annotator), "number", "text", "bool",
    "date", or None. Without a kind, it is found from the values: classes of the label column are
    labels, `true` and `false` bool.
    within: folders that all files must be in after links are resolved; other images are skipped.

    Everything in the source is loaded or counted in `dataset.info["skipped"]`: `count`, `files` and
    `reasons` are about images, `others` counts files that are no images, `understood` says how the
    source was read, and `notes` has sentences about lists that were not read and odd classes.
    `preview_dataset` shows the same before loading.
    Raises NotFoundError if there is no such dataset or file, BadInputError, DamagedError or
    StorageError if the source cannot be used, and StoppedError if the task is stopped; no dataset
    is created then.
    """
    if source is not None:
        _check_name(name, source)
        options = source_options(label, path_column, label_from, split_from, ignore, within, fields)
        opened = open_source(source, split, root, options, task)
        opened.origin = origin(source, split, root, options)
        return _create(name, opened, overwrite, task)
    if fields:
        raise BadInputError(
            f"fields={fields!r} works only with a source: {name!r} is loaded as it is; add a field "
            "with dataset.add_field."
        )
    if name in ZOO:
        return _load_zoo(name, split, overwrite, task)
    names = list_datasets()
    if name not in names:
        raise NotFoundError(
            f"there is no dataset {name!r}: the datasets are {', '.join(names) or 'none yet'}, the "
            f"zoo has {', '.join(ZOO)}; to create a dataset, give its source."
        )
    if split is not None:
        raise BadInputError(
            f"split={split!r} works only for zoo datasets: use "
            f"load_dataset({name!r}).view().match(split={split!r})."
        )
    return Dataset(name)


def load_arrays(
    name: str,
    images: np.ndarray | Sequence[Any],
    labels: np.ndarray | pd.Series | pd.DataFrame | Sequence[Any],
    *,
    splits: np.ndarray | Sequence[str | None] | None = None,
    ids: np.ndarray | Sequence[int] | None = None,
    tags: Sequence[Sequence[str] | str | None] | None = None,
    classes: Sequence[str] | None = None,
    overwrite: bool = False,
    task: Task = QUIET,
) -> Dataset:
    """Create a dataset from arrays in memory; the images are stored in it as PNG.

    images: uint8 (N, H, W), (N, H, W, 1), (N, H, W, 3) or (N, H, W, 4), or a sequence of such
    arrays, PIL images or encoded bytes.
    labels: N class names, or N whole numbers, which index `classes` if that is given; also (N, 1),
    lists of at most one label, or one-hot (N, C). None, NaN and a negative number mean no label.
    classes: the class names in order; by default the categories of a pandas Categorical, the
    columns of a one-hot frame, else the labels that occur, sorted.
    splits: N names. ids: N unique whole numbers. tags: N lists of words, or one word each.
    Encoded bytes that are no image are skipped and reported.
    Raises BadInputError, and creates nothing, if the lengths differ, a label has no class, an image
    has several labels, an array has another shape or dtype, an id occurs twice, the labels are -1
    and 1 (-1 may be a class), or the dataset exists and `overwrite` is False.
    """
    source = arrays.open_arrays(images, labels, splits, ids, tags, classes)
    return _create(name, source, overwrite, task)


def load_huggingface(
    name: str,
    data: Any,
    image: str = huggingface.IMAGE,
    label: str = huggingface.LABEL,
    *,
    overwrite: bool = False,
    task: Task = QUIET,
) -> Dataset:
    """Create a dataset from a Hugging Face `Dataset` or `DatasetDict`, in memory or streamed.

    image, label: the column names. If the default names do not exist, the only Image column and the
    only ClassLabel column are used. The names of a ClassLabel become the classes, in their order;
    -1 and None mean no label. The keys of a DatasetDict become splits. Images that are files are
    referenced; all others are copied in their encoded form. Rows are read one at a time.
    Raises LabelAuditError if the data cannot be used, and StoppedError if the task is stopped; no
    dataset is created then.
    """
    source = huggingface.open_object(data, image, label)
    return _create(name, source, overwrite, task)


def default_name(source: str) -> str:
    """Suggest a dataset name for a source: the name of the file, folder or hub dataset.

    For `metadata.csv` and similar names it is the name of the surrounding folder. Characters that
    dataset names cannot contain are replaced.
    """
    if _is_hub(source):
        name = source.rsplit("/", 1)[-1].split("@")[0].removeprefix(huggingface.SCHEME)
    else:
        path = Path(source).expanduser().absolute()
        name = path.parent.name if path.stem in WELL_KNOWN_NAMES and path.suffix else path.stem
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "mine"


def source_options(
    label: str | None,
    path_column: str | None,
    label_from: str | int | None,
    split_from: str | int | None,
    ignore: str | Sequence[str],
    within: Sequence[str] | None,
    fields: Mapping[str, str | None] | Sequence[str] = (),
) -> Options:
    """Return the options of a source in one form; see `load_dataset`."""
    parts = ignore.split(",") if isinstance(ignore, str) else ignore
    return Options(
        label,
        path_column,
        None if label_from is None else str(label_from),
        None if split_from is None else str(split_from),
        tuple(part.strip() for part in parts if part.strip()),
        None if within is None else tuple(map(resolved, within)),
        wanted_fields(fields),
    )


def origin(
    source: str | os.PathLike,
    split: str | None,
    root: str | os.PathLike | None,
    options: Options,
) -> dict:
    """Return JSON values from which `reopen` opens a source again. Paths are absolute."""
    asked = asdict(options)
    del asked["allowed_roots"]  # whoever reads it again has his own
    return {
        "source": place(source),
        "split": split,
        "root": None if root is None else place(root),
        **asked,
    }


def place(path: str | os.PathLike) -> str:
    """Return a source as an absolute path, or as the URI or name that it is. Raises BadInputError
    for an empty text, which would be the current folder."""
    text = str(path)
    if not text.strip():
        raise BadInputError(f"the source is {text!r}: give a path, or '.' for the current folder.")
    if _is_hub(text) or is_remote(text):
        return text
    return os.path.abspath(os.path.expanduser(text))


def reopen(stored: Mapping, within: Sequence[str] | None = None, task: Task = QUIET) -> Source:
    """Open a source again with the options that it was loaded with.

    stored: of `origin`. within: as in `load_dataset`. Raises LabelAuditError as `load_dataset`.
    """
    names = ("label", "path_column", "label_from", "split_from", "ignore")
    fields = stored.get("fields", {})
    known = {name: stored[name] for name in names}
    options = source_options(**known, within=within, fields=fields)
    return open_source(stored["source"], stored["split"], stored["root"], options, task)


def open_source(
    source: str | os.PathLike,
    split: str | None,
    root: str | os.PathLike | None,
    options: Options,
    task: Task,
) -> Source:
    """Open a source that is no dataset of the zoo. Raises LabelAuditError as `load_dataset`."""
    place(source)  # refuses an empty one
    if split is not None and not _is_hub(source):
        raise BadInputError(
            f"split={split!r} works only for zoo and hub datasets: load all of {source}, then use "
            f"dataset.view().match(split={split!r})."
        )
    if str(source) in ZOO and not os.path.exists(source):
        raise BadInputError(
            f"{source} is a zoo dataset, which is always stored under the name {source}: load it "
            "without another name."
        )
    if _is_hub(source):
        task.announce(f"downloading {source}, unless it is cached")
    opened = _open(source, root, split, options)
    opened.allowed_roots = options.allowed_roots
    opened.skipped.report["understood"] = [opened.format, *opened.steps]
    return opened


def _check_name(name: str, source: str | os.PathLike) -> None:
    """Check the name before the source is opened, which can take long."""
    if name in ZOO and str(source) != name:
        raise BadInputError(
            f"{name!r} is the name of a zoo dataset: choose another name for your own data."
        )
    check_name(name)


def _load_zoo(name: str, split: str | None, overwrite: bool, task: Task) -> Dataset:
    full_name = name if split is None else f"{name}-{split}"
    if full_name in list_datasets() and not overwrite:
        return Dataset(full_name)
    source = zoo.open_zoo(name, split, task)
    try:
        return _create(full_name, source, overwrite, task)
    except LabelAuditError:
        if full_name in list_datasets() and not overwrite:
            return Dataset(full_name)  # another process created it meanwhile
        raise


def _is_hub(source: str | os.PathLike) -> bool:
    return str(source).startswith(huggingface.SCHEME)


def _is_hub_name(source: str) -> bool:
    """Whether `hf:…` names a dataset on the hub and not a local folder."""
    path = source.removeprefix(huggingface.SCHEME).split("@")[0]
    return bool(re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", path)) and not os.path.exists(path)


def _open(
    source: str | os.PathLike,
    root: str | os.PathLike | None,
    split: str | None,
    options: Options,
) -> Source:
    if _is_hub(source):
        options.check_no_folders(source)
        options.check_no_fields(source)
        if root is not None:
            raise BadInputError(
                f"root={str(root)!r} works only for a file that lists images, not for {source}: "
                "leave it out."
            )
        if options.allowed_roots is not None and not _is_hub_name(str(source)):
            raise BadInputError(
                f"{str(source)!r} is not a dataset on the hub: write hf:owner/name."
            )
        return huggingface.open_hub(str(source), split, options.label)
    if is_remote(source):
        if root is not None and not is_remote(root):
            raise BadInputError(
                f"root={str(root)!r} must be in object storage like {source}: write "
                "s3://bucket/prefix."
            )
        return open_remote(clean(str(source)), root and str(root), options)
    path = Path(source).expanduser()
    if not _exists(path):
        raise NotFoundError(f"{_printable(path)} does not exist: check the path.")
    folder = None if root is None else Path(root).expanduser().absolute()
    if folder and (path.suffix.lower() not in SUFFIXES or not folder.is_dir()):
        raise BadInputError(
            f"root={str(root)!r} must be a folder, and works only for a file that lists images; "
            f"the source is {path}."
        )
    return open_path(path, folder, options)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (ValueError, OSError):  # a NUL byte, or a name longer than the system allows
        return False


def _printable(path: Path) -> str:
    """The path unchanged if it fits on one line, else escaped and shortened."""
    text = str(path)
    return text if text.isprintable() and len(text) < 300 else f"{ascii(text)[:300]}"


def _create(name: str, source: Source, overwrite: bool, task: Task) -> Dataset:
    check_name(name)
    return create_dataset(
        name,
        source.read(task),
        classes=source.classes,
        source=source.description,
        skipped=source.skipped.report,
        found=source.found,
        files=source.files.table,
        overwrite=overwrite,
        fields=source.fields,
    )
