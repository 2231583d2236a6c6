"""Images in and out of bytes: the one place that knows Pillow's modes, EXIF and moods."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import warnings
from contextlib import nullcontext
from pathlib import Path
from threading import BoundedSemaphore

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from .errors import LabelAuditError

CRISP = 80  # pixels; images up to this size are sent as they are, and scaled up with hard edges
_DEEP = ("I", "I;16", "I;16B", "I;16L", "F")  # more than 8 bits a pixel
_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_PAPER = (255, 255, 255)  # what shows through where an image is transparent

# A file of some hundred bytes may say that it is 50,000 pixels a side, which would take 7.5 GB. The
# largest cameras have 151 million pixels, which take 450 MB.
MAX_PIXELS = 160_000_000
LARGE_PIXELS = 25_000_000  # of larger ones, two are decoded at once, however many ask
MAX_PROFILE = 1 << 20  # bytes of a colour profile that is kept; real ones have a few thousand
_few_large = BoundedSemaphore(2)
_EMPTY = "the file is empty"

# Said to a terminal where nobody can do anything about it: size is checked here, EXIF is optional.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")

_KEPT = ("transparency", "icc_profile", "dpi")  # of what a file says beside its pixels
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
# What Pillow says of hostile files, in words that help whoever has the file.
_WORDS = (
    (r"MAX_TEXT_(CHUNK|MEMORY)", "its metadata is too large: save it without"),
    (r"truncated|unexpected end|EOF|not enough|unpack requires|buffer overrun", "it is truncated"),
)


class UnreadableImageError(LabelAuditError):
    """An image cannot be decoded; the message says why, not which."""


def decode(path: str, data: bytes | None = None, draft: int | None = None) -> Image.Image:
    """The image in `data`, else in the file at `path`, turned upright as its EXIF data says.

    draft: a size in pixels that is enough, which lets a JPEG decode at a fraction of its own;
    `info["full_size"]` has the width and height of the whole image, upright. Of an animation it is
    the first frame.
    """
    if data == b"":
        raise UnreadableImageError(_EMPTY)
    try:
        with Image.open(io.BytesIO(data) if data is not None else Path(path)) as image:
            full_size = image.size
            _check_size(*full_size)
            if draft:
                image.draft(None, (draft, draft))
            large = image.width * image.height > LARGE_PIXELS
            with _few_large if large else nullcontext():
                image.load()
                turn = _orientation(image)
                upright = _turned(image, turn)
            upright.info["full_size"] = full_size[::-1] if turn in _ON_ITS_SIDE else full_size
            return upright
    except UnreadableImageError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError("there is no such file") from error
    except Image.DecompressionBombError as error:
        size = re.search(r"\d+", str(error))
        raise UnreadableImageError(_too_large(f"{int(size[0]):,}" if size else "more")) from error
    except MemoryError as error:
        raise UnreadableImageError("it takes more memory than there is") from error
    except Exception as error:  # Pillow's decoders raise almost anything on broken bytes
        empty = data is None and os.path.exists(path) and not os.path.getsize(path)
        raise UnreadableImageError(_EMPTY if empty else _reason(error)) from error


def _check_size(width: int, height: int) -> None:
    """By the header alone, before anything is decoded."""
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(_too_large(f"{width:,} x {height:,}"))


def _too_large(size: str) -> str:
    return f"it has {size} pixels, more than {MAX_PIXELS // 10**6} million: make it smaller"


def _orientation(image: Image.Image) -> int:
    """As the EXIF data says; 1, upright, where there is none, or none that can be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation) or 1
    except Exception:  # a block that a stranger filled: anything may be raised
        return 1


def _turned(image: Image.Image, turn: int) -> Image.Image:
    """A copy that is upright, without the metadata that nobody here reads."""
    upright = image.transpose(_TURNS[turn]) if turn in _TURNS else image.copy()
    upright.info = {name: image.info[name] for name in _KEPT if name in image.info}
    if len(upright.info.get("icc_profile") or b"") > MAX_PROFILE:
        del upright.info["icc_profile"]
    return upright


def _reason(error: Exception) -> str:
    words = re.sub(r" (<_io\.BytesIO.*?>|'/.*?')", "", str(error)).strip()
    if isinstance(error, UnidentifiedImageError):
        return "cannot identify image: it is none, or its header is broken"
    return next(
        (said for pattern, said in _WORDS if re.search(pattern, words)),
        words or f"it is broken ({type(error).__name__})",
    )


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
