"""The history of label changes and verdicts, with a way back to any earlier state."""

import pandas as pd
import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset.history import START, describe, list_changes, return_to
from labelaudit.dataset.history_log import SYNC
from labelaudit.review.apply import sittings, take_back_sitting
from labelaudit.ui import jobs, state
from labelaudit.ui.text import counted, show_error
from labelaudit.ui.total import show_headline

dataset = state.current()
st.title("History")
show_headline(dataset)


def moment(time: str) -> str:
    return time[:16].replace("T", " ")


def attempt(action, done: str) -> None:
    try:
        count = action()
    except LabelAuditError as error:
        show_error(error)
    else:
        st.toast(done.format(samples=counted(count, "sample"), verdicts=counted(count, "verdict")))
        st.rerun()


def changes() -> None:
    entries = list_changes(dataset)[::-1]
    st.header("Label and tag changes")
    if not entries:
        st.info("No changes since the dataset was loaded.")
        return
    syncs = [e.info["counts"] for e in entries if e.kind == SYNC]
    added = sum(counts["added"] + counts["replaced"] for counts in syncs)
    table = pd.DataFrame(
        [(e.id, moment(e.time), e.who, describe(e), e.count) for e in entries]
        + [
            (
                START,
                moment(dataset.created),
                "",
                f"loaded from {dataset.info['source']}",
                len(dataset) - added,
            )
        ],
        columns=["change", "when (UTC)", "who", "what", "samples"],
    )
    st.caption(
        "Select a row to return to the state after it. This adds a new change, so you can "
        "always go back."
    )
    choice = st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        on_select="rerun",
        # The selection is a row number, so it must not outlive this list of rows.
        key=f"history-changes-{entries[0].id}",
        selection_mode="single-row",
        height=min(38 + 35 * len(table), 320),
        column_config={"samples": st.column_config.NumberColumn(format="localized")},
    )
    rows = choice["selection"]["rows"]
    target = int(table["change"][rows[0]]) if rows else None
    after = "when loaded" if target == START else f"after change {target}"
    with st.container(horizontal=True, vertical_alignment="center"):
        latest = target == entries[0].id
        busy = target is not None and jobs.busy(dataset.name)
        if st.button(
            "Return to the selected state" if target is None else f"Return to the state {after}",
            icon=":material/history:",
            disabled=target is None or latest or bool(busy),
        ):
            attempt(
                lambda: return_to(dataset, target, state.reviewer()),
                "{samples} restored to their state " + after + ".",
            )
        if latest:
            st.caption("This is the current state.")


def reviews() -> None:
    table = sittings(dataset)
    st.header("Verdicts")
    if not len(table):
        st.info("No verdicts yet.")
        return
    st.caption(
        "Verdicts change labels only when applied. Select a review session to withdraw its "
        "verdicts. Labels that were already changed stay changed; return to an earlier state "
        "above to undo that."
    )
    shown = table.assign(first=table["first"].map(moment), last=table["last"].map(moment))
    choice = st.dataframe(
        shown[["reviewer", "first", "last", "verdicts", "wrong", "standing"]],
        hide_index=True,
        width="stretch",
        on_select="rerun",
        key=f"history-sessions-{hash(tuple(table['from_batch']))}",
        selection_mode="single-row",
        height=min(38 + 35 * len(table), 250),
        column_config={
            "first": "from (UTC)",
            "last": "to (UTC)",
            "wrong": "found wrong",
            "standing": "not withdrawn",
        },
    )
    rows = choice["selection"]["rows"]
    row = table.iloc[rows[0]] if rows else None
    if st.button(
        "Withdraw verdicts", icon=":material/undo:", disabled=row is None or not row["standing"]
    ):
        attempt(
            lambda: take_back_sitting(
                dataset,
                row["reviewer"],
                int(row["from_batch"]),
                int(row["to_batch"]),
                state.reviewer(),
            ),
            "{verdicts} withdrawn. Labels already changed stay changed.",
        )


changes()
reviews()
