"""Images and labels in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from ..core.deep_grey import DEPTHS
from ..core.errors import BadInputError
from ..core.images import check_array, encode
from ..core.plural import counted
from .labels import ONE_LABEL, LabelNames, check_one_label, is_missing, one_hot_indices, shown
from .source import PLACE, Row, Source, class_names

MAX_ID = 1 << 63


def open_arrays(
    images: Sequence,
    labels: Sequence,
    splits: Sequence[str | None] | None = None,
    ids: Sequence[int] | None = None,
    tags: Sequence[Sequence[str]] | None = None,
    classes: Sequence[str] | None = None,
    description: str = "arrays in memory",
    names: Sequence[str] | None = None,
) -> Source:
    """Create a source from arrays: see `load_arrays`. names: the filepath of each image."""
    images = _values(images, "images")
    count = len(images)
    if not count:
        raise BadInputError("the arrays contain no images: give at least one.")
    given_classes = classes
    classes = _classes(classes, labels)
    given = {"labels": _values(labels, "labels"), "splits": _values(splits, "splits"),
             "ids": _values(ids, "ids"), "tags": _values(tags, "tags")}  # fmt: skip
    for what, values in given.items():
        if values is not None and len(values) != count:
            raise BadInputError(
                f"{counted(count, 'image')}, but {counted(len(values), what[:-1])}: give one per "
                "image."
            )
    if given["labels"] is None:
        raise BadInputError("there are no labels: give one per image, or None for each image.")
    flat, columns = _one_each(given["labels"])
    if columns is not None:
        classes = _one_hot_classes(classes, columns)
    reader = LabelNames("the labels", classes)
    label_names = [reader.name(value, f"image {i}") for i, value in enumerate(flat)]
    reader.check()
    if given_classes is None:
        check_one_label(label_names, "the array of labels")
    check = _check_images(images)
    splits, ids = _splits(given["splits"]), _ids(given["ids"])
    tags = None if tags is None else [_tags(value, i) for i, value in enumerate(given["tags"])]

    def rows() -> Iterator[Row]:
        for i in range(count):
            data = images[i] if isinstance(images[i], bytes) else encode(images[i])
            tiff = data[:2] in (b"II", b"MM")
            yield {
                PLACE: f"image {i}",
                "id": None if ids is None else ids[i],
                "filepath": names[i] if names is not None else f"{i:06d}.tif" if tiff else None,
                "image": data,
                "label": label_names[i],
                "split": None if splits is None else splits[i],
                "tags": None if tags is None else tags[i],
                **_size(images[i]),
            }

    all_classes = classes if classes is not None else class_names(label_names)
    source = Source(description, all_classes, count, rows, check=check)
    for text in reader.notes:
        source.skipped.note(text)
    return source


def _values(values, what: str) -> list | np.ndarray | None:
    """Return a list or an array of at least two dimensions, indexed by position.

    A pandas Series would be indexed by its index, and a tensor would return tensors. Raises
    BadInputError for a single value, and for a type without an order of its elements.
    """
    if values is None:
        return None
    if isinstance(values, pd.DataFrame):
        if what != "labels":
            raise BadInputError(f"the {what} are a data frame: give one of its columns.")
        values = values.to_numpy()
    one = isinstance(values, (str, bytes, Mapping, set, frozenset, Image.Image))
    if one or not (hasattr(values, "__iter__") or hasattr(values, "__array__")):
        raise BadInputError(
            f"the {what} are {shown(values)}: give a list with one value for each image."
        )
    if hasattr(values, "detach"):  # a tensor, perhaps on a GPU
        values = values.detach().cpu().numpy()
    elif hasattr(values, "__array__") and not hasattr(values, "tolist"):
        values = np.asarray(values)
    if isinstance(values, np.ndarray):
        if not values.ndim or values.dtype.kind in "mMcV":
            raise BadInputError(
                f"the {what} are an array of {values.dtype} {values.shape}: give one value for "
                "each image."
            )
        return values if values.ndim > 1 else values.tolist()
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _one_each(labels: list | np.ndarray) -> tuple[list, int | None]:
    """Return one value for each image; and the number of columns of one-hot labels, or None."""
    if isinstance(labels, np.ndarray):
        if labels.size == len(labels):  # (n, 1)
            return labels.reshape(-1).tolist(), None
        return one_hot_indices(labels, "the labels").tolist(), labels.shape[1]
    lists = [value for value in labels if isinstance(value, (list, tuple)) or np.ndim(value)]
    lengths = {len(value) for value in lists}
    if len(lists) < len(labels) or lengths <= {0, 1}:
        return labels, None  # a list of several labels is refused when it is read
    found = np.array(lists) if len(lengths) == 1 else None
    if found is None or found.dtype.kind not in "biuf":
        raise BadInputError(
            f"the labels have up to {max(lengths)} values for an image: {ONE_LABEL}; give one "
            "class name or number for each."
        )
    return _one_each(found)


def _classes(classes, labels) -> list[str] | None:
    """Return the class names as text; those of categories or of one-hot columns if none are given.

    Raises BadInputError if one occurs twice, or for another type.
    """
    if classes is None:
        dtype = getattr(labels, "dtype", None)
        if isinstance(labels, pd.DataFrame) and labels.shape[1] > 1:
            classes = labels.columns  # as pandas.get_dummies returns them
        elif isinstance(dtype, pd.CategoricalDtype):
            classes = dtype.categories
        else:
            return None
    if isinstance(classes, (str, bytes, Mapping, set, frozenset)) or not np.iterable(classes):
        raise BadInputError(
            f"classes has the type {type(classes).__name__}: give a list of names, in the order of "
            "their numbers."
        )
    reader = LabelNames("classes")
    names: list[str] = []
    for i, given in enumerate(classes):
        name = reader.name(given, f"class {i}")
        if name is None:
            raise BadInputError(f"classes: class {i} has no name: give one.")
        names.append(name)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInputError(f"classes has {twice!r} twice: name each class once.")
    return names


def _one_hot_classes(classes: list[str] | None, columns: int) -> list[str]:
    if classes is None:
        return [str(i) for i in range(columns)]
    if len(classes) != columns:
        raise BadInputError(
            f"the labels have {columns} columns, but there are {len(classes)} classes: give one "
            "column for each class."
        )
    return classes


def _check_images(images: list | np.ndarray) -> bool:
    """Raise BadInputError for an image that cannot be stored. Returns whether some must be opened
    when they are read: encoded ones, and those whose scale is measured."""
    if isinstance(images, np.ndarray) and images.dtype != object:
        if images.ndim not in (3, 4):
            raise BadInputError(
                f"the images have shape {images.shape}: they must be (n, H, W) or (n, H, W, 3); "
                "reshape rows of pixels first."
            )
        check_array(images[0])  # the others are alike
        return False
    opened = False
    for i, image in enumerate(images):
        if isinstance(image, np.ndarray):
            try:
                check_array(image)
            except BadInputError as error:
                raise BadInputError(f"image {i}: {error}") from error
        elif isinstance(image, Image.Image):
            if 0 in image.size:
                raise BadInputError(f"image {i} has {image.width} x {image.height} pixels.")
            opened |= image.mode in DEPTHS
        elif isinstance(image, bytes):
            opened = True
        else:
            raise BadInputError(
                f"image {i} has the type {type(image).__name__}: give uint8 arrays (H, W) or "
                "(H, W, 3), PIL images or encoded bytes; files are loaded by load_dataset."
            )
    return opened


def _splits(splits: list | np.ndarray | None) -> list[str | None] | None:
    if splits is None:
        return None
    values = splits.reshape(-1).tolist() if getattr(splits, "size", None) == len(splits) else splits
    names: list[str | None] = []
    for i, value in enumerate(values):
        if is_missing(value) or value in ("", b""):
            names.append(None)
        elif isinstance(value, (str, bytes, int, np.integer)):
            names.append(value.decode(errors="replace") if isinstance(value, bytes) else str(value))
        else:
            raise BadInputError(f"the split of image {i} is {shown(value)}: give a name or None.")
    return names


def _ids(ids: list | np.ndarray | None) -> list[int] | None:
    """Return ids as int. Raises BadInputError for one that is not a whole number below 2^63."""
    if ids is None:
        return None
    values = ids.reshape(-1).tolist() if getattr(ids, "size", None) == len(ids) else ids
    for i, value in enumerate(values):
        whole = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(
            value, bool
        )
        if not whole or not -MAX_ID < value < MAX_ID or value != int(value):
            raise BadInputError(
                f"the id of image {i} is {value!r}: ids are whole numbers below 2^63; correct it, "
                "or leave the ids out."
            )
    return [int(value) for value in values]


def _tags(value, i: int) -> list[str]:
    """Return the tags of an image: a list of text, or one text."""
    if is_missing(value):
        return []
    tags = [value] if isinstance(value, str) else value
    if isinstance(tags, Mapping) or not hasattr(tags, "__iter__"):
        tags = [tags]
    wrong = next((tag for tag in tags if not isinstance(tag, str)), None)
    if wrong is not None:
        raise BadInputError(f"a tag of image {i} is {wrong!r}: give a list of words.")
    return [str(tag) for tag in tags]


def _size(image) -> dict[str, int]:
    if isinstance(image, bytes):
        return {}
    if isinstance(image, np.ndarray):
        return {"width": image.shape[1], "height": image.shape[0]}
    return {"width": image.width, "height": image.height}
