"""Charts as SVG, for a page without scripts. Colours are CSS variables of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from ..ranking.evaluation import RANDOM
from ..ranking.insights import Confusion
from ..scores import SCORES

WIDTH = 920
LABEL_LENGTH = 22  # characters of a class name
MAX_CURVES = 5  # precision curves, not counting random order
SHOWN_TIMES = 3  # precision is drawn up to this multiple of the number of mistakes


def intervals(rows: Sequence[dict], name: str = "name") -> Markup:
    """Draw a bar per row for `wrong`, with a whisker from `low` to `high`, and `found` darker."""
    left, right, step = _margin(row[name] for row in rows), 150, 26
    most = max(max(row["high"] for row in rows), 1)
    scale = (WIDTH - left - right) / most
    parts = []
    for i, row in enumerate(rows):
        y = i * step
        low, high = left + row["low"] * scale, left + row["high"] * scale
        parts += [
            _text(left - 10, y + 17, _short(row[name]), "end"),
            _rect(left, y + 5, row["wrong"] * scale, 16, "bar"),
            _rect(left, y + 5, min(row["found"], row["wrong"]) * scale, 16, "found"),
            f'<path class="whisker" d="M{low:.1f} {y + 13}H{high:.1f}M{low:.1f} {y + 9}v8'
            f'M{high:.1f} {y + 9}v8"/>',
            _text(high + 8, y + 17, f"{row['wrong']:,.0f}", cls="value"),
            _text(WIDTH, y + 17, f"{row['low']:,.0f} to {row['high']:,.0f}", "end", "faint"),
        ]
    return _svg(len(rows) * step + 6, parts, "Estimated wrong labels, with 95% intervals")


def histogram(values: np.ndarray, boundary: float | None, title: str, bins: int = 46) -> Markup:
    """Draw the distribution of a score; bars above the boundary have a strong colour.

    The height is logarithmic, because most samples are not suspect. values: float (n,), finite.
    """
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    counts, edges = np.histogram(values, bins, (low, high if high > low else low + 1))
    left, bottom, height = 62, 200, 180
    top = math.log10(1 + counts.max())
    scale, width = height / max(top, 1e-9), (WIDTH - left - 10) / bins
    parts = []
    for power in range(int(top) + 1):
        y = bottom - math.log10(1 + 10**power) * scale
        parts += [
            f'<path class="grid" d="M{left} {y:.1f}H{WIDTH}"/>',
            _text(left - 8, y + 4, f"{10**power:,}", "end", "faint"),
        ]
    for i, count in enumerate(counts.tolist()):
        bar = math.log10(1 + count) * scale
        middle = (edges[i] + edges[i + 1]) / 2
        suspect = boundary is not None and middle > boundary
        parts.append(
            _rect(
                left + i * width + 1, bottom - bar, width - 2, bar, "found" if suspect else "calm"
            )
        )
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = left + share * (WIDTH - left - 10)
        parts.append(_text(x, bottom + 20, f"{low + share * (high - low):.2g}", "middle", "faint"))
    parts.append(_text((left + WIDTH) / 2, bottom + 42, title, "middle"))
    return _svg(bottom + 52, parts, f"Distribution of {title}")


def confusion(matrix: Confusion) -> Markup:
    """Draw a confusion matrix: rows are given classes, columns are predicted classes."""
    names, counts = matrix.classes, matrix.counts
    n = len(names)
    longest = max(len(_short(name)) for name in names)
    left = 46 + _margin(names)
    upright = longest > 3
    top = 44 + (6.2 * longest if upright else 0)
    cell = min((WIDTH - left) / n, 46)
    off = counts - np.diag(np.diag(counts))
    most = max(off.max(), 1)
    parts = [
        _text(left, 12, "predicted →", cls="faint"),
        _text(left - 8, top - 8, "given ↓", "end", "faint"),
    ]
    for i, name in enumerate(map(_short, names)):
        x, y = left + (i + 0.5) * cell, top + (i + 0.5) * cell
        turn = f' transform="rotate(-50 {x:.1f} {top - 8:.1f})"' if upright else ""
        parts += [
            _text(left - 8, y + 4, name, "end"),
            _text(x, top - 8, name, "start" if upright else "middle", more=turn),
        ]
    for i, j in np.argwhere(counts).tolist():
        x, y = left + j * cell, top + i * cell
        share = math.sqrt(off[i, j] / most)
        style = (
            'class="agree"' if i == j else f'class="wrong" fill-opacity="{0.08 + 0.92 * share:.3f}"'
        )
        parts.append(
            f'<rect {style} x="{x + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2:.1f}" '
            f'height="{cell - 2:.1f}" rx="3"/>'
        )
        if cell >= 26:
            cls = "light" if i != j and share > 0.55 else "faint" if i == j else "value"
            parts.append(
                _text(
                    x + cell / 2, y + cell / 2 + 4, _compact(counts[i, j]), "middle", f"small {cls}"
                )
            )
    return _svg(top + n * cell + 4, parts, "Given against predicted class")


def curves(points: pd.DataFrame, mistakes: int, best: Sequence[str]) -> Markup:
    """Draw precision against the number of reviewed samples.

    points: as from `ranking.precision_curves`. mistakes: the number of planted mistakes. best:
    scores, best first; the first MAX_CURVES and random order are drawn.
    """
    left, right, top, bottom = 62, 190, 14, 240
    end = min(SHOWN_TIMES * mistakes, int(points["reviewed"].max()))
    width, height = WIDTH - left - right, bottom - top
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y, x = bottom - share * height, left + share * width
        parts += [
            f'<path class="grid" d="M{left} {y:.1f}h{width}"/>',
            _text(left - 8, y + 4, f"{share:.0%}", "end", "faint"),
            _text(x, bottom + 20, f"{share * end:,.0f}", "middle", "faint"),
        ]
    names = [*best[:MAX_CURVES], RANDOM]
    for i, name in reversed(list(enumerate(names))):
        line = points[(points["score"] == name) & (points["reviewed"] <= end)]
        xs, ys = left + line["reviewed"] / end * width, bottom - line["precision"] * height
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        cls = "random" if name == RANDOM else f"line c{i}"
        title = SCORES[name].title if name in SCORES else name
        y = top + 10 + i * 22
        parts += [
            f'<polyline class="{cls}" points="{path}"/>',
            f'<path class="{cls}" d="M{WIDTH - right + 24} {y}h22"/>',
            _text(WIDTH - right + 54, y + 4, title),
        ]
    x = left + mistakes / end * width
    parts += [
        f'<path class="random" d="M{x:.1f} {top}V{bottom}"/>',
        _text(left + width / 2, bottom + 42, "suspects reviewed", "middle"),
    ]
    return _svg(bottom + 52, parts, "Precision against number reviewed")


def _svg(height: float, parts: list[str], title: str) -> Markup:
    frame = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
    return Markup(frame + "".join(map(str, parts)) + "</svg>")


def _rect(x: float, y: float, width: float, height: float, cls: str) -> str:
    return (
        f'<rect class="{cls}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" '
        f'height="{max(height, 0):.1f}" rx="2"/>'
    )


def _text(x: float, y: float, text, anchor: str = "start", cls: str = "", more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{cls}"{more}>'
        f"{escape(text)}</text>"
    )


def _margin(names: Iterable) -> float:
    """Return the approximate width of the names at the left."""
    return 16 + 7.2 * max(len(_short(name)) for name in names)


def _short(name) -> str:
    text = "none" if name is None else str(name)
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"


def _compact(count: int) -> str:
    return f"{count:,}" if count < 1000 else f"{count / 1000:.3g}k"
