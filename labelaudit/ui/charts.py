"""The app's charts, drawn with Altair from small tables."""

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
# Based on the colours of Okabe and Ito, which people with colour blindness can distinguish.
PALETTE = ["#6366f1", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"]
CLASS_PALETTE = [*PALETTE, "#84cc16", "#9c6644", "#e11d48", "#8b95a5"]
LIGHTNESS = (0.47, 0.62, 0.54)  # alternating, readable on light and dark backgrounds
HEIGHT = 240
CELL = 30  # approximate side length of a cell of the confusion matrix, in pixels
SHOWN_TIMES = 3  # precision is drawn up to this multiple of the number of mistakes


def learning_curves(rows: list[dict]) -> None:
    """Draw the loss, if known, and the accuracy on training and held-out samples, by epoch."""
    table = pd.DataFrame(rows)
    accuracy = table.melt(
        "epoch", ["train_accuracy", "validation_accuracy"], "samples", "accuracy"
    ).replace({"train_accuracy": "training", "validation_accuracy": "held out"})
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
            alt.Color(
                "samples:N",
                title=None,
                scale=alt.Scale(range=PALETTE),
                legend=alt.Legend(orient="bottom-right"),
            ),
            tooltip=["epoch", "samples", alt.Tooltip("accuracy", format=".3f")],
        )
        _draw(chart)


def class_counts(counts: pd.DataFrame, order: list[str]) -> None:
    """Draw the class sizes. counts: columns class, split, count."""
    angle = -40 if max(map(len, order)) > 6 or len(order) > 30 else 0
    chart = (
        alt.Chart(counts)
        .mark_bar()
        .encode(
            alt.X(
                "class:N", sort=order, title=None, axis=alt.Axis(labelAngle=angle, labelLimit=90)
            ),
            alt.Y("count:Q", title="samples"),
            alt.Color(
                "split:N",
                title=None,
                sort=None,
                scale=alt.Scale(range=PALETTE),
                legend=alt.Legend(orient="top") if counts["split"].nunique() > 1 else None,
            ),
            tooltip=["class", "split", "count"],
        )
    )
    _draw(chart)


def precision_curves(curves: pd.DataFrame, mistakes: int, chosen: str) -> None:
    """Draw precision against the number of reviewed suspects, for every score.

    curves: from `ranking.precision_curves`. mistakes: number of planted mistakes. chosen: the score
    with a bold line.
    """
    titles = {name: score.title for name, score in SCORES.items()}
    curves = curves[curves["reviewed"] <= SHOWN_TIMES * mistakes].assign(
        bold=curves["score"] == chosen,
        score=curves["score"].map(lambda name: titles.get(name, name)),
    )
    names = [title for title in titles.values() if title in set(curves["score"])]
    colors = alt.Scale(domain=[*names, RANDOM], range=[*CLASS_PALETTE[: len(names)], BASELINE])
    lines = (
        alt.Chart(curves)
        .mark_line(interpolate="monotone")
        .encode(
            alt.X("reviewed:Q", title="suspects reviewed", scale=alt.Scale(nice=False)),
            alt.Y(
                "precision:Q",
                title="share of mistakes",
                axis=alt.Axis(format="%"),
                scale=alt.Scale(domain=[0, 1]),
            ),
            alt.Color("score:N", title=None, scale=colors, legend=alt.Legend(orient="right")),
            alt.StrokeDash(
                "score:N",
                legend=None,
                scale=alt.Scale(domain=[*names, RANDOM], range=[[1, 0]] * len(names) + [[4, 4]]),
            ),
            alt.StrokeWidth(
                "bold:N", legend=None, scale=alt.Scale(domain=[False, True], range=[1.5, 4])
            ),
            tooltip=["score", "reviewed", alt.Tooltip("precision", format=".1%")],
        )
    )
    total = alt.Chart(pd.DataFrame({"reviewed": [mistakes]})).mark_rule(
        color=BASELINE, strokeDash=[2, 2]
    )
    _draw(lines + total.encode(x="reviewed:Q"), height=300)


def class_colors(classes: Sequence[str]) -> dict[str, str]:
    """Return a colour "#rrggbb" for each class, by its index in the list.

    Always pass all classes of the dataset, so that a class has the same colour on every page.
    """
    if len(classes) <= len(CLASS_PALETTE):
        return dict(zip(classes, CLASS_PALETTE, strict=False))
    # golden-ratio steps: evenly spaced hues that differ much between adjacent classes
    hues = [i * 0.618034 % 1 for i in range(len(classes))]
    shades = [LIGHTNESS[i % len(LIGHTNESS)] for i in range(len(classes))]
    colors = [colorsys.hls_to_rgb(h, light, 0.65) for h, light in zip(hues, shades, strict=True)]
    return {
        name: "#" + "".join(f"{round(255 * part):02x}" for part in color)
        for name, color in zip(classes, colors, strict=True)
    }


def confusion(matrix: Confusion, key: str, clicked: Callable[[], None]) -> None:
    """Draw given against predicted class.

    clicked: called when a cell is clicked. `st.session_state[key].selection.cell` is then a list
    with its `given` and `predicted` class.
    """
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
    encoding = {
        "x": alt.X(
            "predicted:N", scale=bands, axis=alt.Axis(labelAngle=angle, orient="top", **bare)
        ),
        "y": alt.Y("given:N", scale=bands, axis=alt.Axis(**bare)),
        "tooltip": ["given", "predicted", alt.Tooltip("samples", format=",")],
    }
    right = alt.Chart(cells[cells["agree"]]).mark_rect(color=BASELINE, opacity=0.15)
    wrong = alt.Chart(cells[~cells["agree"]]).mark_rect(cursor="pointer", cornerRadius=3)
    cell = alt.selection_point("cell", fields=["given", "predicted"], on="click", clear=False)
    color = alt.Color(
        "samples:Q",
        legend=None,
        scale=alt.Scale(type="sqrt", domain=[0, int(most)], range=[f"{ACCENT}14", f"{ACCENT}cc"]),
    )
    numbers = (
        alt.Chart(cells)
        .mark_text(fontSize=11, cursor="pointer")
        .encode(
            text=alt.Text("samples:Q", format=",.3~s" if most > 999 else ","),
            color=alt.value("#f3f4f6" if _dark() else "#111827"),
            opacity=alt.condition("datum.agree", alt.value(0.7), alt.value(1)),
            **encoding,
        )
    )
    chart = right.encode(**encoding) + wrong.encode(color, **encoding).add_params(cell) + numbers
    _draw(
        chart,
        CELL * len(names) + (90 if angle > -90 else 160),
        key=key,
        on_select=clicked,
        selection_mode=["cell"],
    )


def trend_of_errors(table: pd.DataFrame) -> None:
    """Draw the share of wrong labels of each batch with its interval. table: of `living.trend`."""
    batch = alt.X("batch:N", title=None, sort=list(table["batch"]), axis=alt.Axis(labelAngle=-30))
    share = alt.Axis(format="%")
    base = alt.Chart(table[["batch", "labels", "share_low", "share_wrong", "share_high"]])
    bounds = base.mark_rule(color=BASELINE, strokeWidth=2).encode(
        batch, alt.Y("share_low:Q", title="wrong labels", axis=share), alt.Y2("share_high:Q")
    )
    tooltip = ["batch", "labels", alt.Tooltip("share_wrong", format=".2%")]
    points = base.mark_point(color=ACCENT, filled=True, size=70, opacity=1)
    _draw(bounds + points.encode(batch, alt.Y("share_wrong:Q", axis=share), tooltip=tooltip))


def _dark() -> bool:
    return st.context.theme.type == "dark"


def _draw(chart: alt.Chart, height: int = HEIGHT, **options):
    # Streamlit's grey has a contrast of 3.7 : 1 in the light theme
    words = {} if _dark() else {"labelColor": "#595d6b", "titleColor": "#595d6b"}
    chart = chart.configure_axis(**words).configure_legend(**words)
    return st.altair_chart(chart.properties(height=height), width="stretch", **options)
