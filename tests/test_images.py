"""Unusual images: the decoded pixels are what a person sees, for every file format."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from labelaudit import load_dataset
from labelaudit.core.images import UnreadableImageError, decode, pixel_hash, to_rgb
from labelaudit.features.image_batches import square_pixels
from labelaudit.ui import images

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def stored(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def seen(data: bytes) -> list[tuple[int, ...]]:
    """The first line of pixels."""
    return [tuple(p) for p in np.asarray(to_rgb(decode("x", data)))[0].tolist()]


def from_rows(rows, mode=None, dtype=np.uint8) -> Image.Image:
    array = np.array(rows, dtype)
    return Image.fromarray(array, mode) if mode else Image.fromarray(array)


def palette() -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([0, 1, 2])
    return image


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (stored(from_rows([[0, 127, 255]])), [(0,) * 3, (127,) * 3, WHITE]),
        (stored(Image.new("1", (2, 1), 1)), [WHITE, WHITE]),
        # alpha: hidden colour never shows, half of it is mixed with white
        (stored(from_rows([[(0, 0, 0, 0), (*RED, 255), (0, 0, 0, 51)]])), [WHITE, RED, (204,) * 3]),
        (stored(from_rows([[(10, 0), (10, 255)]], "LA")), [WHITE, (10,) * 3]),
        (stored(palette()), [RED, GREEN, BLUE]),
        (stored(palette(), transparency=1), [RED, WHITE, BLUE]),
        (stored(palette(), "GIF", transparency=2), [RED, GREEN, WHITE]),
        (stored(from_rows([[RED, GREEN]]), transparency=GREEN), [RED, WHITE]),
        (stored(from_rows([[RED, BLUE]]), "WEBP", lossless=True), [RED, BLUE]),
        (stored(from_rows([[(0, 0, 0, 0), (*BLUE, 255)]]), "WEBP", lossless=True), [WHITE, BLUE]),
        # more than 8 bits: from the least to the greatest value, not clipped at 255
        (stored(from_rows([[0, 32768, 65535]], dtype=np.uint16)), [(0,) * 3, (128,) * 3, WHITE]),
        (stored(from_rows([[100, 150, 200]], dtype=np.uint16)), [(0,) * 3, (128,) * 3, WHITE]),
        (stored(from_rows([[700, 700]], dtype=np.uint16)), [WHITE, WHITE]),
        (stored(from_rows([[0, 0]], dtype=np.uint16)), [(0,) * 3] * 2),
        (stored(from_rows([[0, 32768, 65535]], dtype=np.uint16), "TIFF"),
         [(0,) * 3, (128,) * 3, WHITE]),
        (stored(from_rows([[-1.0, np.nan, 0.0, np.inf, 1.0]], dtype=np.float32), "TIFF"),
         [(0,) * 3, (0,) * 3, (128,) * 3, (0,) * 3, WHITE]),
        (stored(Image.new("CMYK", (2, 1), (0, 255, 255, 0)), "JPEG", quality=100), [RED, RED]),
        (stored(from_rows([[RED, RED]]), "GIF", save_all=True,
                append_images=[Image.new("RGB", (2, 1), BLUE)]), [RED, RED]),  # the first frame
    ],
)  # fmt: skip
def test_any_mode_as_it_is_seen(data, expected):
    assert seen(data) == expected


CORNERS = np.array([[RED, GREEN, GREEN], [BLUE, BLUE, WHITE]], np.uint8)  # no symmetry
# How a picture must be laid into the file so that its EXIF orientation turns it upright again.
LAID = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a), 7: lambda a: np.rot90(a, 2)
    .transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1),
}  # fmt: skip


def turned(orientation: int, kind: str, scale: int = 1) -> bytes:
    large = CORNERS.repeat(scale, 0).repeat(scale, 1)
    laid = Image.fromarray(np.ascontiguousarray(LAID[orientation](large)))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return stored(laid, kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {}))


@pytest.mark.parametrize("orientation", LAID)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_turns_an_image_upright(orientation, kind):
    image = decode("x", turned(orientation, kind))
    np.testing.assert_array_equal(np.asarray(to_rgb(image)), CORNERS)
    assert image.info["full_size"] == (3, 2)


@pytest.mark.parametrize("orientation", LAID)
def test_size_thumbnail_and_training_pixels_are_upright_too(tmp_path, home, orientation):
    (tmp_path / "in/cat").mkdir(parents=True)
    (tmp_path / "in/cat/a.jpg").write_bytes(turned(orientation, "JPEG", scale=100))
    dataset = load_dataset("pets", tmp_path / "in")
    sizes = dataset.view().frame.read("samples", ["width", "height"]).to_pylist()
    assert sizes == [{"width": 300, "height": 200}]  # though a JPEG is checked at a fraction of it
    sample = dataset[1]
    assert sample.image.size == (300, 200)
    assert sample.reduced_image(100).size == (150, 100)  # a JPEG is decoded at a fraction
    (shown,) = images.pictures((str(tmp_path),), [sample], images.THUMBNAIL)
    thumbnail = Image.open(io.BytesIO(base64.b64decode(shown.uri.split(",")[1])))
    assert thumbnail.size == (160, 107)
    for picture in (np.asarray(thumbnail), square_pixels(decode(sample.filepath, draft=32), 32)):
        h, w = picture.shape[:2]
        corners = picture[[h // 4, h // 4, 3 * h // 4, 3 * h // 4], [w // 6, 5 * w // 6] * 2]
        expected = np.array([RED, GREEN, BLUE, WHITE])
        assert np.abs(corners.astype(int) - expected).max() < 20


def test_truncated_images_are_refused_and_hashes_do_not_see_hidden_colour():
    data = stored(Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)))
    with pytest.raises(UnreadableImageError, match="truncated"):
        decode("x", data[:-200])
    hidden = [from_rows([[(*colour, 0), (*RED, 255)]]) for colour in (GREEN, BLUE)]
    assert pixel_hash(hidden[0]) == pixel_hash(hidden[1])
    assert pixel_hash(hidden[0]) != pixel_hash(from_rows([[WHITE, RED]]))  # transparency counts
