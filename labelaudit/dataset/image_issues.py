"""Issues of images, from the stored measures of their quality (see `features.quality`).

The definitions follow the image checks that are common in the field (percentiles of perceived
brightness, variance of the Laplacian, entropy of the grey levels, ratio of the sides).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import BadInputError
from ..scores.outlier import OUTLIER
from .arrays import MISSING
from .columns import Frame

TABLE = "quality"
MEASURES = ("shadows", "highlights", "sharpness", "entropy", "colour")
SHAPE_RATIO = 0.35  # shorter side divided by longer side
SIZE_FACTOR = 4.0  # of the median side
RARE = 0.2  # of the images
SMALLEST = 24  # pixels a side; smaller images say nothing about sharpness


@dataclass(frozen=True)
class Issue:
    """A kind of image issue. found: mask, bool (n,), from the measures of all images by name."""

    name: str
    meaning: str
    found: Callable[[dict[str, np.ndarray]], np.ndarray]


ISSUES: dict[str, Issue] = {
    issue.name: issue
    for issue in [
        Issue("dark", "Nearly all of the image is dark.", lambda m: m["highlights"] < 0.32),
        Issue("bright", "Nearly all of the image is white.", lambda m: m["shadows"] > 0.95),
        Issue("blurred", "The image has no sharp edges.", lambda m: _blurred(m)),
        Issue("low information", "The image is nearly one colour.", lambda m: m["entropy"] < 1.5),
        Issue(
            "odd shape",
            "One side is about three times as long as the other.",
            lambda m: (
                np.minimum(m["width"], m["height"])
                < SHAPE_RATIO * np.maximum(m["width"], m["height"])
            ),
        ),
        Issue("odd size", "The image is far smaller or larger than most.", lambda m: _odd_size(m)),
        Issue("grey", "A grey image among coloured ones.", lambda m: m["colour"] < 1.0),
    ]
}


def check_issues(names: Sequence[str]) -> None:
    """Raise BadInputError for a name that is not a kind of issue."""
    for name in names:
        if name not in (*ISSUES, OUTLIER):
            raise BadInputError(
                f"{name!r} is not an image issue: the issues are {', '.join([*ISSUES, OUTLIER])}."
            )


def image_issues(frame: Frame) -> dict[str, np.ndarray]:
    """Return a mask, bool (n,), for each kind of issue, aligned to `frame.ids`.

    Empty if the quality was not measured. A kind of issue that RARE or more of the images have is a
    property of the dataset, and none has it. Cached until the measures change.
    """
    if not frame.exists(TABLE):
        return {}

    def load() -> dict[str, np.ndarray]:
        measures = {name: frame.number(TABLE, name, float("nan")) for name in MEASURES}
        for name in ("width", "height"):
            side = frame.number("samples", name, MISSING).astype(float)
            measures[name] = np.where(side == MISSING, np.nan, side)
        with np.errstate(invalid="ignore"):
            return {name: _rare(issue.found(measures)) for name, issue in ISSUES.items()}

    return frame.derived("image issues", [TABLE, "samples"], load)


def _blurred(measures: dict[str, np.ndarray]) -> np.ndarray:
    """Sharpness far below the usual, in absolute terms and within the dataset."""
    sharp = np.log(np.maximum(measures["sharpness"], 1e-3))
    middle = np.nanmedian(sharp) if np.isfinite(sharp).any() else 0.0
    small = np.maximum(measures["width"], measures["height"]) < SMALLEST
    return (measures["sharpness"] < 3.0) & (sharp < middle - np.log(4.0)) & ~small


def _odd_size(measures: dict[str, np.ndarray]) -> np.ndarray:
    side = np.sqrt(measures["width"] * measures["height"])
    middle = np.nanmedian(side) if np.isfinite(side).any() else 1.0
    return (side * SIZE_FACTOR < middle) | (side > SIZE_FACTOR * middle)


def _rare(found: np.ndarray) -> np.ndarray:
    """Return the mask itself, or an empty one if it is the usual case."""
    return found if len(found) and found.mean() < RARE else np.zeros_like(found)
