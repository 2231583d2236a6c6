"""Draws samples with their labels on one image, for notebooks and files."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..core.errors import LabelAuditError
from ..core.images import to_rgb
from .sample import Sample

GAP = 8  # pixels between two images
LINE_HEIGHT = 15  # pixels
FONT_SIZE = 12  # pixels
BACKGROUND, DARK, GREY = "white", "#222222", "#767676"


def contact_sheet(samples: Sequence[Sample], columns: int, side: int) -> Image.Image:
    """Draw the samples row by row on an RGB image.

    Below each image, fitted into `side` pixels, are its id, the given class, and the predicted
    class if it differs.
    """
    columns = min(columns, len(samples))
    rows = -(-len(samples) // columns)
    width, height = side + GAP, side + 3 * LINE_HEIGHT + GAP
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for i, sample in enumerate(samples):
        x, y = GAP + i % columns * width, GAP + i // columns * height
        try:
            picture = _fitted(sample.image, side)
            sheet.paste(picture, (x + (side - picture.width) // 2, y + side - picture.height))
        except LabelAuditError:  # a missing image must not hide the others
            draw.rectangle((x, y, x + side, y + side), outline=GREY)
            draw.text((x + GAP, y + side // 2), "unreadable", GREY, font)
        for line, (text, colour) in enumerate(_lines(sample)):
            text = _cut(text, font, side)
            draw.text((x, y + side + 2 + line * LINE_HEIGHT), text, colour, font)
    return sheet


def _lines(sample: Sample) -> list[tuple[str, str]]:
    given = sample.ground_truth
    lines = [(str(sample.id), GREY), ("no label" if given is None else f"given {given}", DARK)]
    if sample.prediction is not None and sample.prediction.label != given:
        lines.append((f"predicted {sample.prediction.label}", DARK))
    return lines


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """Fit an image into a square. Small ones are enlarged with hard edges, to show what the model
    sees."""
    picture, longest = to_rgb(picture), max(picture.size)
    if longest <= side:
        times = side // longest
        return picture.resize([length * times for length in picture.size], Image.Resampling.NEAREST)
    return ImageOps.contain(picture, (side, side))


def _cut(text: str, font: ImageFont.ImageFont, width: int) -> str:
    text = " ".join(text.split())  # on one line
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
