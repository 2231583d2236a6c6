"""What this is, and one button that shows it at work."""

import streamlit as st

from labelaudit.jobs.job import Job
from labelaudit.ui import jobs, place, state

NOISE = 0.2
STEPS = [
    ("pages/data/dataset.py", "Dataset", "Load images with labels; look at them."),
    ("pages/data/noise.py", "Noise", "To rehearse: make some labels wrong."),
    ("pages/model/train.py", "Train", "A small model learns; every image is watched."),
    ("pages/model/predict.py", "Predict", "Every image is predicted and scored."),
    ("pages/suspects/review.py", "Review", "Look at the suspects, worst first: one key each."),
    ("pages/suspects/apply.py", "Apply", "Verdicts become labels; take them home."),
]


def go(page: str, dataset: str | None = None) -> None:
    """A button's callback: the run that follows switches to the page, with this dataset."""
    st.session_state["go"] = page
    if dataset:
        state.choose(dataset)


def show_result(job: Job) -> None:
    result, name = job.result, job.dataset
    with st.container(border=True):
        st.subheader(f"The audit of {name} is done")
        with st.container(horizontal=True, gap="medium"):
            if result["evaluation"]:
                ranking = result["score"]  # the one that the suspects come in the order of
                found = next(row for row in result["evaluation"] if row["score"] == ranking)
                show_rehearsal(found)
            else:
                st.metric("Suspects", f"{result['suspects']:,}", width="content")
        with st.container(horizontal=True):
            st.button("Review the suspects", type="primary", icon=":material/rate_review:",
                      on_click=go, args=("pages/suspects/review.py", name))  # fmt: skip
            st.button("Results", icon=":material/fact_check:",
                      on_click=go, args=("pages/suspects/results.py", name))  # fmt: skip
            st.button("Load your own images", icon=":material/photo_library:", on_click=go,
                      args=("pages/data/dataset.py",))  # fmt: skip


def show_rehearsal(found: dict) -> None:
    st.metric("Labels made wrong", f"{found['mistakes']:,}", width="content")
    st.metric(f"Found in the first {found['k']:,}", f"{found['found']:,}", width="content")
    by_luck = found["k"] * found["mistakes"] / found["samples"]
    st.metric("By luck it would be", f"{by_luck:.0f}", width="content",
              help=f"Expected among {found['k']:,} images picked blindly.")  # fmt: skip


def invite_to_sample() -> None:
    st.subheader("See it work")
    st.write(
        f"1,797 handwritten digits, {NOISE:.0%} of their labels made wrong on purpose. "
        "How many will it find? Takes well under a minute."
    )
    if st.button("Run the sample audit", type="primary", icon=":material/play_arrow:"):
        jobs.begin("audit", state.SAMPLE, noise=NOISE, config={})


def invite_to_go_on(name: str) -> None:
    """There are suspects already: that is where a returning visitor goes on."""
    st.button(f"Go on reviewing {name}", icon=":material/rate_review:", on_click=go,
              args=("pages/suspects/review.py",))  # fmt: skip


def invite_to_own(name: str) -> None:
    st.subheader("Audit your own images")
    if name == state.SAMPLE:
        st.write("A folder, a list of files with labels, COCO, Hugging Face, FiftyOne, Label "
                 "Studio, or a zip. With predictions of your own, nothing is trained.")  # fmt: skip
    else:
        st.write(f"Train on {name}, score every image and rank the suspects, in one go.")
        where = place.choose_place()
        if st.button(f"Audit {name}", type="primary", icon=":material/play_arrow:"):
            jobs.begin("audit", name, config={}, **where)
    st.button("Load a dataset", icon=":material/photo_library:", on_click=go,
              args=("pages/data/dataset.py",))  # fmt: skip


if "go" in st.session_state:
    st.switch_page(st.session_state.pop("go"))

st.title("Find the wrong labels in your images")
st.write(
    "LabelAudit trains a small model on your dataset, watches how every image behaves while the "
    "model learns, and puts those whose label does not fit in front of you, worst first."
)
chosen = state.current().name
status = jobs.show(chosen, ["audit"], show_result)
if status == jobs.NOTHING and chosen != state.SAMPLE:  # started here, before another was chosen
    status = jobs.show(state.SAMPLE, ["audit"], show_result, also_others=False)
if status == jobs.NOTHING:
    left, right = st.columns([3, 2], gap="medium")
    with left, st.container(border=True, height="stretch"):
        invite_to_sample()
    with right, st.container(border=True, height="stretch"):
        invite_to_own(chosen)

if status == jobs.NOTHING and state.current().view().score_names():
    invite_to_go_on(chosen)
st.subheader("The walk")
with st.container(horizontal=True, gap="medium"):
    for number, (page, title, text) in enumerate(STEPS, 1):
        with st.container(width=150, gap=None):
            st.page_link(page, label=f"**{number}. {title}**")
            st.caption(text)
