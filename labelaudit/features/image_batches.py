"""Images as uint8 tensors: loaded into memory if they fit, otherwise decoded ahead of use."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from ..core.errors import DamagedError, LabelAuditError
from ..core.images import UnreadableImageError, to_rgb
from ..core.prefetch import prefetch
from ..core.progress import Task
from ..dataset.columns import Frame
from .decoding import chunks, decoded_images

DECODE_ROWS = 512  # images decoded by one thread at a time


class Images:
    """The images of some samples, resized to one square size, by their place in `ids`.

    Images that cannot be read are left out of every batch. `unreadable`, bool (n,), marks those
    found so far.
    """

    def __init__(self, frame: Frame, ids: np.ndarray, size: int) -> None:
        # ids, not positions: samples may be added during a training
        self.frame, self.ids, self.size = frame, ids, size
        self._loaded: torch.Tensor | None = None
        self.unreadable = np.zeros(len(ids), bool)
        self.example = ""  # path of an unreadable image, and the reason

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes of all images in memory."""
        return len(self) * 3 * self.size * self.size

    def readable(self, places: np.ndarray) -> np.ndarray:
        """Return the places, int64 (m,), that are not known to be unreadable."""
        return places[~self.unreadable[places]] if self.unreadable.any() else places

    @property
    def note(self) -> str | None:
        """How many images could not be read, as a sentence; None if all could."""
        count = int(self.unreadable.sum())
        return unreadable_note(count, len(self), self.example) if count else None

    def nothing_readable(self) -> LabelAuditError:
        """Return the error to raise if no image is left."""
        return nothing_readable(len(self), self.example)

    def load(self, device: torch.device, task: Task) -> None:
        """Decode all images now, into one tensor on `device`."""
        stage = task.stage("reading images", len(self))
        loaded = torch.empty((len(self), 3, self.size, self.size), dtype=torch.uint8)
        loaded = loaded.contiguous(memory_format=torch.channels_last)
        start = 0
        for batch in prefetch(self._decode, chunks(np.arange(len(self)), DECODE_ROWS)):
            stage.advance(len(batch))
            loaded[start : start + len(batch)] = batch
            start += len(batch)
        self._loaded = loaded.to(device)

    def batches(self, order: np.ndarray, rows: int) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Yield (places, uint8 (n, 3, size, size)) in this order, `rows` at a time, or fewer if
        images cannot be read."""
        if self._loaded is None:
            groups = chunks(order, rows)
            for places, pixels in zip(groups, prefetch(self._decode, groups), strict=True):
                bad = self.unreadable[places]
                if bad.any():
                    places, pixels = places[~bad], pixels[torch.from_numpy(~bad)]
                if len(places):
                    yield places, pixels
            return
        for places in chunks(self.readable(order), rows):
            yield places, self._loaded[torch.from_numpy(places).to(self._loaded.device)]

    def _decode(self, places: np.ndarray) -> torch.Tensor:
        """Return uint8 (n, 3, size, size), zeros for images that cannot be read."""
        pixels = np.zeros((len(places), self.size, self.size, 3), np.uint8)
        bad = np.zeros(len(places), bool)
        images = decoded_images(self.frame, self.ids[places], draft=self.size)
        for i, (_, path, image) in enumerate(images):
            if isinstance(image, UnreadableImageError):
                bad[i] = True
                self.example = self.example or f"{path}: {image}"
            else:
                pixels[i] = square_pixels(image, self.size)
        self.unreadable[places] = bad
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)  # channels last in memory


def unreadable_note(count: int, total: int, example: str) -> str:
    """Return a sentence about the images that could not be read."""
    return f"{count:,} of {total:,} images could not be read: left out (such as {example})"


def nothing_readable(count: int, example: str) -> DamagedError:
    """Return the error to raise if no image is left."""
    return DamagedError(
        f"none of the {count:,} images can be read (such as {example}): put them back, or load the "
        "dataset again from their present place."
    )


def square_pixels(image: Image.Image, size: int) -> np.ndarray:
    """Return an image resized to a square, uint8 (size, size, 3)."""
    image = to_rgb(image)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)
