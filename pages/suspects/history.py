"""Every change of the labels: who, when, how many; and the way back to any of them."""

import pandas as pd
import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset.history import START, describe, list_changes, return_to
from labelaudit.review.apply import sittings, take_back_sitting
from labelaudit.ui import jobs, state
from labelaudit.ui.words import fail

dataset = state.current()
st.title("History")


def moment(time: str) -> str:
    return time[:16].replace("T", " ")


def attempt(action, done: str) -> None:
    try:
        count = action()
    except LabelAuditError as error:
        fail(error)
    else:
        st.toast(done.format(count=count))
        st.rerun()


def changes() -> None:
    entries = list_changes(dataset)[::-1]
    st.subheader("Changes of labels and tags")
    if not entries:
        st.info("None yet: all labels are as they were loaded.")
        return
    table = pd.DataFrame(
        [(e.id, moment(e.time), e.who, describe(e), e.count) for e in entries]
        + [(START, moment(dataset.created), "", f"loaded from {dataset.info['source']}",
            len(dataset))],
        columns=["change", "when (UTC)", "who", "what", "samples"],
    )  # fmt: skip
    st.caption("Choose a line to return to the state after it. That is a change too: you can "
               "always come back.")  # fmt: skip
    choice = st.dataframe(
        table, hide_index=True, width="stretch", on_select="rerun",
        # a choice is a row's number: it must not live on where that row is another one
        key=f"history-changes-{entries[0].id}",
        selection_mode="single-row", height=min(38 + 35 * len(table), 320),
        column_config={"samples": st.column_config.NumberColumn(format="localized")},
    )  # fmt: skip
    rows = choice["selection"]["rows"]
    target = int(table["change"][rows[0]]) if rows else None
    after = "as it was loaded" if target == START else f"after change {target}"
    with st.container(horizontal=True, vertical_alignment="center"):
        latest = target == entries[0].id
        busy = target is not None and jobs.busy(dataset.name)
        if st.button(
            "Return to the chosen state" if target is None else f"Return to the state {after}",
            icon=":material/history:", disabled=target is None or latest or bool(busy),
        ):  # fmt: skip
            attempt(lambda: return_to(dataset, target, state.reviewer()),
                    "{count:,} samples are as they were " + after + ".")  # fmt: skip
        if latest:
            st.caption("This is the state now.")


def reviews() -> None:
    table = sittings(dataset)
    st.subheader("Verdicts")
    if not len(table):
        st.info("Nobody has reviewed anything yet.")
        return
    st.caption("Verdicts change no label until they are applied. Choose a sitting to take its "
               "verdicts back; labels that were changed by them stay so, until you return to an "
               "earlier state above.")  # fmt: skip
    shown = table.assign(first=table["first"].map(moment), last=table["last"].map(moment))
    choice = st.dataframe(
        shown[["reviewer", "first", "last", "verdicts", "wrong", "standing"]],
        hide_index=True, width="stretch", on_select="rerun",
        key=f"history-sittings-{hash(tuple(table['from_batch']))}",
        selection_mode="single-row", height=min(38 + 35 * len(table), 250),
        column_config={
            "first": "from (UTC)", "last": "to (UTC)", "wrong": "found wrong",
            "standing": "not taken back",
        },
    )  # fmt: skip
    rows = choice["selection"]["rows"]
    row = table.iloc[rows[0]] if rows else None
    if st.button("Take these verdicts back", icon=":material/undo:",
                 disabled=row is None or not row["standing"]):  # fmt: skip
        attempt(
            lambda: take_back_sitting(dataset, row["reviewer"], int(row["from_batch"]),
                                      int(row["to_batch"]), state.reviewer()),
            "{count:,} verdicts are taken back. Labels that were changed by them stay so.",
        )  # fmt: skip


changes()
reviews()
