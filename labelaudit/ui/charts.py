"""Charts that pages share, all drawn from small tables."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from ..ranking.evaluation import RANDOM
from ..ranking.insights import Confusion
from ..scores import SCORES

ACCENT = "#6366f1"
BASELINE = "#9ca3af"
# Okabe and Ito's colours: told apart also by people who see few of them.
PALETTE = ["#6366f1", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"]
CLASS_PALETTE = [*PALETTE, "#84cc16", "#9c6644", "#e11d48", "#8b95a5"]
LIGHTNESS = (0.47, 0.62, 0.54)  # of many classes' colours, in turn: seen on light and on dark
SUSPICION = ["#94a3b8", "#f59e0b", "#dc2626"]  # of a score, from innocent to suspicious
HEIGHT = 240
MAP_HEIGHT = 440
CELL = 30  # pixels a side of a confusion matrix, about
LEGEND_CLASSES = 20  # more are told apart by pointing at them only
SHOWN_TIMES = 3  # precision is drawn up to so many times the number of mistakes


def learning_curves(rows: list[dict]) -> None:
    """Loss, where it is known, and accuracy on learned and held-out samples, by epoch."""
    table = pd.DataFrame(rows)
    accuracy = table.melt(
        "epoch", ["train_accuracy", "validation_accuracy"], "samples", "accuracy"
    ).replace({"train_accuracy": "learned", "validation_accuracy": "held out"})
    accuracy = accuracy.dropna(subset="accuracy")
    left, right = st.columns(2)
    epoch = alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d"))
    if table["loss"].notna().any():
        with left:
            st.markdown("**Loss**")
            chart = alt.Chart(table).mark_line(point={"color": ACCENT}, color=ACCENT)
            _draw(chart.encode(epoch, alt.Y("loss:Q", title=None), tooltip=["epoch", "loss"]))
    else:
        right = left
    with right:
        st.markdown("**Accuracy against the given labels**")
        chart = alt.Chart(accuracy)
        chart = chart.mark_line(point=True).encode(
            epoch,
            alt.Y("accuracy:Q", title=None, axis=alt.Axis(format="%")),
            alt.Color("samples:N", title=None, scale=alt.Scale(range=PALETTE),
                      legend=alt.Legend(orient="bottom-right")),
            tooltip=["epoch", "samples", alt.Tooltip("accuracy", format=".3f")],
        )  # fmt: skip
        _draw(chart)


def class_counts(counts: pd.DataFrame, order: list[str]) -> None:
    """counts: columns class, split, count."""
    angle = -40 if max(map(len, order)) > 6 or len(order) > 30 else 0
    chart = alt.Chart(counts).mark_bar().encode(
        alt.X("class:N", sort=order, title=None, axis=alt.Axis(labelAngle=angle, labelLimit=90)),
        alt.Y("count:Q", title="samples"),
        alt.Color("split:N", title=None, sort=None, scale=alt.Scale(range=PALETTE),
                  legend=alt.Legend(orient="top") if counts["split"].nunique() > 1 else None),
        tooltip=["class", "split", "count"],
    )  # fmt: skip
    _draw(chart)


def precision_curves(curves: pd.DataFrame, mistakes: int, chosen: str) -> None:
    """curves: as `rank.precision_curves` gives them; mistakes: how many there are to find; chosen:
    the score whose line is drawn bold."""
    titles = {name: score.title for name, score in SCORES.items()}
    curves = curves[curves["reviewed"] <= SHOWN_TIMES * mistakes].assign(
        bold=curves["score"] == chosen,
        score=curves["score"].map(lambda name: titles.get(name, name)),
    )
    names = [title for title in titles.values() if title in set(curves["score"])]
    colors = alt.Scale(domain=[*names, RANDOM], range=[*CLASS_PALETTE[: len(names)], BASELINE])
    lines = alt.Chart(curves).mark_line(interpolate="monotone").encode(
        alt.X("reviewed:Q", title="suspects reviewed", scale=alt.Scale(nice=False)),
        alt.Y("precision:Q", title="of which were mistakes", axis=alt.Axis(format="%"),
              scale=alt.Scale(domain=[0, 1])),
        alt.Color("score:N", title=None, scale=colors, legend=alt.Legend(orient="right")),
        alt.StrokeDash("score:N", legend=None, scale=alt.Scale(
            domain=[*names, RANDOM], range=[[1, 0]] * len(names) + [[4, 4]])),
        alt.StrokeWidth("bold:N", legend=None, scale=alt.Scale(
            domain=[False, True], range=[1.5, 4])),
        tooltip=["score", "reviewed", alt.Tooltip("precision", format=".1%")],
    )  # fmt: skip
    there = alt.Chart(pd.DataFrame({"reviewed": [mistakes]})).mark_rule(
        color=BASELINE, strokeDash=[2, 2]
    )
    _draw(lines + there.encode(x="reviewed:Q"), height=300)


def class_colors(classes: Sequence[str]) -> dict[str, str]:
    """A colour for each class, "#rrggbb", by its place in the dataset's list: so a class looks the
    same on every page. Give the whole list, also where only some are drawn."""
    if len(classes) <= len(CLASS_PALETTE):
        return dict(zip(classes, CLASS_PALETTE, strict=False))
    # steps of the golden section: evenly spaced hues, and classes next to each other far apart
    hues = [i * 0.618034 % 1 for i in range(len(classes))]
    shades = [LIGHTNESS[i % len(LIGHTNESS)] for i in range(len(classes))]
    colors = [colorsys.hls_to_rgb(h, light, 0.65) for h, light in zip(hues, shades, strict=True)]
    return {
        name: "#" + "".join(f"{round(255 * part):02x}" for part in color)
        for name, color in zip(classes, colors, strict=True)
    }


def confusion(matrix: Confusion, key: str, clicked: Callable[[], None]) -> None:
    """Given against predicted class. clicked: called when a cell off the diagonal is chosen, then
    in `st.session_state[key]` as `selection.cell`, a list with `given` and `predicted`."""
    names = matrix.classes
    rows, columns = np.nonzero(matrix.counts)
    cells = pd.DataFrame(
        {
            "given": [names[i] for i in rows],
            "predicted": [names[i] for i in columns],
            "samples": matrix.counts[rows, columns],
            "agree": rows == columns,
        }
    )
    most = max(cells.loc[~cells["agree"], "samples"].max(), 1)
    bands = alt.Scale(domain=names, paddingInner=0.06)
    bare = {"labelLimit": 110, "labelOverlap": False, "ticks": False, "domain": False}
    longest = max(map(len, names))
    angle = 0 if longest <= 2 else -40 if longest <= 10 and len(names) <= 10 else -90
    place = {
        "x": alt.X("predicted:N", scale=bands,
                   axis=alt.Axis(labelAngle=angle, orient="top", **bare)),
        "y": alt.Y("given:N", scale=bands, axis=alt.Axis(**bare)),
        "tooltip": ["given", "predicted", alt.Tooltip("samples", format=",")],
    }  # fmt: skip
    right = alt.Chart(cells[cells["agree"]]).mark_rect(color=BASELINE, opacity=0.15)
    wrong = alt.Chart(cells[~cells["agree"]]).mark_rect(cursor="pointer", cornerRadius=3)
    cell = alt.selection_point("cell", fields=["given", "predicted"], on="click", clear=False)
    color = alt.Color("samples:Q", legend=None, scale=alt.Scale(
        type="sqrt", domain=[0, int(most)], range=["#6366f114", ACCENT]))  # fmt: skip
    numbers = alt.Chart(cells).mark_text(fontSize=11, cursor="pointer").encode(
        text=alt.Text("samples:Q", format=",.3~s" if most > 999 else ","),
        color=alt.condition(f"!datum.agree && datum.samples > {most / 4}", alt.value("white"),
                            alt.value("#d1d5db" if _dark() else "#374151")),
        opacity=alt.condition("datum.agree", alt.value(0.5), alt.value(1)),
        **place,
    )  # fmt: skip
    chart = right.encode(**place) + wrong.encode(color, **place).add_params(cell) + numbers
    _draw(
        chart,
        CELL * len(names) + (90 if angle > -90 else 160),
        key=key,
        on_select=clicked,
        selection_mode=["cell"],
    )


def sample_map(
    points: pd.DataFrame, color: str, classes: Sequence[str], axes: tuple[str, str] | None, key: str
) -> np.ndarray:
    """Samples as dots. Returns the ids of those that are chosen: in a box that is drawn, or one
    that is clicked; int64 (n,), none of them for nothing.

    points: columns id, x, y, given, predicted, suspect (drawn larger) and, where `color` is not
    "given", that score. classes: of the dataset. axes: titles; None where places mean nothing.
    """
    score = None if color == "given" else color
    shown = ["id", "x", "y", "given", "predicted", "suspect", *([score] if score else [])]
    table = points[shown].sort_values("suspect", kind="stable")  # these are drawn last, on top
    colors = class_colors(classes)
    named = [name for name in classes if name in set(table["given"])]
    legend = alt.Legend(orient="right", symbolOpacity=1) if len(named) <= LEGEND_CLASSES else None
    hue = alt.Color("given:N", title="given", legend=legend, scale=alt.Scale(
        domain=named, range=[colors[name] for name in named]))  # fmt: skip
    if score:
        hue = alt.Color(f"{score}:Q", title=SCORES[score].title, scale=alt.Scale(
            range=SUSPICION, interpolate="rgb"), legend=alt.Legend(orient="right"))  # fmt: skip
    titles = axes or (None, None)
    bare = {} if axes else {"labels": False, "ticks": False, "domain": False, "grid": False}
    domains = [_with_margin(table[column]) for column in ("x", "y")]
    box = alt.selection_interval("box", encodings=["x", "y"])
    dot = alt.selection_point("dot", fields=["id"], on="click")
    chart = alt.Chart(table).mark_circle().encode(
        alt.X("x:Q", title=titles[0], axis=alt.Axis(**bare), scale=alt.Scale(domain=domains[0])),
        alt.Y("y:Q", title=titles[1], axis=alt.Axis(**bare), scale=alt.Scale(domain=domains[1])),
        hue,
        size=alt.condition("datum.suspect", alt.value(55), alt.value(22)),
        opacity=alt.condition("datum.suspect", alt.value(0.95), alt.value(0.5)),
        tooltip=["id", "given", "predicted", *([alt.Tooltip(score, format=".3f")] if score else
                 [])],
    ).add_params(box, dot)  # fmt: skip
    chart = chart.properties(usermeta={"embedOptions": {"renderer": "canvas"}})  # SVG drags slowly
    event = _draw(chart, MAP_HEIGHT, key=key, on_select="rerun")
    return chosen_points(points, event.selection)


def chosen_points(points: pd.DataFrame, selection: dict) -> np.ndarray:
    """Ids of the points that a map's selection means."""
    if dots := selection.get("dot"):
        return np.array([dot["id"] for dot in dots], np.int64)
    box = selection.get("box")
    if not box:
        return np.empty(0, np.int64)
    inside = points["x"].between(*sorted(box["x"])) & points["y"].between(*sorted(box["y"]))
    return points.loc[inside, "id"].to_numpy(np.int64)


def _dark() -> bool:
    return st.context.theme.type == "dark"


def _with_margin(values: pd.Series) -> list[float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 1.0
    return [low - margin, high + margin]


def _draw(chart: alt.Chart, height: int = HEIGHT, **options):
    return st.altair_chart(chart.properties(height=height), width="stretch", **options)
