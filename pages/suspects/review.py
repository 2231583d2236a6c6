"""Review suspects with the keyboard: one by one, or many at once."""

import streamlit as st

from labelaudit.review.blind_controls import answers
from labelaudit.review.checks import CHECKS_EVERY
from labelaudit.review.queue import QueueFilter
from labelaudit.scores import SCORES, default_score
from labelaudit.ui import image_filter, jobs, review_many, review_one, state
from labelaudit.ui.review_session import MANY, MODE, ONE, STATUS, STATUS_WORDS

ANY = "any"
MIN_ANSWERS = 5  # with fewer answers the result would reveal single controls
CONTROLS = {"off": 0, "1 in 20": 20, "1 in 10": 10, "1 in 5": 5}

dataset = state.current()
runs = jobs.scored_runs(dataset, "Review")


def chosen(title: str, names: list[str], key: str, column) -> str | None:
    """Draw a filter, stored in the address. Returns None for any."""
    value = column.selectbox(title, [ANY, *names], key=key, bind="query-params")
    return None if value == ANY else value


with st.sidebar:
    st.markdown("**Show**")
    status = st.selectbox(
        "Status",
        list(STATUS_WORDS),
        format_func=STATUS_WORDS.get,
        key=STATUS,
        bind="query-params",
        label_visibility="collapsed",
    )
    left, right = st.columns(2, gap="small")
    given = chosen("Given", dataset.classes, "given", left)
    predicted = chosen("Predicted", dataset.classes, "predicted", right)
    tag = chosen("Tag", list(dataset.info["tags"]), "tag", left)
    split = chosen("Split", list(dataset.info["splits"]), "split", right)
    images = st.container()
    with st.expander("Ranking"):
        run = st.selectbox("Run", runs, key="run", bind="query-params")
        names = dataset.run(run).score_names()
        score = st.selectbox(
            "Score",
            names,
            index=names.index(default_score(names)),
            key="score",
            format_func=lambda name: SCORES[name].title,
            bind="query-params",
        )
        left, right = st.columns(2, gap="small")
        low = left.number_input("From", value=None, key="low", bind="query-params", format="%.4f")
        high = right.number_input("To", value=None, key="high", bind="query-params", format="%.4f")
        everything = st.toggle(
            "All samples, not only suspects", key="everything", bind="query-params"
        )
    with images:
        image = image_filter.choose(dataset.view(run), "image-kind", in_address=True)
    with st.expander("Checks"):
        checks = st.toggle(
            f"Random checks, 1 in {CHECKS_EVERY}",
            True,
            key="checks",
            bind="query-params",
            help="Mixes in samples drawn at random from all, marked as checks. Only they show how "
            "many wrong labels the ranking misses, and when you can stop. Works one by one, "
            "without filters.",
        )
        controls = st.selectbox(
            "Blind controls",
            list(CONTROLS),
            key="controls",
            bind="query-params",
            help="Mixes in samples with a known label, some shown with a wrong one, to measure how "
            "many mistakes you miss. They are not marked, and your answers are not verdicts. "
            "Ranks, training curves and file names are hidden because they would reveal them. "
            "Works one by one, without filters.",
        )
        result = st.container()
    reviewer = (
        state.name_field(
            "Reviewer",
            state.usual_reviewer(),
            state.NAME,
            "Your verdicts are stored under this name.",
            persist_state="session",
        )
        or state.usual_reviewer()
    )

if (answered := answers(dataset, reviewer)).total >= MIN_ANSWERS:
    result.caption(answered.sentence())
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    mode = st.segmented_control(
        "Mode",
        [ONE, MANY],
        default=ONE,
        required=True,
        key=MODE,
        bind="query-params",
        label_visibility="collapsed",
    )
    st.page_link("pages/suspects/apply.py", label="Apply verdicts", icon=":material/task_alt:")
wanted = QueueFilter(
    run,
    score,
    given,
    predicted,
    tag,
    split,
    low,
    high,
    status,
    everything,
    checks=checks and mode == ONE,
    image=image,
)
if mode == ONE:
    review_one.show(dataset, wanted, reviewer, CONTROLS[controls])
else:
    review_many.show(dataset, wanted, reviewer)
