"""The dialog that renames, merges and adds classes, with a preview."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from ..review.classes import ClassPlan, change_classes, plan_classes
from . import jobs, state
from .text import counted, plain, show_error

CLASS, SAMPLES, BECOMES = "class", "samples", "new name"


@st.dialog("Classes", width="medium")
def show(dataset: Dataset) -> None:
    """Draw the dialog: a table to edit, what it would change, and the button that does it."""
    st.write(
        "Change a name to rename its class. Enter the name of another class to merge both. Add a "
        "row for a new class. Labels, verdicts and predictions follow, and **History** can return "
        "to the state before."
    )
    counts = dataset.view().count_values("ground_truth")
    names = dataset.offered_classes
    edited = st.data_editor(
        pd.DataFrame({CLASS: names, SAMPLES: [counts[name] for name in names], BECOMES: names}),
        key=f"classes-{dataset.name}-{hash(tuple(names))}",
        hide_index=True,
        num_rows="add",
        disabled=[CLASS, SAMPLES],
        height=min(38 + 35 * (len(names) + 1), 420),
    )
    rows = edited[[CLASS, BECOMES]].itertuples(index=False, name=None)
    changes = read_rows([(_text(old), _text(new)) for old, new in rows], counts)
    if not any(changes.values()):
        st.caption("Nothing is changed yet.")
        return
    try:
        plan = plan_classes(dataset, **changes)
    except LabelAuditError as error:
        show_error(error)
        return
    for line in preview(plan):
        st.markdown(f"- {plain(line)}")
    if plan.merge and dataset.runs:
        st.caption("Audit again afterwards: the runs still predict the merged classes.")
    if st.button(
        "Change the classes", type="primary", disabled=jobs.busy(dataset.name), key="classes-change"
    ):
        try:
            change_classes(dataset, plan, state.reviewer())
        except LabelAuditError as error:
            show_error(error)
            return
        st.rerun()


def read_rows(rows: list[tuple[str, str]], samples: dict[str, int]) -> dict:
    """Return the arguments of `plan_classes` for an edited table.

    rows: the present name ("" for a new class) and the new name of each class. Classes with the
    same new name are merged: into the one that has it already, else into the largest.
    """
    rename, merge, add = {}, {}, []
    kept = {old for old, new in rows if old == new}
    wanted: dict[str, list[str]] = {}
    for old, new in rows:
        if old and new and old != new:
            wanted.setdefault(new, []).append(old)
        elif new and not old:
            add.append(new)
    for new, olds in wanted.items():
        olds = sorted(olds, key=lambda name: -samples[name])
        if new not in kept and new not in add:
            rename[olds[0]] = new
            olds = olds[1:]
        merge |= dict.fromkeys(olds, new)
    return {"rename": rename, "merge": merge, "add": add}


def preview(plan: ClassPlan) -> list[str]:
    """Return what a plan does, one sentence for each class."""
    number = {name: counted(count, "sample") for name, count in plan.samples.items()}
    lines = [f"{old} ({number[old]}) is renamed to {new}." for old, new in plan.rename.items()]
    lines += [f"{old} ({number[old]}) is merged into {new}." for old, new in plan.merge.items()]
    return lines + [f"{name} is added." for name in plan.add]


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
