"""What would become of the labels: counts by class pair, and the images of the one chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from ..dataset.dataset import Dataset
from ..review.apply import class_pair_counts
from . import grid


def differences(
    dataset: Dataset, wanted, key: str, others: list[tuple[str, np.ndarray]],
    new_classes: Sequence[str] = (),
) -> None:  # fmt: skip
    """Draw them. wanted: has relabel, before and after, as `decisions.Decisions` does. others: what
    else happens, in a word, and to which ids. key: names the widgets."""
    pairs = class_pair_counts(dataset, wanted, new_classes)
    table = pairs.rename(columns={"ground_truth": "labelled"})
    others = [(words, ids) for words, ids in others if len(ids)]
    rows = [{"labelled": None, "becomes": words, "count": len(ids)} for words, ids in others]
    table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True) if rows else table
    both = st.container(horizontal=True, gap="medium")  # one below the other in a narrow window
    with both.container(width=320):
        choice = st.dataframe(
            table, hide_index=True, width="stretch", on_select="rerun",
            # a choice is a row's number: it must not live on where that row is another one
            key=f"{key}-pairs-{hash(table.to_json())}", selection_mode="single-row-required",
            column_config={"count": st.column_config.NumberColumn("images", format="localized")},
        )  # fmt: skip
    picked = (choice["selection"]["rows"] or [0])[0]
    with both.container(width=690):
        if picked >= len(pairs):
            ids = others[picked - len(pairs)][1]
        else:
            names = [*dataset.classes, *new_classes, None]
            codes = [names.index(pairs[name][picked]) for name in ("ground_truth", "becomes")]
            codes = [-1 if names[code] is None else code for code in codes]
            ids = wanted.relabel[(wanted.before == codes[0]) & (wanted.after == codes[1])]
        grid.paged(dataset.view().select(ids), key, ranking=(picked,))
