"""The batches of a dataset beside each other: what came with each sync, or under each tag."""

from functools import partial

import pandas as pd
import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.export.provenance import download_name
from labelaudit.living.trend import trend, trend_csv, trend_fields
from labelaudit.ui import charts, state
from labelaudit.ui.text import show_error
from labelaudit.ui.total import show_headline

dataset = state.current()
st.title("Trend")
show_headline(dataset)
st.caption(
    "How good the labels of each batch are now: of the first load, and of each sync that added "
    "images. Samples can be compared by tags and own fields instead."
)
SYNCS, TAGS = "loads and syncs", "tags"
how = st.selectbox(
    "Compare",
    [SYNCS, TAGS, *trend_fields(dataset)],
    format_func=lambda name: name if name in (SYNCS, TAGS) else f"values of {name}",
    key=f"trend-by-{dataset.name}",
    help="Own fields of the samples, such as the annotator or the camera, show who or what brings "
    "the errors.",
)
tags = []
if how == TAGS:
    tags = st.multiselect("Tags", list(dataset.info["tags"]), key="trend-tags")


def show(table: pd.DataFrame) -> None:
    charts.trend_of_errors(table)
    columns = ["batch", "added", "labels", "wrong", "low", "high", "share_reviewed", "corrected"]
    number = partial(st.column_config.NumberColumn, format="localized")
    st.dataframe(
        table[[*columns, "outliers", "duplicates"]].round({"wrong": 0, "low": 0, "high": 0}),
        hide_index=True,
        width="stretch",
        column_config={
            **{name: number() for name in ("added", "labels", "corrected")},
            "wrong": number("wrong labels"),
            "low": number("at least"),
            "high": number("at most"),
            "share_reviewed": st.column_config.NumberColumn("reviewed", format="percent"),
        },
    )
    st.header("Labels of each class")
    classes = [name for name in table.columns if name.startswith("labels: ")]
    counts = table[["batch", *classes]].rename(columns=lambda name: name.removeprefix("labels: "))
    st.dataframe(
        counts,
        hide_index=True,
        width="stretch",
        column_config={name: number() for name in counts.columns[1:]},
    )
    st.download_button(
        "Download CSV",
        lambda: trend_csv(table),
        download_name(dataset.view(), f"{dataset.name}-trend", ".csv"),
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


if not dataset.runs:
    st.info("There is no run yet: audit the dataset first.")
    st.page_link("pages/start/home.py", label=f"Audit {dataset.name}", icon=":material/play_arrow:")
else:
    try:
        found = trend(dataset, tags=tags, field=None if how in (SYNCS, TAGS) else how)
    except LabelAuditError as error:
        show_error(error)
    else:
        show(found)
