"""The dialog that renames, merges, adds and reorders classes, with a preview."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.columns import SHOWN_CLASSES
from ..dataset.dataset import Dataset
from ..dataset.ingest import natural_order
from ..review.classes import ClassPlan, change_classes, plan_classes
from . import jobs, state
from .text import counted, plain, show_error

CLASS, SAMPLES, BECOMES, PLACE = "class", "samples", "new name", "place"
BY_PLACE, BY_NAME, BY_SIZE = "by place", "by name", "largest first"


@st.dialog("Classes", width="medium")
def show(dataset: Dataset) -> None:
    """Draw the dialog: a table to edit, what it would change, and the button that does it."""
    st.write(
        "Change a name to rename its class. Enter the name of another class to merge both. Add a "
        "row for a new class. Change a place to move a class. Labels, verdicts and predictions "
        "follow, and **History** can return to the state before."
    )
    counts = dataset.view().count_values("ground_truth")
    names = dataset.offered_classes
    edited = st.data_editor(
        pd.DataFrame(
            {
                PLACE: range(1, len(names) + 1),
                CLASS: names,
                SAMPLES: [counts[name] for name in names],
                BECOMES: names,
            }
        ),
        key=f"classes-{dataset.name}-{hash(tuple(names))}",
        hide_index=True,
        num_rows="add",
        disabled=[CLASS, SAMPLES],
        height=min(38 + 35 * (len(names) + 1), 420),
        column_config={
            PLACE: st.column_config.NumberColumn(min_value=1, step=1, width="small"),
            SAMPLES: st.column_config.NumberColumn(format="localized"),
        },
    )
    order = st.segmented_control(
        "Order",
        [BY_PLACE, BY_NAME, BY_SIZE],
        default=BY_PLACE,
        required=True,
        key="classes-order",
        help="The order in which classes are listed, have keys, and are numbered in exports.",
    )
    rows = edited[[CLASS, BECOMES]].itertuples(index=False, name=None)
    changes = read_rows([(_text(old), _text(new)) for old, new in rows], counts)
    changes |= {"order": read_order(edited, order)}
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


def read_order(edited: pd.DataFrame, order: str) -> list[str]:
    """Return the class names of an edited table in their new order; empty if it stays.

    order: BY_PLACE, BY_NAME or BY_SIZE. A class whose place was changed comes before the class that
    has this place if it moves up, and after it if it moves down.
    """
    names = [
        _text(new) or _text(old) for old, new in zip(edited[CLASS], edited[BECOMES], strict=True)
    ]
    rows = [row for row in range(len(names)) if names[row]]
    present = list(dict.fromkeys(names[row] for row in rows))
    if order == BY_NAME:
        moved = natural_order(present)
    else:
        samples = edited[SAMPLES].fillna(0).tolist()
        places = edited[PLACE].tolist()

        def key(row: int) -> tuple:
            if order == BY_SIZE:
                return (-samples[row],)
            own = row + 1
            wanted = own if pd.isna(places[row]) else places[row]
            return wanted, (wanted > own) - (wanted < own)

        moved = list(dict.fromkeys(names[row] for row in sorted(rows, key=key)))
    return [] if moved == present else moved


def preview(plan: ClassPlan) -> list[str]:
    """Return what a plan does, one sentence for each class."""
    number = {name: counted(count, "sample") for name, count in plan.samples.items()}
    lines = [f"{old} ({number[old]}) is renamed to {new}." for old, new in plan.rename.items()]
    lines += [f"{old} ({number[old]}) is merged into {new}." for old, new in plan.merge.items()]
    lines += [f"{name} is added." for name in plan.add]
    if plan.order:
        shown = ", ".join(plan.order[:SHOWN_CLASSES])
        rest = len(plan.order) - SHOWN_CLASSES
        lines.append(
            f"The order becomes {shown}{f' and {rest:,} more' if rest > 0 else ''}. Exports number "
            "the classes by it; runs and models keep their own."
        )
    return lines


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
