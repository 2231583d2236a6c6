"""What verdicts, or a patch, would change; the change, and taking it back."""

import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset import history_log
from labelaudit.dataset.history import START, list_changes, return_to
from labelaudit.review.apply import apply_verdicts, pending_decisions, verdict_counts
from labelaudit.review.queue import DISAGREED
from labelaudit.ui import jobs, patches, state
from labelaudit.ui.differences import differences
from labelaudit.ui.sitting import STATUS, STATUS_WORDS
from labelaudit.ui.words import fail

SHOWN = "apply-shown"  # the changes that were on the screen when a button was clicked

dataset = state.current()
st.title("Apply")
counts = verdict_counts(dataset)
names = list(counts["reviewer"]) if len(counts) else []
with st.sidebar:
    whose = None
    if names:
        whose = st.multiselect("Verdicts of", names, key="apply-whose",
                               placeholder="everybody") or None  # fmt: skip
    who = state.name_field(
        "Applied by", state.reviewer(), "apply-who",
        "Goes into the history. A patch brings names of its own.",
    ) or None  # fmt: skip


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
    with st.container(horizontal=True, vertical_alignment="center"):
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
            attempt(lambda: apply_verdicts(dataset, whose, who, shown))
        take_back(history_log.VERDICTS)
        st.page_link("pages/suspects/export.py", label="Export the labels",
                     icon=":material/ios_share:")  # fmt: skip


def attempt(action) -> None:
    try:
        action()
    except LabelAuditError as error:
        fail(error)
    else:
        st.rerun()


def take_back(kind: str) -> None:
    """A button for the last change, where it is of this kind."""
    changes = list_changes(dataset)
    if changes and changes[-1].kind == kind:
        before = changes[-2].id if len(changes) > 1 else START
        if st.button(f"Take back the last {changes[-1].count:,}", icon=":material/undo:",
                     key=f"take-back-{changes[-1].id}"):  # fmt: skip
            attempt(lambda: return_to(dataset, before, who))


def show_verdicts() -> None:
    if not len(counts):
        st.info("There are no verdicts yet. Labels change only here, when you say so.")
        st.page_link("pages/suspects/review.py", label="Review the suspects",
                     icon=":material/rate_review:")  # fmt: skip
        return
    wanted = pending_decisions(dataset, whose)
    figures(wanted)
    buttons(wanted)
    if len(wanted):
        others = [("removed", wanted.remove), ("put back", wanted.put_back)]
        differences(dataset, wanted, "apply", others)
    else:
        but = " but for the disagreements" if len(wanted.disagreed) else ""
        st.success(f"Every verdict that asks for a change is applied{but}. Next: train again on "
                   "the corrected labels, or take them home.")  # fmt: skip
        st.page_link("pages/model/train.py", label="Train", icon=":material/model_training:")
    with st.expander("Who said what"):
        st.dataframe(counts, hide_index=True, width="stretch")


def show_patches() -> None:
    patches.show_download(dataset, names)
    patches.show_upload(dataset, attempt, lambda: take_back(history_log.PATCH))


verdicts, patch = st.tabs(["Verdicts", "Patch file"])
with verdicts:
    show_verdicts()
with patch:
    show_patches()
