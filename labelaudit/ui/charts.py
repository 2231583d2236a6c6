"""Charts that pages share, all drawn from small tables."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from ..rank import RANDOM
from ..scores import SCORES

ACCENT = "#6366f1"
BASELINE = "#9ca3af"
# Okabe and Ito's colours: told apart also by people who see few of them.
PALETTE = ["#6366f1", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"]
HEIGHT = 240
SHOWN_TIMES = 3  # precision is drawn up to so many times the number of mistakes


def learning_curves(rows: list[dict]) -> None:
    """Loss, and accuracy on learned and held-out samples, by epoch."""
    table = pd.DataFrame(rows)
    accuracy = table.melt(
        "epoch", ["train_accuracy", "validation_accuracy"], "samples", "accuracy"
    ).replace({"train_accuracy": "learned", "validation_accuracy": "held out"})
    left, right = st.columns(2)
    epoch = alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d"))
    with left:
        st.markdown("**Loss**")
        chart = alt.Chart(table).mark_line(point={"color": ACCENT}, color=ACCENT)
        _draw(chart.encode(epoch, alt.Y("loss:Q", title=None), tooltip=["epoch", "loss"]))
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
    colors = alt.Scale(domain=[*names, RANDOM], range=[*PALETTE[: len(names)], BASELINE])
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


def _draw(chart: alt.Chart, height: int = HEIGHT) -> None:
    st.altair_chart(chart.properties(height=height), width="stretch")


def class_colors(classes: list[str]) -> dict[str, str]:
    return {name: f"hsl({i * 137.5 % 360:.0f} 65% 55%)" for i, name in enumerate(classes)}
