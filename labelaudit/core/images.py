"""Decodes and encodes images. Pillow's modes, EXIF handling and errors are dealt with here only."""

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

from .errors import BadInputError, DamagedError

# Images of up to this many pixels a side are sent to a browser unscaled; it enlarges them with hard
# edges.
SMALL_SIDE = 80
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")  # more than 8 bits per pixel
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_BACKGROUND = (255, 255, 255)  # shown where an image is transparent

# The header of a small file can claim 50,000 x 50,000 pixels, which would take 7.5 GB. The largest
# cameras have 151 million pixels, which take 450 MB.
MAX_PIXELS = 160_000_000
LARGE_PIXELS = 25_000_000  # at most two images larger than this are decoded at the same time
MAX_PROFILE = 1 << 20  # bytes; larger colour profiles are dropped. Real ones have a few thousand
_large_images = BoundedSemaphore(2)
_EMPTY = "the file is empty"

# Pillow prints these warnings, but the size is checked here and EXIF data is optional.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")

_METADATA = ("transparency", "icc_profile", "dpi")  # metadata that is preserved
_TRANSPOSITIONS = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
# Patterns of Pillow's messages about broken files, and clearer wording.
_REASONS = (
    (r"MAX_TEXT_(CHUNK|MEMORY)", "its metadata is too large: save it without"),
    (r"truncated|unexpected end|EOF|not enough|unpack requires|buffer overrun", "it is truncated"),
)


class UnreadableImageError(DamagedError):
    """An image cannot be decoded. The message gives the reason, but not the image's name."""


def decode(path: str, data: bytes | None = None, draft: int | None = None) -> Image.Image:
    """Decode the image in `data`, or in the file at `path`, upright according to its EXIF data.

    draft: a sufficient size in pixels; a JPEG may then be decoded at a fraction of its full size.
    `info["full_size"]` of the result is the (width, height) of the full image, upright. Only the
    first frame of an animation is decoded. Raises UnreadableImageError if decoding fails.
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
            with _large_images if large else nullcontext():
                image.load()
                orientation = _orientation(image)
                upright = _upright(image, orientation)
            upright.info["full_size"] = full_size[::-1] if orientation in _SIDEWAYS else full_size
            return upright
    except UnreadableImageError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError("there is no such file") from error
    except Image.DecompressionBombError as error:
        size = re.search(r"\d+", str(error))
        raise UnreadableImageError(_too_large(f"{int(size[0]):,}" if size else "more")) from error
    except MemoryError as error:
        raise UnreadableImageError("it needs more memory than is available") from error
    except Exception as error:  # Pillow's decoders raise almost anything on broken bytes
        if "HEIF" not in Image.OPEN and _is_heif(path, data):  # under the name of another format
            _add_heif()
            return decode(path, data, draft)
        empty = data is None and os.path.exists(path) and not os.path.getsize(path)
        raise UnreadableImageError(_EMPTY if empty else _reason(error)) from error


def _is_heif(path: str, data: bytes | None) -> bool:
    """Whether a file begins like a HEIC image."""
    try:
        with nullcontext(io.BytesIO(data)) if data is not None else open(path, "rb") as file:
            head = file.read(12)
    except (OSError, ValueError):
        return False
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _add_heif() -> None:
    """Add HEIC to Pillow's formats. Raises UnreadableImageError if pillow-heif is missing."""
    try:
        import pillow_heif
    except ImportError as error:
        raise UnreadableImageError(
            "HEIC images need the package pillow-heif: run pip install pillow-heif"
        ) from error
    pillow_heif.register_heif_opener()


def _check_size(width: int, height: int) -> None:
    """Check the size in the header, before anything is decoded."""
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(_too_large(f"{width:,} x {height:,}"))


def _too_large(size: str) -> str:
    return f"it has {size} pixels, more than {MAX_PIXELS // 10**6} million: make it smaller"


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, or 1 (upright) if the image has no readable EXIF data."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation) or 1
    except Exception:  # Pillow raises many types for broken EXIF data
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return an upright copy with only the metadata in _METADATA."""
    transposition = _TRANSPOSITIONS.get(orientation)
    upright = image.copy() if transposition is None else image.transpose(transposition)
    upright.info = {name: image.info[name] for name in _METADATA if name in image.info}
    if len(upright.info.get("icc_profile") or b"") > MAX_PROFILE:
        del upright.info["icc_profile"]
    return upright


def _reason(error: Exception) -> str:
    """Translate an error of Pillow to a clear reason."""
    text = re.sub(r" (<_io\.BytesIO.*?>|'/.*?')", "", str(error)).strip()
    if isinstance(error, UnidentifiedImageError):
        return "cannot identify image: it is not an image, or its header is broken"
    return next(
        (reason for pattern, reason in _REASONS if re.search(pattern, text)),
        text or f"it is broken ({type(error).__name__})",
    )


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB.

    Grey images with more than 8 bits are scaled from their minimum and maximum to 0 … 255: Pillow
    would clip them to white, and 12-bit data in a 16-bit file would be almost black. Transparent
    images are placed on white, as most programs show them.
    """
    if image.mode in _DEEP_MODES:
        return Image.fromarray(_scaled(np.asarray(image, dtype=np.float64))).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    background = Image.new("RGBA", image.size, (*_BACKGROUND, 255))
    return Image.alpha_composite(background, image).convert("RGB")


def _scaled(values: np.ndarray) -> np.ndarray:
    """Scale float64 (H, W) to uint8 (H, W). NaN and infinity count as the minimum. A constant
    image becomes white, or black if its value is 0 or less."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low, high = values[finite].min(), values[finite].max()
    if low == high:
        return np.full(values.shape, 255 if high > 0 else 0, np.uint8)
    values = np.where(finite, values, low)
    return np.round((values - low) * 255 / (high - low)).astype(np.uint8)


def pixel_hash(image: Image.Image) -> int:
    """Return a signed 64-bit hash of an image's size and pixels, including transparency.

    It is equal for images with equal pixels, whatever format they are stored in. Among a million
    different images, the probability that any two share a hash is 3 in 10^8.
    """
    parts = [to_rgb(image).tobytes()]
    if image.mode in _DEEP_MODES:  # RGB has lost the lower bits
        parts.append(np.asarray(image, dtype=np.float64).tobytes())
    elif image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        parts += [alpha.tobytes()] if alpha.getextrema()[0] < 255 else []
    digest = hashlib.blake2b(repr(image.size).encode(), digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "big", signed=True)


def encode(image: Image.Image | np.ndarray) -> bytes:
    """Encode an image, or a uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), as PNG.

    Raises BadInputError for an array of another shape or dtype.
    """
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    elif image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = to_rgb(image)  # PNG has no other modes
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def data_uri(image: Image.Image, size: int) -> tuple[str, bool]:
    """Return an image as a data URI of at most `size` pixels a side, and whether it is so small
    that the browser should enlarge it with hard edges."""
    small = max(image.size) <= SMALL_SIDE
    image = to_rgb(image)
    if max(image.size) > size:
        image.thumbnail((size, size))
    buffer = io.BytesIO()
    image.save(buffer, "PNG" if small else "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{'png' if small else 'jpeg'};base64,{data}", small


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8:
        raise BadInputError(
            f"an image array has dtype {array.dtype}: scale it to 0 … 255 and convert it to uint8."
        )
    try:
        return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)
    except (TypeError, ValueError) as error:
        raise BadInputError(
            f"an image array has shape {array.shape}: it must be (H, W) or (H, W, 3)."
        ) from error
