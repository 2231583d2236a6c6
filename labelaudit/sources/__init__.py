"""Ways in. A source yields batches of new samples; `load_dataset` turns them into a dataset.

To add one: a file with a function that returns a `Source`, and one line in `KINDS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..dataset import Dataset, create_dataset, list_datasets
from ..errors import LabelAuditError
from ..home import check_name
from ..progress import Meter, ProgressCallback, StopCheck, ignore, never
from . import archive, arrays, exported, folder, manifest, zoo
from .source import Source
from .zoo import ZOO

# How a path is recognised: a test, and what opens it. First match wins.
KINDS: list[tuple[Callable[[Path], bool], Callable[[Path], Source]]] = [
    (exported.is_exported, exported.open_exported),
    (Path.is_dir, folder.open_folder),
    (lambda path: path.suffix.lower() == ".zip", archive.open_archive),
    (lambda path: path.suffix.lower() in manifest.SUFFIXES, manifest.open_manifest),
]


def load_dataset(
    name: str,
    source: str | os.PathLike | None = None,
    *,
    split: str | None = None,
    root: str | os.PathLike | None = None,
    overwrite: bool = False,
    progress: ProgressCallback = ignore,
    stop: StopCheck = never,
) -> Dataset:
    """Open a dataset by name, or make it first.

    name: an existing dataset; or one of the zoo (`digits`, `cifar10` …), which is fetched and made
    the first time; or, with `source`, the name that a new dataset gets. source: a folder of class
    folders (with or without train/test folders on top), a manifest (CSV, JSON lines, Parquet), or
    a zip of either. root: the folder that a manifest's paths are relative to, by default its own.
    split: of a zoo dataset only this split, kept as `<name>-<split>`.

    Images that cannot be read are left out; `dataset.info["skipped"]` says which and why.
    Raises LabelAuditError, with nothing made, where the source cannot be used at all.
    """
    if source is not None:
        if split is not None:
            raise LabelAuditError(
                f"split={split!r} is for the zoo: load {name!r} whole, then use "
                f"load_dataset({name!r}).view().match(split={split!r})."
            )
        if str(source) in ZOO and not os.path.exists(source):
            raise LabelAuditError(
                f"{source} is a name of the zoo: its dataset is called {source}, too; load it "
                "without a name of your own."
            )
        if name in ZOO:
            raise LabelAuditError(f"{name!r} is a name of the zoo: give your own data another one.")
        return _make(name, _open(source, root), overwrite, progress, stop)
    if name in ZOO:
        full_name = name if split is None else f"{name}-{split}"
        if full_name in list_datasets() and not overwrite:
            return Dataset(full_name)
        source = zoo.open_zoo(name, split, progress)
        try:
            return _make(full_name, source, overwrite, progress, stop)
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
    progress: ProgressCallback = ignore,
) -> Dataset:
    """Make a dataset of arrays in memory; the images are kept inside it as PNG.

    images: uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3), or a sequence of such arrays or PIL
    images. labels: N class names, or N ints, which index `classes` if that is given; None or a
    negative int for no label. splits: N names. ids: N unique ints. tags: N lists of words.
    """
    source = arrays.open_arrays(images, labels, splits, ids, tags, classes)
    return _make(name, source, overwrite, progress, never)


def _open(source: str | os.PathLike, root: str | os.PathLike | None) -> Source:
    path = Path(source).expanduser()
    if not path.exists():
        raise LabelAuditError(f"{path} does not exist: check the path.")
    if root is not None:
        folder = Path(root).expanduser().absolute()
        if path.suffix.lower() not in manifest.SUFFIXES or not folder.is_dir():
            raise LabelAuditError(
                f"root={str(root)!r} must be a folder, and goes with a manifest, not with {path}."
            )
        return manifest.open_manifest(path.absolute(), folder)
    for matches, opener in KINDS:
        if matches(path):
            return opener(path.absolute())
    raise LabelAuditError(
        f"{path} is no folder, zip or manifest ({', '.join(sorted(manifest.SUFFIXES))}): "
        "give one of these."
    )


def _make(
    name: str, source: Source, overwrite: bool, progress: ProgressCallback, stop: StopCheck
) -> Dataset:
    check_name(name)
    meter = Meter(f"reading {source.description}", source.total, progress)
    return create_dataset(
        name,
        source.read(meter, stop),
        classes=source.classes,
        source=source.description,
        skipped=source.skipped.report,
        overwrite=overwrite,
    )


__all__ = ["KINDS", "ZOO", "Source", "load_arrays", "load_dataset"]
