"""Plant wrong labels to rehearse an audit, and restore them."""

import numpy as np
import pandas as pd
import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset.noise import MISTAKE, inject, restore, still_wrong
from labelaudit.ui import grid, jobs, state
from labelaudit.ui.text import counted, plain, show_error, verb

KINDS = {
    "uniform": "Any wrong class",
    "pair": "The next class, or two classes swapped",
    "confusion": "From a confusion matrix",
}
NEXT = "every class → the next"

dataset = state.current()
st.title("Rehearse with planted mistakes")
st.write(
    "Make some labels wrong on purpose and see how many of them an audit finds on your own data. "
    "The original labels are stored. For a real audit, skip this step or restore them."
)

with st.sidebar:
    st.markdown("**Mistakes**")
    rate = st.slider("Share of wrong labels", 0.0, 0.5, 0.2, 0.01, format="percent")
    kind = st.selectbox("Kind", list(KINDS), format_func=KINDS.get)
    pair, matrix = None, None
    if kind == "pair":
        first = st.selectbox("Class", [NEXT, *dataset.offered_classes])
        if first != NEXT:
            others = [name for name in dataset.offered_classes if name != first]
            pair = (first, st.selectbox("Swapped with", others))
    if kind == "confusion":
        file = st.file_uploader(
            "Matrix (CSV, no header)",
            type="csv",
            help="Row: true class. Column: class given by mistake.",
        )
        if file:
            try:
                matrix = np.loadtxt(file, delimiter=",", ndmin=2)
            except ValueError as error:
                show_error(f"{file.name} is not a matrix of numbers: {error}")
    splits = list(dataset.info["splits"])
    split = st.selectbox("In", ["all samples", *splits]) if splits else "all samples"
    seed = st.number_input("Seed", 0, value=0, help="The same seed plants the same mistakes.")

target = dataset if split == "all samples" else dataset.view().match(split=split)
mistakes = dataset.view().match_tag(MISTAKE)
busy = jobs.busy(dataset.name)
with st.container(horizontal=True):
    ready = not busy and (kind != "confusion" or matrix is not None)
    plant = st.button(
        "Plant new mistakes" if len(mistakes) else "Plant mistakes",
        type="primary",
        icon=":material/shuffle:",
        disabled=not ready,
    )
    undo = len(mistakes) and st.button("Restore labels", icon=":material/undo:", disabled=busy)
if plant or undo:
    try:
        inject(target, rate, kind, int(seed), pair, matrix) if plant else restore(dataset)
    except LabelAuditError as error:
        show_error(error)
    else:
        st.rerun()

if not len(mistakes):
    st.info("No mistakes are planted. Choose a share in the sidebar, then select Plant mistakes.")
    st.stop()

report = dataset.info["noise"]
left = still_wrong(dataset)
fixed = len(mistakes) - left
if report:
    how = (
        plain(f"{' and '.join(report['pair'])} swapped")
        if report["pair"]
        else KINDS[report["kind"]]
    )
    how = f"{how[0].lower()}{how[1:]}, seed {report['seed']}"
    st.markdown(
        f"**{left:,} of {counted(report['eligible'], 'label')} {verb(left)} wrong now** ({how})."
        + (
            f" {fixed:,} of {counted(len(mistakes), 'planted mistake')} {verb(fixed)} corrected."
            if fixed
            else ""
        )
        + ("" if dataset.trained_runs else " Next: take a first look, or train a model.")
    )
st.page_link("pages/model/train.py", label="Train", icon=":material/model_training:")
given, original = mistakes.values("ground_truth"), mistakes.values("original_label")
counts = pd.crosstab(pd.Series(original, name="before"), pd.Series(given, name="now"))
with st.expander("Which classes were swapped (row: before, column: now)"):
    st.dataframe(counts, width="stretch")
st.header("Planted mistakes")
grid.paged(mistakes, "noise")
