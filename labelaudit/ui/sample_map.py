"""A map of samples with lasso and box selection. Its images are sent when the browser asks."""

from __future__ import annotations

import base64
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
MOST_COORDINATE = 65_535
COLUMNS = ("id", "x", "y", "given", "suggested", "suspect", "color", "value")

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
        "query": f"{urlencode(grid.review_address(view))}&{SAMPLE}=",  # of reviewing an id
        "pictures": _pictures(view, points, asked.get("ids") or []),
    }
    if asked.get("points"):  # large, so it is sent once and stays in the browser
        data["points"] = packed(drawn(points, color, view.fields.classes, axes))
        data["selected"] = selected.tolist()
    _draw(key=key, data=data, on_ask_change=lambda: None, on_selected_change=lambda: None)
    return selected.to_numpy(np.int64)


def drawn(
    points: pd.DataFrame, color: str, classes: Sequence[str], axes: tuple[str, str] | None
) -> dict:
    """Return what the browser draws: arrays of equal length, names, colours and ticks.

    Coordinates are from 0 to 1. `given` and `suggested` are indices of `names`, -1 for none.
    `color` is an index of `palette`; `value` is NaN for none.
    """
    names = list(dict.fromkeys([*classes, *points["predicted"].dropna()]))
    index = pd.Series(range(len(names)), names)
    given, suggested = (
        points[column].map(index).fillna(-1).to_numpy(int) for column in ("given", "predicted")
    )
    (x, x_ticks), (y, y_ticks) = (_scaled(points[axis].to_numpy(float)) for axis in ("x", "y"))
    found = {
        "id": points["id"].to_numpy(),
        "x": x,
        "y": y,
        "given": given,
        "suggested": suggested,
        "suspect": points["suspect"].to_numpy(),
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


def packed(found: dict) -> dict:
    """Return what `drawn` returns in a form that is sent quickly: the arrays are in "columns", as
    {"kind", "base64"} of little-endian numbers, coordinates as whole numbers up to MOST_COORDINATE.
    """
    columns = {}
    for name in COLUMNS:
        if name in found:
            kind = {"x": "uint16", "y": "uint16", "value": "float32"}.get(name)
            kind = kind or _smallest_kind(found[name])
            values = np.round(found[name] * MOST_COORDINATE) if name in "xy" else found[name]
            data = values.astype(np.dtype(kind).newbyteorder("<")).tobytes()
            columns[name] = {"kind": kind, "base64": base64.b64encode(data).decode()}
    rest = {name: value for name, value in found.items() if name not in COLUMNS}
    return rest | {"columns": columns}


def _smallest_kind(values: np.ndarray) -> str:
    """Return the smallest type of whole numbers that holds all of them and that a browser has an
    array of; assets/map_plot.js knows the same ones."""
    low, high = int(values.min()), int(values.max())
    kinds = ("int8", "int16", "int32")
    fit = (kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return next(fit, "float64")


def _by_class(given: np.ndarray, names: list[str]) -> dict:
    colors = class_colors(names)
    shown = [i for i in range(len(names)) if (given == i).any()]
    few = len(shown) <= LEGEND_CLASSES
    legend = [{"name": names[i], "index": i, "color": colors[names[i]]} for i in shown]
    return {
        "palette": [*colors.values(), UNKNOWN],
        "color": np.where(given >= 0, given, len(names)),
        "legend": {"classes": legend if few else []},
    }


def _by_score(values: np.ndarray, title: str) -> dict:
    known = np.isfinite(values)
    low, high = (values[known].min(), values[known].max()) if known.any() else (0.0, 1.0)
    share = np.where(known, (values - low) / max(high - low, 1e-12), 0)
    shade = np.where(known, np.round(share * (SHADES - 1)), SHADES).astype(int)
    return {
        "palette": [*_shades(), UNKNOWN],
        "color": shade,
        "legend": {"colors": list(SUSPICION), "low": f"{low:.2f}", "high": f"{high:.2f}"},
        "value": np.where(known, values, np.nan),
        "title": title,
    }


def _shades() -> list[str]:
    """Return SHADES colours "#rrggbb" between those of SUSPICION."""
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in SUSPICION])
    at = np.linspace(0, len(stops) - 1, SHADES)
    parts = [np.interp(at, range(len(stops)), stops[:, i]).round().astype(int) for i in range(3)]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in zip(*parts, strict=True)]


def _scaled(values: np.ndarray) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Return values scaled to 0 to 1 with a margin, and (place, text) of ticks at round values."""
    low, high = values.min(), values.max()
    span = (high - low) or 1.0
    start, width = low - MARGIN * span, (1 + 2 * MARGIN) * span
    raw = span / TICKS
    unit = 10.0 ** np.floor(np.log10(raw))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= raw * 0.999)
    at = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step + 0.0
    return (values - start) / width, [
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
