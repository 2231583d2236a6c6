"""Images as uint8 tensors: held in memory where they fit, decoded ahead of need where not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from ..core.errors import LabelAuditError
from ..core.images import UnreadableImageError, decode, to_rgb
from ..core.prefetch import prefetch
from ..core.progress import Task
from ..dataset.columns import Frame

DECODE_ROWS = 512  # images decoded by one thread at a time


class Images:
    """Some samples' images, by their place in `ids`. All are brought to one square size.

    Those that cannot be read are left out of every batch: `unreadable`, bool (n,), says which they
    are, once they were looked for.
    """

    def __init__(self, frame: Frame, ids: np.ndarray, size: int) -> None:
        # ids, not positions: samples may be added while a model learns
        self.frame, self.ids, self.size = frame, ids, size
        self._held: torch.Tensor | None = None
        self.unreadable = np.zeros(len(ids), bool)
        self.example = ""  # one of these: path and reason

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        return len(self) * 3 * self.size * self.size

    def readable(self, places: np.ndarray) -> np.ndarray:
        """Of these places, int64 (m,), those that are not known to be unreadable."""
        return places[~self.unreadable[places]] if self.unreadable.any() else places

    @property
    def note(self) -> str | None:
        """How many could not be read, in a sentence; None where all could."""
        count = int(self.unreadable.sum())
        return left_out(count, len(self), self.example) if count else None

    def nothing_readable(self) -> LabelAuditError:
        """What to raise where no image is left to work on."""
        return nothing_readable(len(self), self.example)

    def hold(self, device: torch.device, task: Task) -> None:
        """Decode all of them now, into one tensor on `device`."""
        meter = task.stage("reading images", len(self))
        held = torch.empty((len(self), 3, self.size, self.size), dtype=torch.uint8)
        held = held.contiguous(memory_format=torch.channels_last)
        start = 0
        for batch in prefetch(self._decode, _groups(np.arange(len(self)), DECODE_ROWS)):
            meter.advance(len(batch))
            held[start : start + len(batch)] = batch
            start += len(batch)
        self._held = held.to(device)

    def batches(self, order: np.ndarray, rows: int) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """(places, uint8 (n, 3, size, size)) in this order, some `rows` at a time, or fewer where
        images cannot be read."""
        if self._held is None:
            groups = _groups(order, rows)
            for places, pixels in zip(groups, prefetch(self._decode, groups), strict=True):
                bad = self.unreadable[places]
                if bad.any():
                    places, pixels = places[~bad], pixels[torch.from_numpy(~bad)]
                if len(places):
                    yield places, pixels
            return
        order = self.readable(order)
        for start in range(0, len(order), rows):
            places = order[start : start + rows]
            yield places, self._held[torch.from_numpy(places).to(self._held.device)]

    def _decode(self, places: np.ndarray) -> torch.Tensor:
        positions = self.frame.positions(self.ids[places])
        rows = self.frame.take("samples", positions, ["filepath", "image"])
        out = np.zeros((len(rows), self.size, self.size, 3), np.uint8)
        bad = np.zeros(len(rows), bool)
        for i, (path, data) in enumerate(
            zip(rows["filepath"].to_pylist(), rows["image"].to_pylist(), strict=True)
        ):
            try:
                out[i] = _pixels(path, data, self.size)
            except UnreadableImageError as error:
                bad[i] = True
                self.example = self.example or f"{path}: {error}"
        self.unreadable[places] = bad
        return torch.from_numpy(out).permute(0, 3, 1, 2)  # channels last in memory


def left_out(count: int, of: int, example: str) -> str:
    """That so many images could not be read, in a sentence."""
    return f"{count:,} of {of:,} images could not be read, and are left out (such as {example})"


def nothing_readable(count: int, example: str) -> LabelAuditError:
    return LabelAuditError(
        f"none of the {count:,} images can be read (such as {example}): put them back, or load the "
        "dataset again from where they are now."
    )


def _groups(order: np.ndarray, rows: int) -> list[np.ndarray]:
    return [order[start : start + rows] for start in range(0, len(order), rows)]


def _pixels(path: str, data: bytes | None, size: int) -> np.ndarray:
    """One image as uint8 (size, size, 3)."""
    image = to_rgb(decode(path, data, draft=size))
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)
