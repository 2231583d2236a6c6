"""Samples side by side on one picture, each with its labels: for notebooks and for files."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..core.errors import LabelAuditError
from ..core.images import to_rgb
from .sample import Sample

GAP, LINE, FONT = 8, 15, 12  # pixels between pictures, from line to line, and of a line's letters
PAPER, INK, FAINT = "white", "#222222", "#767676"


def contact_sheet(samples: Sequence[Sample], columns: int, side: int) -> Image.Image:
    """An RGB picture of the samples, row by row: the image fitted into `side` pixels, its id, the
    given class, and the predicted one where that is another."""
    columns = min(columns, len(samples))
    rows = -(-len(samples) // columns)
    width, height = side + GAP, side + 3 * LINE + GAP
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT)
    for i, sample in enumerate(samples):
        x, y = GAP + i % columns * width, GAP + i // columns * height
        try:
            picture = _fitted(sample.image, side)
            sheet.paste(picture, (x + (side - picture.width) // 2, y + side - picture.height))
        except LabelAuditError:  # one that is gone must not take the others away
            draw.rectangle((x, y, x + side, y + side), outline=FAINT)
            draw.text((x + GAP, y + side // 2), "unreadable", FAINT, font)
        for line, (text, colour) in enumerate(_lines(sample)):
            text = _cut(text, font, side)
            draw.text((x, y + side + 2 + line * LINE), text, colour, font)
    return sheet


def _lines(sample: Sample) -> list[tuple[str, str]]:
    given = sample.ground_truth
    lines = [(str(sample.id), FAINT), ("no label" if given is None else f"given {given}", INK)]
    if sample.prediction is not None and sample.prediction.label != given:
        lines.append((f"predicted {sample.prediction.label}", INK))
    return lines


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """Small pictures are enlarged pixel by pixel, so that one sees what the model saw."""
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
