"""A map of samples with lasso and box selection. Its images are sent when the browser asks."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import streamlit as st

from ..dataset.view import View
from ..scores import SCORES
from . import grid
from .charts import class_colors
from .component import component
from .images import pictures
from .review_address import SAMPLE

GIVEN = "given"  # a way to colour the dots; others are names of scores
LEGEND_CLASSES = 20  # with more classes there is no legend
SUSPICION = ("#94a3b8", "#f59e0b", "#dc2626")  # from low to high scores
UNKNOWN = "#94a3b8"  # of a dot without a label or a score
SHADES = 32  # of scores
ASKED = 100  # images sent at once
TICKS = 5  # about so many on an axis
MARGIN = 0.02  # around the dots, as a share of the axis

_draw = component("sample_map", "map_plot")


def show(
    view: View, points: pd.DataFrame, color: str, axes: tuple[str, str] | None, key: str
) -> np.ndarray:
    """Draw samples as dots. Returns the ids of the selected ones, int64 (n,).

    points: columns id, x, y, given, predicted, suspect (drawn larger) and the scores of the view;
    sorted, most suspicious first. color: GIVEN or a score. axes: titles; None if the coordinates
    have no meaning. key: of the component; another key is needed for other points.
    """
    asked = (st.session_state.get(key) or {}).get("ask") or {}
    chosen = (st.session_state.get(key) or {}).get("selected") or []
    selected = points["id"][points["id"].isin([int(sample_id) for sample_id in chosen])]
    data = {
        "version": f"{key}-{color}-{view.fields.stamp()}",
        "selected": selected.tolist(),
        "query": f"{urlencode(grid.review_address(view))}&{SAMPLE}=",  # of reviewing an id
        "pictures": _pictures(view, points, asked.get("ids") or []),
    }
    if asked.get("points"):  # large, so it is sent once and stays in the browser
        data["points"] = drawn(points, color, view.fields.classes, axes)
    _draw(key=key, data=data, on_ask_change=lambda: None, on_selected_change=lambda: None)
    return selected.to_numpy(np.int64)


def drawn(
    points: pd.DataFrame, color: str, classes: Sequence[str], axes: tuple[str, str] | None
) -> dict:
    """Return what the browser draws: columns of equal length, names, colours and ticks.

    Coordinates are from 0 to 1. `given` and `suggested` are indices of `names`, -1 for none.
    """
    names = list(dict.fromkeys([*classes, *points["predicted"].dropna()]))
    index = pd.Series(range(len(names)), names)
    given, suggested = (
        points[column].map(index).fillna(-1).astype(int) for column in ("given", "predicted")
    )
    (x, x_ticks), (y, y_ticks) = (_scaled(points[axis].to_numpy(float)) for axis in ("x", "y"))
    found = {
        "id": points["id"].tolist(),
        "x": x,
        "y": y,
        "given": given.tolist(),
        "suggested": suggested.tolist(),
        "suspect": points["suspect"].astype(int).tolist(),
        "names": names,
        "axes": axes
        and {
            "x": {"title": axes[0], "ticks": x_ticks},
            "y": {"title": axes[1], "ticks": y_ticks},
        },
    }
    if color == GIVEN:
        return found | _by_class(given, names)
    return found | _by_score(points[color].to_numpy(float), SCORES[color].title)


def _by_class(given: pd.Series, names: list[str]) -> dict:
    colors = class_colors(names)
    shown = [i for i in range(len(names)) if (given == i).any()]
    few = len(shown) <= LEGEND_CLASSES
    legend = [{"name": names[i], "index": i, "color": colors[names[i]]} for i in shown]
    return {
        "palette": [*colors.values(), UNKNOWN],
        "color": given.where(given >= 0, len(names)).tolist(),
        "legend": {"classes": legend if few else []},
    }


def _by_score(values: np.ndarray, title: str) -> dict:
    known = np.isfinite(values)
    low, high = (values[known].min(), values[known].max()) if known.any() else (0.0, 1.0)
    share = np.where(known, (values - low) / max(high - low, 1e-12), 0)
    shade = np.where(known, np.round(share * (SHADES - 1)), SHADES).astype(int)
    return {
        "palette": [*_shades(), UNKNOWN],
        "color": shade.tolist(),
        "legend": {"colors": list(SUSPICION), "low": f"{low:.2f}", "high": f"{high:.2f}"},
        "value": [round(v, 4) if ok else None for v, ok in zip(values, known, strict=True)],
        "title": title,
    }


def _shades() -> list[str]:
    """Return SHADES colours "#rrggbb" between those of SUSPICION."""
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in SUSPICION])
    at = np.linspace(0, len(stops) - 1, SHADES)
    parts = [np.interp(at, range(len(stops)), stops[:, i]).round().astype(int) for i in range(3)]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in zip(*parts, strict=True)]


def _scaled(values: np.ndarray) -> tuple[list[float], list[tuple[float, str]]]:
    """Return values scaled to 0 to 1 with a margin, and (place, text) of ticks at round values."""
    low, high = values.min(), values.max()
    span = (high - low) or 1.0
    start, width = low - MARGIN * span, (1 + 2 * MARGIN) * span
    raw = span / TICKS
    unit = 10.0 ** np.floor(np.log10(raw))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= raw * 0.999)
    at = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step + 0.0
    return ((values - start) / width).round(4).tolist(), [
        (round((value - start) / width, 4), f"{value:g}") for value in at.round(12).tolist()
    ]


def _pictures(view: View, points: pd.DataFrame, asked: list) -> list[tuple[int, dict | None]]:
    """Return (id, image) of the asked samples; None for an image that cannot be read."""
    ids = points["id"][points["id"].isin([int(each) for each in asked[:ASKED]])].to_numpy(np.int64)
    if not len(ids):
        return []
    samples = view.samples(ids)
    source = (view.frame.uri, view.frame.meta["created"])
    return [
        (sample.id, {"uri": picture.uri, "small": picture.small} if picture.uri else None)
        for sample, picture in zip(samples, pictures(source, samples), strict=True)
    ]
