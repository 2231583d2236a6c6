"""A dataset's images for torch's DataLoader, with label and id."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from ..core.errors import BadInputError, DamagedError
from ..core.images import UnreadableImageError, decode, to_rgb
from ..core.plural import counted
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.target import Target, opened
from ..storage.schema import REMOVED
from ..storage.tables import Store
from .forked_reader import ForkedReader, read_images

READ_ROWS = 256  # images read at once when iterating over all


class TorchImageDataset(torch.utils.data.Dataset):
    """The samples of a view in its order, or those of a dataset that are not removed, as
    `(image, label, id)`.

    image: a PIL image, RGB, upright, or the result of `transform` on it. label: int, an index into
    `classes`; -1 for a sample without a label (exclude these with
    `view.match(label=dataset.classes)`). id: int, for `Recorder.update`.

    `ids`, int64 (n,), `labels`, int64 (n,), and `classes` are those at the time of construction.

    The dataset can be pickled, and works in DataLoader workers, forked or spawned: each process
    opens the dataset itself. Whole batches are read at once (`__getitems__`). LanceDB does not
    survive a fork (it warns about it), so a forked worker reads through a process that it starts,
    which takes a second: use `persistent_workers=True`, or
    `multiprocessing_context="forkserver"`.
    """

    def __init__(
        self,
        target: Target,
        transform: Callable[[Image.Image], object] | None = None,
        image_size: int | tuple[int, int] | None = None,
        keys: Sequence[str] | None = None,
    ) -> None:
        """image_size: pixels (height and width, or one number for both) to which images are resized
        before `transform`; None keeps their size.
        keys: names of image, label and id, such as ("pixel_values", "labels", "id"), for a training
        that expects a dict per sample instead of a tuple.
        Raises LabelAuditError for an invalid image size or invalid keys; and, when reading, for an
        image that is no longer there.
        """
        target = opened(target)
        is_dataset = isinstance(target, Dataset)
        view = target.view().exclude_tag(REMOVED) if is_dataset else target
        with view.steady():
            at = view.positions()
            self.ids = view.frame.ids[at]
            self.labels = view.frame.label[at].astype(np.int64)
            self.classes = list(view.frame.classes)
            self._scales = view.frame.grey_scales
        self.transform, self.keys = transform, _keys(keys)
        self._size = _size(image_size)
        self._name, self._uri = view.name, view.uri
        self._owner_pid, self._frame = os.getpid(), view.frame
        self._forked: tuple[int, ForkedReader] | None = None  # with the process that it reads for

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"TorchImageDataset({self._name!r}: {counted(len(self), 'sample')})"

    def __iter__(self) -> Iterator:
        for start in range(0, len(self), READ_ROWS):  # ten times as fast as one by one
            yield from self.__getitems__(range(start, min(start + READ_ROWS, len(self))))

    def __getitem__(self, index: int):
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list:
        """Return several samples by their places; torch's DataLoader calls this for each batch."""
        at = np.asarray(indices, np.int64)
        bad = at[(at < -len(self)) | (at >= len(self))]
        if len(bad):  # an IndexError ends a plain `for`
            raise IndexError(f"sample {bad[0]} of {len(self)}")
        ids, labels = self.ids[at], self.labels[at]
        rows = zip(*(column.to_pylist() for column in self._read(ids).columns), strict=True)
        return [
            self._sample(self._image(path, data), label, sample_id)
            for (path, data), label, sample_id in zip(
                rows, labels.tolist(), ids.tolist(), strict=True
            )
        ]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_frame": None, "_forked": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _owner_pid=os.getpid())

    def _read(self, ids: np.ndarray) -> pa.Table:
        pid = os.getpid()
        if self._owner_pid == pid:
            if self._frame is None:
                self._frame = Frame(Store(self._name, self._uri))
            return read_images(self._frame, ids)
        if self._forked is None or self._forked[0] != pid:
            self._forked = pid, ForkedReader(self._name, self._uri)
        return self._forked[1](ids)

    def _image(self, path: str, data: bytes | None):
        try:
            draft = self._size and max(self._size)
            image = to_rgb(decode(path, data, draft, self._scales))
        except UnreadableImageError as error:
            raise DamagedError(
                f"image {path} cannot be read any more ({error}): put it back, or load the dataset "
                "again without it."
            ) from error
        if self._size and image.size != self._size:
            image = image.resize(self._size, Image.Resampling.BILINEAR)
        return image if self.transform is None else self.transform(image)

    def _sample(self, *values):
        return dict(zip(self.keys, values, strict=True)) if self.keys else values


def _keys(keys: Sequence[str] | None) -> tuple[str, ...] | None:
    if keys is None:
        return None
    if isinstance(keys, str) or len(set(keys)) != 3 or len(keys) != 3:
        raise BadInputError(
            f'keys={keys!r}: give three names, as in ("pixel_values", "labels", "id").'
        )
    return tuple(keys)


def _size(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Return width and height, as Pillow expects them."""
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if not (isinstance(height, int) and isinstance(width, int)) or min(height, width) < 1:
        raise BadInputError(f"image_size={size!r}: give pixels, such as 224 or (224, 320).")
    return width, height
