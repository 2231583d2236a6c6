"""Suspects to verdicts, by the keyboard: one by one, or many of a class pair at once."""

import streamlit as st

from labelaudit.review.blind_controls import answers
from labelaudit.review.queue import CHECKS_EVERY, QueueFilter
from labelaudit.scores import SCORES, default_score
from labelaudit.ui import board, desk, jobs, state
from labelaudit.ui.sitting import MANY, MODE, ONE, STATUS, STATUS_WORDS

ANY = "any"
TOLD_FROM = 5  # answers to controls; of fewer each would be told
CONTROLS = {"off": 0, "1 in 20": 20, "1 in 10": 10, "1 in 5": 5}

dataset = state.current()
runs = jobs.scored_runs(dataset, "Review")


def chosen(title: str, names: list[str], key: str, column) -> str | None:
    """A filter whose value lives in the address; None for any."""
    value = column.selectbox(title, [ANY, *names], key=key, bind="query-params")
    return None if value == ANY else value


with st.sidebar:
    st.markdown("**Show**")
    status = st.selectbox("Status", list(STATUS_WORDS), format_func=STATUS_WORDS.get, key=STATUS,
                          bind="query-params", label_visibility="collapsed")  # fmt: skip
    left, right = st.columns(2, gap="small")
    given = chosen("Given", dataset.classes, "given", left)
    predicted = chosen("Looks like", dataset.classes, "predicted", right)
    tag = chosen("Tag", list(dataset.info["tags"]), "tag", left)
    split = chosen("Split", list(dataset.info["splits"]), "split", right)
    with st.expander("Ranking"):
        run = st.selectbox("Run", runs, key="run", bind="query-params")
        names = dataset.run(run).score_names()
        score = st.selectbox(
            "Score", names, index=names.index(default_score(names)), key="score",
            format_func=lambda name: SCORES[name].title, bind="query-params",
        )  # fmt: skip
        left, right = st.columns(2, gap="small")
        low = left.number_input("From", value=None, key="low", bind="query-params", format="%.4f")
        high = right.number_input("To", value=None, key="high", bind="query-params", format="%.4f")
        everything = st.toggle("All samples, not only suspects", key="everything",
                               bind="query-params")  # fmt: skip
    with st.expander("Checks"):
        checks = st.toggle(
            f"Random checks, 1 in {CHECKS_EVERY}", True, key="checks", bind="query-params",
            help="Samples that are no suspects come in between, marked as such: only they tell how "
            "many wrong labels the ranking misses. Among all suspects, one by one.",
        )  # fmt: skip
        controls = st.selectbox(
            "Blind controls", list(CONTROLS), key="controls", bind="query-params",
            help="Samples whose label is known come in between, some under a wrong label, and you "
            "are not told which: they measure how many you miss. Your answers to them are no "
            "verdicts. While they are on, ranks, training curves and file names are not shown: "
            "these would give them away. Among all suspects, one by one.",
        )  # fmt: skip
        told = st.container()
    reviewer = state.name_field(
        "Reviewer", state.usual_reviewer(), state.NAME,
        "Your verdicts are kept under this name; others keep theirs.", persist_state="session",
    ) or state.usual_reviewer()  # fmt: skip

if (answered := answers(dataset, reviewer)).total >= TOLD_FROM:
    told.caption(answered.sentence())
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    mode = st.segmented_control(
        "Mode", [ONE, MANY], default=ONE, required=True, key=MODE, bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    st.page_link("pages/suspects/apply.py", label="Apply the verdicts", icon=":material/task_alt:")
wanted = QueueFilter(
    run, score, given, predicted, tag, split, low, high, status, everything, checks and mode == ONE
)
if mode == ONE:
    desk.show(dataset, wanted, reviewer, CONTROLS[controls])
else:
    board.show(dataset, wanted, reviewer)
