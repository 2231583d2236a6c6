"""What the verdicts would change; the change, and taking it back."""

import pandas as pd
import streamlit as st

from labelaudit import changelog
from labelaudit.decisions import (
    apply_verdicts,
    class_pair_counts,
    pending_decisions,
    verdict_counts,
)
from labelaudit.errors import LabelAuditError
from labelaudit.history import START, list_changes, return_to
from labelaudit.review import DISAGREED
from labelaudit.ui import grid, jobs, state
from labelaudit.ui.sitting import STATUS, STATUS_WORDS

SHOWN = "apply-shown"  # the changes that were on the screen when a button was clicked

dataset = state.current()
st.title("Apply the verdicts")
counts = verdict_counts(dataset)
if not len(counts):
    st.info("There are no verdicts yet. Labels change only here, when you say so.")
    st.page_link("pages/suspects/review.py", label="Review the suspects",
                 icon=":material/rate_review:")  # fmt: skip
    st.stop()

names = list(counts["reviewer"])
with st.sidebar:
    whose = st.multiselect("Verdicts of", names, key="apply-whose", placeholder="everybody") or None
    who = st.text_input("Applied by", state.reviewer(), key="apply-who", max_chars=64,
                        help="Goes into the history.")  # fmt: skip


def figures(wanted) -> None:
    always = [("To relabel", len(wanted.relabel)), ("To remove", len(wanted.remove)),
              ("Applied already", wanted.done)]  # fmt: skip
    rare = [("To put back", len(wanted.put_back)), ("Reviewers disagree", len(wanted.disagreed)),
            ("Relabelled since", len(wanted.outdated))]  # fmt: skip
    with st.container(horizontal=True, gap="medium"):
        for title, value in always + [pair for pair in rare if pair[1]]:
            st.metric(title, f"{value:,}", width="content")
    if len(wanted.disagreed):
        st.page_link("pages/suspects/review.py", query_params={STATUS: STATUS_WORDS[DISAGREED]},
                     label="Look at the disagreements: they are left alone until they are settled",
                     icon=":material/group:")  # fmt: skip
        st.caption("Settled when all who are sure of a sample say the same: change a verdict, or "
                   "apply only some people's (in the sidebar). Unsure says nothing.")  # fmt: skip
    if len(wanted.outdated):
        st.caption("Relabelled since their verdict, to something else: left alone.")


def buttons(wanted) -> None:
    with st.container(horizontal=True):
        busy = len(wanted) and jobs.busy(dataset.name)
        # a key: the words may be others by the time of the click
        clicked = st.button(
            f"Apply {len(wanted):,} changes" if len(wanted) else "Nothing to apply",
            type="primary", icon=":material/task_alt:", key="apply",
            disabled=bool(busy) or not len(wanted),
        )  # fmt: skip
        shown = st.session_state.get(SHOWN, wanted)
        st.session_state[SHOWN] = wanted
        if clicked:
            attempt(lambda: apply_verdicts(dataset, whose, who.strip() or None, shown))
        changes = list_changes(dataset)
        if changes and changes[-1].kind == changelog.VERDICTS:
            before = changes[-2].id if len(changes) > 1 else START
            if st.button(f"Take back the last {changes[-1].count:,}", icon=":material/undo:",
                         key=f"take-back-{changes[-1].id}"):  # fmt: skip
                attempt(lambda: return_to(dataset, before, who.strip() or None))
        st.page_link("pages/suspects/export.py", label="Export the labels",
                     icon=":material/ios_share:")  # fmt: skip


def attempt(action) -> None:
    try:
        action()
    except LabelAuditError as error:
        st.error(jobs.sentence(str(error)))
    else:
        st.rerun()


def differences(wanted) -> None:
    """The diff: counts by class pair, and the images of the pair that is chosen."""
    pairs = class_pair_counts(dataset, wanted)
    table = pairs.rename(columns={"ground_truth": "labelled"})
    others = [("removed", wanted.remove), ("put back", wanted.put_back)]
    others = [(words, ids) for words, ids in others if len(ids)]
    rows = [{"labelled": None, "becomes": words, "count": len(ids)} for words, ids in others]
    table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True) if rows else table
    both = st.container(horizontal=True, gap="medium")  # one below the other in a narrow window
    with both.container(width=320):
        choice = st.dataframe(
            table, hide_index=True, width="stretch", on_select="rerun",
            # a choice is a row's number: it must not live on where that row is another one
            key=f"apply-pairs-{hash(table.to_json())}", selection_mode="single-row-required",
            column_config={"count": st.column_config.NumberColumn("images", format="localized")},
        )  # fmt: skip
    picked = (choice["selection"]["rows"] or [0])[0]
    with both.container(width=740):
        if picked >= len(pairs):
            ids = others[picked - len(pairs)][1]
        else:
            codes = [dataset.classes.index(pairs[name][picked])
                     for name in ("ground_truth", "becomes")]  # fmt: skip
            ids = wanted.relabel[(wanted.before == codes[0]) & (wanted.after == codes[1])]
        grid.paged(dataset.view().select(ids), "apply", ranking=(picked,))


wanted = pending_decisions(dataset, whose)
figures(wanted)
buttons(wanted)
if len(wanted):
    differences(wanted)
else:
    but = " but for the disagreements" if len(wanted.disagreed) else ""
    st.success(f"Every verdict that asks for a change is applied{but}. Next: train again on the "
               "corrected labels, or take them home.")  # fmt: skip
    st.page_link("pages/model/train.py", label="Train", icon=":material/model_training:")
with st.expander("Who said what"):
    st.dataframe(counts, hide_index=True, width="stretch")
