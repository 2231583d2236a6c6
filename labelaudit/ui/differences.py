"""Preview of label changes: counts by class pair, and the images of the selected pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from ..dataset.dataset import Dataset
from ..review.apply import class_pair_counts
from . import grid


def differences(
    dataset: Dataset,
    wanted,
    key: str,
    others: list[tuple[str, np.ndarray]],
    new_classes: Sequence[str] = (),
) -> None:
    """Draw the preview.

    wanted: has `relabel`, `before` and `after`, as `review.apply.Decisions` does. others: other
    changes as (name, ids). key: prefix of the widget keys.
    """
    pairs = class_pair_counts(dataset, wanted, new_classes)
    table = pairs.rename(columns={"ground_truth": "labelled"})
    others = [(name, ids) for name, ids in others if len(ids)]
    rows = [{"labelled": "any class", "becomes": name, "count": len(ids)} for name, ids in others]
    table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True) if rows else table
    both = st.container(horizontal=True, gap="medium")  # stacked in a narrow window
    with both.container(width=320):
        selection = st.dataframe(
            table,
            hide_index=True,
            width="stretch",
            on_select="rerun",
            # The selection is a row number, so it must not outlive this table.
            key=f"{key}-pairs-{hash(table.to_json())}",
            selection_mode="single-row-required",
            column_config={"count": st.column_config.NumberColumn("images", format="localized")},
        )
    row = (selection["selection"]["rows"] or [0])[0]
    with both.container(width=690):
        if row >= len(pairs):
            ids = others[row - len(pairs)][1]
        else:
            names = [*dataset.classes, *new_classes, None]
            codes = [names.index(pairs[name][row]) for name in ("ground_truth", "becomes")]
            codes = [-1 if names[code] is None else code for code in codes]
            ids = wanted.relabel[(wanted.before == codes[0]) & (wanted.after == codes[1])]
        grid.paged(dataset.view().select(ids), key, ranking=(row,))
