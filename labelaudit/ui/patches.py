"""Patches on the Apply page: download one, or preview and apply one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from ..patch import (
    APPLIED,
    ID,
    PATH,
    SUFFIX,
    VERDICTS,
    Patch,
    PatchPlan,
    apply_patch,
    make_patch,
    parse_patch,
    plan_patch,
)
from . import jobs
from .differences import differences
from .text import counted, plain, show_error

SHOWN = "patch-shown"  # the plan on the screen when the button is clicked
READ_AT_ONCE = 300  # images the page opens itself; more are opened by a job
LISTED = 1000  # conflicts in a table
EVERYBODY = "everybody"
SOURCES = {"applied changes": APPLIED, "reviewers' verdicts": VERDICTS}


def show_download(dataset: Dataset, reviewers: Sequence[str]) -> None:
    """Draw the download of this dataset's changes as a patch."""
    st.markdown("**Download a patch for another copy of this dataset**")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = SOURCES[st.selectbox("Changes", list(SOURCES), key="patch-source", width=200)]
        whose = None
        if source == VERDICTS:
            chosen = st.selectbox("Reviewer", [EVERYBODY, *reviewers], key="patch-whose", width=200)
            whose = None if chosen == EVERYBODY else chosen
        name = f"{dataset.name}-{whose}" if whose else dataset.name
        st.download_button(
            "Download patch",
            lambda: make_patch(dataset, source=source, reviewer=whose).to_bytes(),
            name + SUFFIX,
            "application/jsonl",
            icon=":material/download:",
            on_click="ignore",
        )
    st.caption(
        "A text file with one line per sample, suitable for git. Verdicts include the labels "
        "that reviewers kept; `labelaudit merge-patches` compares several reviewers."
    )


def show_upload(dataset: Dataset, attempt: Callable, undo_button: Callable) -> None:
    """Draw the upload of a patch, its preview and the button that applies it.

    attempt: runs an action and shows its error. undo_button: draws a button for the last patch.
    """
    st.markdown("**Apply a patch**")
    jobs.show(dataset.name, ["compare"], lambda job: None)
    file = st.file_uploader("Patch", type=["jsonl"], key="patch-file", label_visibility="collapsed")
    if file is None:
        st.caption(
            "Upload a patch from another copy of this dataset. You see a preview before "
            "anything changes."
        )
        undo_button()
        return
    with st.expander("How samples are matched"):
        st.caption("By path if the image has the same pixels, otherwise by pixels.")
        trust = [
            key
            for key, title in (
                (PATH, "Match by path only: the images were resized or recompressed"),
                (ID, "Match by id: this copy was loaded from the same source in the same way"),
            )
            if st.checkbox(title, key=f"patch-trust-{key}")
        ]
    try:
        patch, wanted = _plan(_stamp(dataset), file.getvalue(), file.name, trust, dataset)
    except LabelAuditError as error:
        show_error(error)
        return
    _figures(wanted)
    if wanted.unread:
        st.info(
            f"{counted(wanted.unread, 'image')} must be read once to match pixels. This also "
            "finds duplicates."
        )
        if not jobs.busy(dataset.name) and st.button("Read the images", type="primary"):
            jobs.begin("compare", dataset.name)
    else:
        _buttons(dataset, patch, wanted, trust, attempt, undo_button)
    if len(wanted):
        differences(dataset, wanted, "patch", [("removed", wanted.remove)], wanted.new_classes)
    _list(
        "Conflicts, not changed: the label here is neither the one before the change nor the one "
        "after it",
        wanted.conflicts,
    )
    _list("Not found, not changed", wanted.missing)


@st.cache_data(max_entries=4, show_spinner="Matching samples …")
def _plan(
    stamp: tuple, data: bytes, name: str, trust: list[str], _dataset: Dataset
) -> tuple[Patch, PatchPlan]:
    """Cached by table versions, which are unique per dataset and time: with 1,000,000 samples it
    takes two seconds."""
    patch = parse_patch(data, name)
    return patch, plan_patch(_dataset, patch, trust, READ_AT_ONCE)


def _stamp(dataset: Dataset) -> tuple:
    tables = ("meta", "samples", "annotations", "fingerprints")
    return tuple(dataset.stamp(table) for table in tables)


def _figures(wanted: PatchPlan) -> None:
    always = [
        ("To relabel", len(wanted.relabel)),
        ("To remove", len(wanted.remove)),
        ("Already applied", wanted.already),
    ]
    rare = [("Conflicts", len(wanted.conflicts)), ("Not found", len(wanted.missing))]
    with st.container(horizontal=True, gap="medium"):
        for title, value in always + [pair for pair in rare if pair[1]]:
            st.metric(title, f"{value:,}", width="content")


def _buttons(
    dataset: Dataset,
    patch: Patch,
    wanted: PatchPlan,
    trust: list,
    attempt: Callable,
    undo_button: Callable,
) -> None:
    add = bool(wanted.new_classes) and st.checkbox(
        f"Add new classes: {plain(', '.join(wanted.new_classes))}",
        key="patch-add",
    )
    busy = len(wanted) and jobs.busy(dataset.name)
    with st.container(horizontal=True):
        clicked = st.button(
            f"Apply {counted(len(wanted), 'change')} by {plain(', '.join(wanted.by))}"
            if len(wanted)
            else "Nothing to apply",
            type="primary",
            icon=":material/task_alt:",
            key="patch-apply",
            disabled=bool(busy) or not len(wanted) or (bool(wanted.new_classes) and not add),
        )
        undo_button()
    shown = st.session_state.get(SHOWN, wanted)
    st.session_state[SHOWN] = wanted
    if clicked:
        attempt(lambda: apply_patch(dataset, patch, trust=trust, add_classes=add, shown=shown))


def _list(title: str, skipped: list) -> None:
    if skipped:
        more = f" (first {LISTED:,} of {len(skipped):,})" if len(skipped) > LISTED else ""
        st.markdown(f"**{title}{more}**")
        table = pd.DataFrame([each.to_dict() for each in skipped[:LISTED]])
        st.dataframe(
            table,
            hide_index=True,
            width="stretch",
            column_config={"id": st.column_config.NumberColumn(format="%d"), "here": "label here"},
        )
