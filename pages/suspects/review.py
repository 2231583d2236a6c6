"""Review suspects with the keyboard: one by one, or many at once."""

from dataclasses import replace

import streamlit as st

from labelaudit.review.blind_controls import answers
from labelaudit.review.checks import CHECKS_EVERY
from labelaudit.review.opinions import UNANIMOUS
from labelaudit.review.queue import ALL, DISAGREED, TODO, QueueFilter
from labelaudit.review.verdicts import Review
from labelaudit.scores import SCORES, default_score
from labelaudit.ui import (
    image_filter,
    jobs,
    note_filter,
    review_many,
    review_one,
    share_form,
    sidebar,
    state,
)
from labelaudit.ui.review_address import (
    ANY,
    CHOSEN,
    MANY,
    MODE,
    NO_SIMILAR,
    ONE,
    OPEN,
    RULE,
    RULE_WORDS,
    SAMPLE,
    SIMILAR,
    STATUS,
    STATUS_WORDS,
    choose_word,
    chosen_samples,
)
from labelaudit.ui.text import counted

MIN_ANSWERS = 5  # with fewer answers the result would reveal single controls
CONTROLS = {"off": 0, "1 in 20": 20, "1 in 10": 10, "1 in 5": 5}

dataset = state.current()
for name, value in st.session_state.pop(OPEN, {}).items():
    st.session_state[name] = value
runs = jobs.scored_runs(dataset, "Review")


def chosen(title: str, names: list[str], key: str, column) -> str | None:
    """Draw a filter, stored in the address. Returns None for any."""
    value = column.selectbox(title, [ANY, *names], key=key, bind="query-params")
    return None if value == ANY else value


def show_similar() -> None:
    """Say that similar images are shown, with a way back."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**Images similar to sample {similar}**, most similar first")
        if st.button("Back to the suspect", icon=":material/arrow_back:"):
            st.session_state[OPEN] = {MODE: ONE, **NO_SIMILAR}
            st.query_params[SAMPLE] = str(similar)
            st.rerun()


def show_chosen(count: int) -> None:
    """Say that only samples chosen on another page are shown, with a way back."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{counted(count, 'sample')} chosen on another page**")
        if st.button("Show the whole queue", icon=":material/close:"):
            del st.session_state[CHOSEN]
            st.rerun()


with st.sidebar:
    st.markdown("**Show**")
    status = choose_word("Status", STATUS_WORDS, STATUS, label_visibility="collapsed")
    rule = UNANIMOUS
    if status == DISAGREED:
        rule = choose_word(
            "Decided if",
            RULE_WORDS,
            RULE,
            help="Samples that are not decided are shown. The Apply page has the same rule.",
        )
    own_share = st.container()
    text = st.text_input(
        "Find",
        key="find",
        bind="query-params",
        placeholder="file name or id",
        help="All samples are searched, not only suspects.",
    )
    left, right = st.columns(2, gap="small")
    wanted_run = st.session_state.get("run", runs[0])
    known = dataset.view(wanted_run if wanted_run in runs else runs[0]).fields.classes
    given = chosen("Given", dataset.offered_classes, "given", left)
    suggested = chosen("Suggested", known, "suggested", right)
    tag = chosen("Tag", list(dataset.info["tags"]), "tag", left)
    split = chosen("Split", list(dataset.info["splits"]), "split", right)
    images = st.container()
    with st.expander("More filters"):
        predicted = chosen("Predicted", known, "predicted", st)
        decided_by = chosen("Decided by", Review(dataset, "-").reviewers(), "decided-by", st)
        similar = st.number_input(
            "Similar to",
            1,
            value=None,
            key=SIMILAR,
            bind="query-params",
            placeholder="id of a sample",
            help="The images that look most similar to this one, most similar first.",
        )
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
        noted = note_filter.choose(dataset.view(run), "noted", in_address=True)
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
    with st.expander("Divide among reviewers"):
        share_form.show(dataset, reviewer)
    with own_share:
        only_mine = share_form.only_mine(dataset, reviewer)

sidebar.hidden_title("Review")
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
    suggested=suggested,
    text=text.strip() or None,
    reviewer=decided_by,
    similar=similar,
    samples=chosen_samples(dataset.name),
    noted=noted or None,
    rule=rule,
)
# searches, similar images and the like are about all samples
if only_mine and status in (ALL, TODO) and not replace(wanted, everything=False).of_all:
    wanted = replace(wanted, share=reviewer)
if similar is not None:
    show_similar()
if wanted.samples is not None:
    show_chosen(len(wanted.samples))
if mode == ONE:
    review_one.show(dataset, wanted, reviewer, CONTROLS[controls])
else:
    review_many.show(dataset, wanted, reviewer)
