"""Decodes and encodes images. Pillow's modes, EXIF handling and errors are dealt with here only."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from .deep_grey import DEPTHS, STRIP_PIXELS, Scales, full_range, strips, to_grey, usual_scale
from .errors import BadInputError, DamagedError
from .memory_budget import MemoryBudget

# Images of up to this many pixels a side are sent to a browser unscaled; it enlarges them with hard
# edges.
SMALL_SIDE = 80
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_BACKGROUND = (255, 255, 255)  # shown where an image is transparent

# The header of a small file can claim 50,000 x 50,000 pixels, which would take 10 GB. The largest
# cameras have 151 million pixels, which take 600 MB.
MAX_PIXELS = 160_000_000
LARGE_PIXELS = 25_000_000  # larger images are made smaller at once where that is enough
MAX_PROFILE = 1 << 20  # bytes; larger colour profiles are dropped. Real ones have a few thousand
# Memory of the images that are being decoded at the same time. One of MAX_PIXELS always fits.
DECODED = MemoryBudget(640 << 20)
_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}  # in memory; others: 4
_EMPTY = "the file is empty"

# The system's allocator keeps freed blocks of Pillow's usual size, 16 MB, for each thread.
# Blocks over 32 MB go back to the system. Small images take only what they need in either case.
Image.core.set_block_size(64 << 20)

# Pillow prints these warnings, but the size is checked here and EXIF data is optional.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")

GREY_SCALE = "grey_scale"  # key in `info`: (black, white) of a grey image with more than 8 bits
_METADATA = ("transparency", "icc_profile", "dpi", GREY_SCALE)  # metadata that is preserved
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


def decode(
    path: str,
    data: bytes | None = None,
    draft: int | None = None,
    scales: Scales | None = None,
) -> Image.Image:
    """Decode the image in `data`, or in the file at `path`, upright according to its EXIF data.

    draft: a sufficient size in pixels; a JPEG may then be decoded at a fraction of its full size,
    and other large images are made smaller. scales: how `to_rgb` reads grey images with more than
    8 bits in this dataset; None to read each from its least to its greatest value.
    `info["full_size"]` of the result is the (width, height) of the full image, upright. Only the
    first frame of an animation is decoded. Raises UnreadableImageError if decoding fails.
    """
    with decoding(path, data, draft, scales) as image:
        return image


@contextmanager
def decoding(
    path: str,
    data: bytes | None = None,
    draft: int | None = None,
    scales: Scales | None = None,
) -> Iterator[Image.Image]:
    """Decode an image like `decode`, for a block that should be the only one to use it: other
    threads that decode images wait if the memory of all of them would exceed the budget."""
    with ExitStack() as reserved:
        yield _decode(path, data, draft, scales, reserved)


def _decode(
    path: str, data: bytes | None, draft: int | None, scales: Scales | None, reserved: ExitStack
) -> Image.Image:
    if data == b"":
        raise UnreadableImageError(_EMPTY)
    try:
        with Image.open(io.BytesIO(data) if data is not None else Path(path)) as image:
            full_size = image.size
            _check_size(*full_size)
            if draft:
                image.draft(None, (draft, draft))
            pixel_bytes = _PIXEL_BYTES.get(image.mode, 4)
            reserved.enter_context(DECODED.reserve(image.width * image.height * pixel_bytes))
            image.load()
            orientation = _orientation(image)
            depth = DEPTHS.get(image.mode)
            scale = depth and scales is not None and (scales.get(depth) or usual_scale(image))
            if scale:
                image.info[GREY_SCALE] = scale
            shrunk = shrink(image, draft) if draft and (scale or not depth) else image
            upright = _upright(shrunk, orientation)
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
    """Return an upright image with only the metadata in _METADATA."""
    transposition = _TRANSPOSITIONS.get(orientation)
    # not copy(), which would take the memory of a second image
    upright = image._new(image.im) if transposition is None else image.transpose(transposition)
    upright.info = {name: image.info[name] for name in _METADATA if name in image.info}
    if len(upright.info.get("icc_profile") or b"") > MAX_PROFILE:
        del upright.info["icc_profile"]
    return upright


def shrink(image: Image.Image, side: int) -> Image.Image:
    """Return an image of more than LARGE_PIXELS pixels in RGB and smaller, with at least twice
    `side` pixels in each direction; another image unchanged. It is converted part by part."""
    times = [max(length // (2 * side), 1) for length in image.size]
    if image.width * image.height <= LARGE_PIXELS or times == [1, 1]:
        return image
    rows = max(STRIP_PIXELS // image.width // times[1], 1) * times[1]
    parts = [np.asarray(to_rgb(strip).reduce(tuple(times))) for strip in strips(image, rows)]
    shrunk = Image.fromarray(np.concatenate(parts))
    shrunk.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return shrunk


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
    """Convert an image of any mode to RGB; an RGB image is returned itself.

    Grey images with more than 8 bits are read with the scale of their dataset, which `decode` found
    out; without a dataset, from their least to their greatest value. Transparent images are placed
    on white, as most programs show them.
    """
    if image.mode in DEPTHS:
        return to_grey(image, image.info.get(GREY_SCALE) or full_range(image)).convert("RGB")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("RGBA")
    background = Image.new("RGBA", image.size, (*_BACKGROUND, 255))
    return Image.alpha_composite(background, image).convert("RGB")


def pixel_hash(image: Image.Image) -> int:
    """Return a signed 64-bit hash of an image's size and pixels, including transparency.

    It is equal for images with equal pixels, whatever format they are stored in, and in all
    datasets. Among a million different images, the probability that any two share a hash is 3 in
    10^8.
    """
    digest = hashlib.blake2b(repr(image.size).encode(), digest_size=8)
    deep = image.mode in DEPTHS
    own = full_range(image) if deep else None
    for strip in strips(image):
        rgb = to_grey(strip, own).convert("RGB") if deep else to_rgb(strip)
        digest.update(rgb.tobytes())
    if deep:  # RGB has lost the lower bits
        for strip in strips(image):
            digest.update(np.asarray(strip, dtype=np.float64).tobytes())
    elif image.has_transparency_data:
        alpha = [strip.convert("RGBA").getchannel("A") for strip in strips(image)]
        if min(part.getextrema()[0] for part in alpha) < 255:
            for part in alpha:
                digest.update(part.tobytes())
    return int.from_bytes(digest.digest(), "big", signed=True)


def encode(image: Image.Image | np.ndarray) -> bytes:
    """Encode an image, or a uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), as PNG; a grey
    image of 32 bits or floating point as TIFF.

    Raises BadInputError for an array of another shape or dtype, and for an image without pixels.
    """
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if 0 in image.size:
        raise BadInputError(f"an image has {image.width} x {image.height} pixels: leave it out.")
    if image.mode in DEPTHS:
        return _encode_deep(image)
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        image = to_rgb(image)  # PNG has no other modes
    return _saved(image, "PNG", compress_level=1)


def _encode_deep(image: Image.Image) -> bytes:
    """Encode all bits of a grey image: as PNG if 16 are enough, else as TIFF."""
    values = np.asarray(image)
    whole = values.dtype.kind in "iu"
    if whole and values.min() >= 0 and values.max() < 1 << 16:
        return _saved(Image.fromarray(values.astype(np.uint16)), "PNG", compress_level=1)
    return _saved(image, "TIFF", compression="tiff_adobe_deflate")


def _saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def data_uri(image: Image.Image, size: int) -> tuple[str, bool]:
    """Return an image as a data URI of at most `size` pixels a side, and whether it is so small
    that the browser should enlarge it with hard edges."""
    small = max(image.size) <= SMALL_SIDE
    image = to_rgb(shrink(image, size))
    if max(image.size) > size:
        image = image.copy()  # to_rgb may return the caller's image
        image.thumbnail((size, size))
    encoded = _saved(image, "PNG" if small else "JPEG", quality=85)
    data = base64.b64encode(encoded).decode()
    return f"data:image/{'png' if small else 'jpeg'};base64,{data}", small


def check_array(array: np.ndarray) -> None:
    """Raise BadInputError unless an array can be encoded as an image."""
    shape = array.shape
    if array.dtype != np.uint8:
        raise BadInputError(
            f"an image array has dtype {array.dtype}: scale it to 0 … 255 and convert it to uint8."
        )
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        turn = len(shape) == 3 and shape[0] in (1, 3, 4)
        fix = "; put the channels last, with array.transpose(1, 2, 0)" if turn else ""
        raise BadInputError(
            f"an image array has shape {shape}: it must be (H, W), (H, W, 1), (H, W, 3) or "
            f"(H, W, 4){fix}."
        )
    if 0 in shape:
        raise BadInputError(f"an image array has shape {shape}, so no pixels: leave it out.")


def _from_array(array: np.ndarray) -> Image.Image:
    check_array(array)
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)
