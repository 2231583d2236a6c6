"""Ways in. A source yields batches of new samples; `load_dataset` turns them into a dataset.

To add one: a file with a function that opens it, and one line in `kinds.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import LabelAuditError
from ..core.progress import QUIET, Task
from ..dataset.dataset import Dataset, create_dataset, list_datasets
from ..storage.allowed_roots import resolved
from ..storage.object_store import clean, is_remote
from ..storage.paths import check_name
from . import arrays, huggingface, manifest, zoo
from .kinds import KINDS, WELL_KNOWN, help_lines, open_remote
from .manifest import SUFFIXES
from .source import Source
from .zoo import ZOO


def load_dataset(
    name: str,
    source: str | os.PathLike | None = None,
    *,
    split: str | None = None,
    root: str | os.PathLike | None = None,
    label: str | None = None,
    within: Sequence[str] | None = None,
    overwrite: bool = False,
    task: Task = QUIET,
) -> Dataset:
    """Open a dataset by name, or make it first.

    name: an existing dataset; or one of the zoo (`digits`, `cifar10` …), which is fetched and made
    the first time; or, with `source`, the name that a new dataset gets.

    source: a path, of which it is recognised what it is (`labelaudit/sources/kinds.py` lists all):
    class folders, a manifest (CSV, JSON lines, Parquet), a Hugging Face ImageFolder or dataset
    folder, COCO annotations, an export of FiftyOne or Label Studio, or a zip of one of these; or
    `hf:owner/name` (`hf:owner/name@config`), a dataset of the Hugging Face hub. `s3://bucket/pets`
    is a folder, zip or list in object storage, whose images are copied into the dataset.
    root: the folder that the paths of a manifest, or other file that lists images, are relative to,
    by default its own. label: the column, field or control with the labels, where it has another
    name than usual, or there are several. split: of a zoo dataset only this split, kept as
    `<name>-<split>`; of one of the hub also only this one. within: folders that all files must lie
    in, links followed, where somebody else says what to load; other images are left out.

    Images that cannot be read are left out; `dataset.info["skipped"]` says which and why.
    Raises LabelAuditError where the source cannot be used at all, and StoppedError after a stop,
    with nothing made.
    """
    if source is not None:
        if split is not None and not _is_hub(source):
            raise LabelAuditError(
                f"split={split!r} is for the zoo and the hub: load {name!r} whole, then use "
                f"load_dataset({name!r}).view().match(split={split!r})."
            )
        if str(source) in ZOO and not os.path.exists(source):
            raise LabelAuditError(
                f"{source} is a name of the zoo: its dataset is called {source}, too; load it "
                "without a name of your own."
            )
        if name in ZOO:
            raise LabelAuditError(f"{name!r} is a name of the zoo: give your own data another one.")
        check_name(name)  # before a long look at the source
        if _is_hub(source):
            task.announce(f"fetching {source}, if it is not here yet")
        within = within if within is None else tuple(map(resolved, within))
        opened = _open(source, root, label, split, within)
        opened.within = within
        return _make(name, opened, overwrite, task)
    if name in ZOO:
        full_name = name if split is None else f"{name}-{split}"
        if full_name in list_datasets() and not overwrite:
            return Dataset(full_name)
        source = zoo.open_zoo(name, split, task)
        try:
            return _make(full_name, source, overwrite, task)
        except LabelAuditError:
            if full_name in list_datasets() and not overwrite:
                return Dataset(full_name)  # somebody else was faster
            raise
    if name not in list_datasets():
        raise LabelAuditError(
            f"there is no dataset {name!r}: the datasets are "
            f"{', '.join(list_datasets()) or 'none yet'}, the zoo has {', '.join(ZOO)}; "
            "to make one of your own, give its source."
        )
    if split is not None:
        raise LabelAuditError(
            f"split={split!r} is for the zoo: use "
            f"load_dataset({name!r}).view().match(split={split!r})."
        )
    return Dataset(name)


def load_arrays(
    name: str,
    images,
    labels,
    *,
    splits=None,
    ids=None,
    tags=None,
    classes=None,
    overwrite: bool = False,
    task: Task = QUIET,
) -> Dataset:
    """Make a dataset of arrays in memory; the images are kept inside it as PNG.

    images: uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3), or a sequence of such arrays or PIL
    images. labels: N class names, or N ints, which index `classes` if that is given; None or a
    negative int for no label. splits: N names. ids: N unique ints. tags: N lists of words.
    Raises LabelAuditError, with nothing made, where numbers do not match, a label has no class, an
    id is given twice, or a dataset of this name is there and `overwrite` is not given.
    """
    source = arrays.open_arrays(images, labels, splits, ids, tags, classes)
    return _make(name, source, overwrite, task)


def load_huggingface(
    name: str,
    data,
    image: str = huggingface.IMAGE,
    label: str = huggingface.LABEL,
    *,
    overwrite: bool = False,
    task: Task = QUIET,
) -> Dataset:
    """Make a dataset of a Hugging Face `Dataset` or `DatasetDict` in memory, also a streamed one.

    image, label: its columns; where there are none of these names, the only Image and ClassLabel
    columns are taken. The names of a ClassLabel are the classes, in their order; -1 and None are no
    label. Keys of a DatasetDict become splits. Images that lie in files are referenced there, all
    others copied as they are encoded; the rows are read one by one. A stop
    raises StoppedError; then, and where it raises LabelAuditError, nothing is made.
    """
    source = huggingface.open_object(data, image, label)
    return _make(name, source, overwrite, task)


def default_name(source: str) -> str:
    """A name for a dataset of this source: the file's, the folder's around `metadata.csv` and such,
    or that on the hub. Without letters that no dataset may have."""
    if _is_hub(source):
        name = source.rsplit("/", 1)[-1].split("@")[0].removeprefix(huggingface.SCHEME)
    else:
        path = Path(source).expanduser().absolute()
        name = path.parent.name if path.stem in WELL_KNOWN and path.suffix else path.stem
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "mine"


def _is_hub(source: str | os.PathLike) -> bool:
    return str(source).startswith(huggingface.SCHEME)


def _is_on_hub(source: str) -> bool:
    path = source.removeprefix(huggingface.SCHEME).split("@")[0]
    return bool(re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", path)) and not os.path.exists(path)


def _open(
    source: str | os.PathLike, root: str | os.PathLike | None, label: str | None,
    split: str | None, within: Sequence[str] | None,
) -> Source:  # fmt: skip
    if _is_hub(source):
        if root is not None:
            raise LabelAuditError(f"root={str(root)!r} goes with a file that lists images, not hf:")
        if within is not None and not _is_on_hub(str(source)):  # a folder of this machine would do
            raise LabelAuditError(f"{str(source)!r} is no dataset of the hub: write hf:owner/name.")
        return huggingface.open_hub(str(source), split, label)
    if is_remote(source):
        if root is not None and not is_remote(root):
            raise LabelAuditError(
                f"root={str(root)!r} must lie in object storage, as {source} does: write "
                "s3://bucket/prefix."
            )
        return open_remote(clean(str(source)), root and str(root), label, within)
    path = Path(source).expanduser()
    if not _exists(path):
        raise LabelAuditError(f"{_shown(path)} does not exist: check the path.")
    folder = None if root is None else Path(root).expanduser().absolute()
    if folder and (path.suffix.lower() not in manifest.SUFFIXES or not folder.is_dir()):
        raise LabelAuditError(
            f"root={str(root)!r} must be a folder, and goes with a file that lists images, "
            f"not with {path}."
        )
    for matches, opener in KINDS:
        if matches(path):
            return opener(path.absolute(), folder, label, within)
    raise LabelAuditError(
        f"{path} is no folder, zip or list of images ({', '.join(sorted(manifest.SUFFIXES))}): "
        "give one of these."
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (ValueError, OSError):  # a NUL byte, or a name longer than any can be
        return False


def _shown(path: Path) -> str:
    """As it is, where it can be printed on one line."""
    text = str(path)
    return text if text.isprintable() and len(text) < 300 else f"{ascii(text)[:300]}"


def _make(name: str, source: Source, overwrite: bool, task: Task) -> Dataset:
    check_name(name)
    return create_dataset(
        name,
        source.read(task),
        classes=source.classes,
        source=source.description,
        skipped=source.skipped.report,
        overwrite=overwrite,
    )


__all__ = [
    "KINDS", "SUFFIXES", "ZOO", "Source", "default_name", "help_lines", "load_arrays",
    "load_dataset", "load_huggingface",
]  # fmt: skip
