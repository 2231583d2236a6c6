"""Patches on the Apply page: one to take away, and one to put into effect, looked at first."""

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
)  # fmt: skip
from ..patch import plan_patch as plan
from . import jobs
from .differences import differences
from .words import fail, plain

SHOWN = "patch-shown"  # what was on the screen when the button was clicked
READ_AT_ONCE = 300  # images that the page opens itself; more are a job's
LISTED = 1000  # conflicts in a table
SOURCES = {"what was applied": APPLIED, "what reviewers say": VERDICTS}


def show_download(dataset: Dataset, reviewers: Sequence[str]) -> None:
    """The changes of this dataset, as a file."""
    st.markdown("**Take the changes to another copy**")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = SOURCES[st.selectbox("Changes", list(SOURCES), key="patch-source", width=200)]
        everybody = "everybody"
        whose = st.selectbox("Of", [everybody, *reviewers], key="patch-whose", width=200,
                             disabled=source == APPLIED)  # fmt: skip
        one = source == VERDICTS and whose != everybody
        name = f"{dataset.name}-{whose}" if one else dataset.name
        st.download_button(
            "Download patch",
            lambda: make_patch(
                dataset, source=source, reviewer=whose if one else None
            ).to_bytes(),
            name + SUFFIX, "application/jsonl", icon=":material/download:", on_click="ignore",
        )  # fmt: skip
    st.caption("A line a sample, fit for git: its path and a hash of its pixels, the label before "
               "and after, who and when. What reviewers say holds what they kept, too; `labelaudit "
               "merge-patches` then shows where two disagree.")  # fmt: skip


def show_upload(dataset: Dataset, attempt: Callable, take_back: Callable) -> None:
    """A patch from elsewhere: what it would do, and the button that does it.

    attempt: runs an action, and shows its error. take_back: draws a button that undoes the last."""
    st.markdown("**Apply a patch**")
    jobs.show(dataset.name, ["compare"], lambda job: None)
    file = st.file_uploader("Patch", type=["jsonl"], key="patch-file",
                            label_visibility="collapsed")  # fmt: skip
    if file is None:
        st.caption("A file that this page, or `labelaudit patch`, wrote on another copy of this "
                   "dataset. Nothing is changed before you have seen what would be.")  # fmt: skip
        take_back()
        return
    with st.expander("How samples are found"):
        st.caption("By their path within the dataset, if the image there has the same pixels; else "
                   "by its pixels, wherever it lies.")  # fmt: skip
        trust = [word for word, words in (
            (PATH, "Paths are enough: the images were resized or compressed anew"),
            (ID, "Ids are enough: this copy was loaded from the same source in the same way"),
        ) if st.checkbox(words, key=f"patch-trust-{word}")]  # fmt: skip
    try:
        patch, wanted = _looked_at(_stamp(dataset), file.getvalue(), file.name, trust, dataset)
    except LabelAuditError as error:
        fail(error)
        return
    _figures(wanted)
    if wanted.unread:
        st.info(f"To be sure which samples are meant, {wanted.unread:,} images must be opened "
                "once. The search for duplicates does so.")  # fmt: skip
        if not jobs.busy(dataset.name) and st.button("Read the images", type="primary"):
            jobs.begin("compare", dataset.name)
    else:
        _buttons(dataset, patch, wanted, trust, attempt, take_back)
    if len(wanted):
        differences(dataset, wanted, "patch", [("removed", wanted.remove)], wanted.new_classes)
    _list("In conflict: labelled neither as before the change nor as after it. They are left alone",
          wanted.conflicts)  # fmt: skip
    _list("Not found. They are left alone", wanted.missing)


@st.cache_data(max_entries=4, show_spinner="Looking for the samples …")
def _looked_at(
    stamp: tuple, data: bytes, name: str, trust: list[str], _dataset: Dataset
) -> tuple[Patch, PatchPlan]:
    """Cached by table versions that no other dataset or time has: at 1,000,000 samples it takes
    two seconds."""
    patch = parse_patch(data, name)
    return patch, plan(_dataset, patch, trust, READ_AT_ONCE)


def _stamp(dataset: Dataset) -> tuple:
    store = dataset.view().store
    return tuple(store.stamp(table) for table in ("meta", "samples", "annotations", "fingerprints"))


def _figures(wanted: PatchPlan) -> None:
    always = [("To relabel", len(wanted.relabel)), ("To remove", len(wanted.remove)),
              ("So already", wanted.already)]  # fmt: skip
    rare = [("In conflict", len(wanted.conflicts)), ("Not found", len(wanted.missing))]
    with st.container(horizontal=True, gap="medium"):
        for title, value in always + [pair for pair in rare if pair[1]]:
            st.metric(title, f"{value:,}", width="content")


def _buttons(
    dataset: Dataset, patch: Patch, wanted: PatchPlan, trust: list, attempt: Callable,
    take_back: Callable,
) -> None:  # fmt: skip
    add = bool(wanted.new_classes) and st.checkbox(
        f"Add the classes that this dataset lacks: {plain(', '.join(wanted.new_classes))}",
        key="patch-add",
    )  # fmt: skip
    busy = len(wanted) and jobs.busy(dataset.name)
    with st.container(horizontal=True):
        clicked = st.button(
            f"Apply {len(wanted):,} changes of {plain(', '.join(wanted.by))}" if len(wanted)
            else "Nothing to apply",
            type="primary", icon=":material/task_alt:", key="patch-apply",
            disabled=bool(busy) or not len(wanted) or (bool(wanted.new_classes) and not add),
        )  # fmt: skip
        take_back()
    shown = st.session_state.get(SHOWN, wanted)
    st.session_state[SHOWN] = wanted
    if clicked:
        attempt(lambda: apply_patch(dataset, patch, trust=trust, add_classes=add, shown=shown))


def _list(title: str, unfit: list) -> None:
    if unfit:
        more = f" (the first {LISTED:,} of {len(unfit):,})" if len(unfit) > LISTED else ""
        st.markdown(f"**{title}{more}**")
        table = pd.DataFrame([each.to_dict() for each in unfit[:LISTED]])
        st.dataframe(table, hide_index=True, width="stretch",
                     column_config={"id": st.column_config.NumberColumn(format="%d"),
                                    "here": "label here"})  # fmt: skip
