"""Apply verdicts or a patch to the labels, after a preview; and undo it."""

import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset import history_log
from labelaudit.dataset.history import START, list_changes, return_to
from labelaudit.review.agreement import agreement_of_all, reviewer_agreement
from labelaudit.review.apply import apply_verdicts, pending_decisions, verdict_counts
from labelaudit.review.opinions import UNANIMOUS
from labelaudit.review.queue import DISAGREED
from labelaudit.ui import jobs, patches, state
from labelaudit.ui.differences import differences
from labelaudit.ui.review_address import RULE, RULE_WORDS, STATUS, STATUS_WORDS, choose_word
from labelaudit.ui.text import counted, show_error
from labelaudit.ui.total import show_headline

SHOWN = "apply-shown"  # the changes on the screen when a button is clicked

dataset = state.current()
st.title("Apply")
show_headline(dataset)
counts = verdict_counts(dataset)
names = list(counts["reviewer"]) if len(counts) else []
with st.sidebar:
    reviewers = None
    if names:
        reviewers = (
            st.multiselect("Verdicts of", names, key="apply-reviewers", placeholder="everybody")
            or None
        )
    rule = UNANIMOUS
    if len(names) > 1:
        rule = choose_word(
            "Several verdicts on a sample",
            RULE_WORDS,
            RULE,
            help="Keeping a label and changing another one to it are the same verdict. Unsure does "
            "not count.",
        )
    who = (
        state.name_field(
            "Applied by",
            state.reviewer(),
            "apply-who",
            "Recorded in the history. A patch has its own names.",
        )
        or None
    )


def figures(wanted) -> None:
    always = [
        ("To relabel", len(wanted.relabel)),
        ("To remove", len(wanted.remove)),
        ("Already applied", wanted.done),
    ]
    rare = [
        ("To restore", len(wanted.put_back)),
        ("Open: reviewers disagree", len(wanted.disagreed)),
        ("Relabelled since", len(wanted.outdated)),
    ]
    with st.container(horizontal=True, gap="medium"):
        for title, value in always + [pair for pair in rare if pair[1]]:
            st.metric(title, f"{value:,}", width="content")
    if len(wanted.disagreed):
        st.page_link(
            "pages/suspects/review.py",
            query_params={STATUS: STATUS_WORDS[DISAGREED], RULE: RULE_WORDS[rule]},
            label="Review the disagreements",
            icon=":material/group:",
        )
        st.caption(
            "Samples on which reviewers disagree are not changed. Change a verdict, or choose "
            "another rule or fewer reviewers in the sidebar."
        )
    if len(wanted.outdated):
        st.caption("Samples relabelled since their verdict are not changed.")


def buttons(wanted) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        busy = len(wanted) and jobs.busy(dataset.name)
        # with a key, because the label may change before the click arrives
        clicked = st.button(
            f"Apply {counted(len(wanted), 'change')}" if len(wanted) else "Nothing to apply",
            type="primary",
            icon=":material/task_alt:",
            key="apply",
            disabled=bool(busy) or not len(wanted),
        )
        shown = st.session_state.get(SHOWN, wanted)
        st.session_state[SHOWN] = wanted
        if clicked:
            attempt(lambda: apply_verdicts(dataset, reviewers, who, shown, rule))
        undo_button(history_log.VERDICTS)
        st.page_link("pages/suspects/export.py", label="Export labels", icon=":material/ios_share:")


def attempt(action) -> None:
    try:
        action()
    except LabelAuditError as error:
        show_error(error)
    else:
        st.rerun()


def undo_button(kind: str) -> None:
    """Draw a button that undoes the last change, if it is of this kind."""
    changes = list_changes(dataset)
    if changes and changes[-1].kind == kind:
        before = changes[-2].id if len(changes) > 1 else START
        if st.button(
            f"Undo the last {counted(changes[-1].count, 'change')}",
            icon=":material/undo:",
            key=f"undo-{changes[-1].id}",
        ):
            attempt(lambda: return_to(dataset, before, who))


def show_verdicts() -> None:
    if not len(counts):
        st.info("No verdicts yet. Review the suspects first; labels change only when you apply.")
        st.page_link(
            "pages/suspects/review.py", label="Review the suspects", icon=":material/rate_review:"
        )
        return
    wanted = pending_decisions(dataset, reviewers, rule)
    figures(wanted)
    buttons(wanted)
    if len(wanted):
        others = [("removed", wanted.remove), ("restored", wanted.put_back)]
        differences(dataset, wanted, "apply", others)
    else:
        but = " except the disagreements" if len(wanted.disagreed) else ""
        again = "train again on the corrected labels" if dataset.trained_runs else "audit again"
        st.success(f"All verdicts are applied{but}. Next: export the labels, or {again}.")
        if dataset.trained_runs:
            st.page_link("pages/model/train.py", label="Train", icon=":material/model_training:")
        else:
            st.page_link("pages/start/home.py", label="Audit again", icon=":material/play_arrow:")
    with st.expander("Verdicts by reviewer, and how far they agree"):
        st.dataframe(counts, hide_index=True, width="stretch")
        agreement = reviewer_agreement(dataset) if len(names) > 1 else []
        if len(agreement):
            st.caption(
                "Agreement on samples that two reviewers decided. Cohen's kappa and Krippendorff's "
                "alpha are 1 for full agreement and 0 for chance."
            )
            if len(names) > 2:
                st.markdown(agreement_of_all(dataset).sentence())
            st.dataframe(
                agreement,
                hide_index=True,
                width="stretch",
                column_config={
                    "agree": st.column_config.NumberColumn(format="percent"),
                    "kappa": st.column_config.NumberColumn(format="%.2f"),
                },
            )


def show_patches() -> None:
    patches.show_download(dataset, names)
    patches.show_upload(dataset, attempt, lambda: undo_button(history_log.PATCH))


verdicts, patch = st.tabs(["Verdicts", "Patch file"])
with verdicts:
    show_verdicts()
with patch:
    show_patches()
