"""Images in and out of bytes: the one place that knows Pillow's modes, EXIF and moods."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from .errors import LabelAuditError

CRISP = 80  # pixels; images up to this size are sent as they are, and scaled up with hard edges
_DEEP = ("I", "I;16", "I;16B", "I;16L", "F")  # more than 8 bits a pixel
_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_PAPER = (255, 255, 255)  # what shows through where an image is transparent


class UnreadableImageError(LabelAuditError):
    """An image cannot be decoded; the message says why, not which."""


def decode(path: str, data: bytes | None = None, draft: int | None = None) -> Image.Image:
    """The image in `data`, else in the file at `path`, turned upright as its EXIF data says.

    draft: a size in pixels that is enough, which lets a JPEG decode at a fraction of its own;
    `info["full_size"]` has the width and height of the whole image, upright. Of an animation it is
    the first frame.
    """
    try:
        with Image.open(io.BytesIO(data) if data is not None else Path(path)) as image:
            full_size = image.size
            if draft:
                image.draft(None, (draft, draft))
            image.load()
            turned = image.getexif().get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
            upright = ImageOps.exif_transpose(image)
            upright.info["full_size"] = full_size[::-1] if turned else full_size
            return upright
    except FileNotFoundError as error:
        raise UnreadableImageError("there is no such file") from error
    except Exception as error:  # Pillow's decoders raise almost anything on broken bytes
        words = re.sub(r" (<_io\.BytesIO.*?>|'/.*?')", "", str(error))
        raise UnreadableImageError(words or type(error).__name__) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB.

    Deep grey is scaled from its own least and greatest value to 0 … 255: Pillow would clip it to
    white, and 12 bits in a file of 16 would be all but black. Transparency is laid on white, as
    most programs show it: what colour lies hidden beneath it is chance.
    """
    if image.mode in _DEEP:
        return Image.fromarray(_scaled(np.asarray(image, dtype=np.float64))).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, (*_PAPER, 255))
    return Image.alpha_composite(paper, image).convert("RGB")


def _scaled(values: np.ndarray) -> np.ndarray:
    """float64 (H, W) as uint8; what is no finite number counts as the least. One even grey is
    white, or black where it is 0."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low, high = values[finite].min(), values[finite].max()
    if low == high:
        return np.full(values.shape, 255 if high > 0 else 0, np.uint8)
    values = np.where(finite, values, low)
    return np.round((values - low) * 255 / (high - low)).astype(np.uint8)


def pixel_hash(image: Image.Image) -> int:
    """64 bits of a hash of size and pixels, as a signed number: equal for images that look the same
    to the last pixel, in whatever format they were stored.

    Transparency counts. Two different ones among a million share it with a chance of 3 in 10^8.
    """
    parts = [to_rgb(image).tobytes()]
    if image.mode in _DEEP:  # RGB has lost most of it
        parts.append(np.asarray(image, dtype=np.float64).tobytes())
    elif image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        parts += [alpha.tobytes()] if alpha.getextrema()[0] < 255 else []
    digest = hashlib.blake2b(repr(image.size).encode(), digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "big", signed=True)


def encode(image: Image.Image | np.ndarray) -> bytes:
    """An image, or a uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), as PNG bytes."""
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    elif image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = to_rgb(image)  # PNG has no other modes
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def data_uri(image: Image.Image, size: int) -> tuple[str, bool]:
    """An image for a browser, at most `size` pixels a side, and whether it is a small one, to be
    scaled up with crisp pixels."""
    small = max(image.size) <= CRISP
    image = to_rgb(image)
    if max(image.size) > size:
        image.thumbnail((size, size))
    buffer = io.BytesIO()
    image.save(buffer, "PNG" if small else "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{'png' if small else 'jpeg'};base64,{data}", small


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8:
        raise LabelAuditError(
            f"an image array is {array.dtype}: scale it to 0 … 255 and make it uint8."
        )
    try:
        return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)
    except (TypeError, ValueError) as error:
        raise LabelAuditError(
            f"an image array has shape {array.shape}: it must be (H, W) or (H, W, 3)."
        ) from error
