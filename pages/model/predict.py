"""Run a trained model over the samples, or import predictions; store them and scores."""

import pandas as pd
import streamlit as st

from labelaudit.jobs.job import Job
from labelaudit.scores import SCORES
from labelaudit.ui import brought, jobs, place, state

dataset = state.current()
st.title("Predict and score")
st.write(
    "The chosen run looks at every image: its label, confidence and logits are stored. Then every "
    "image gets its scores; higher always means more suspicious."
)
runs = [name for name in dataset.runs[::-1] if not dataset.run(name).is_first_look]
if not runs:
    jobs.show_running(dataset.name)
    st.info("There is no trained model yet: train one, or bring predictions of your own.")
    st.page_link("pages/model/train.py", label="Train one", icon=":material/model_training:")
    brought.show(dataset, open_=True)
    st.stop()

with st.sidebar:
    st.markdown("**Predictions**")
    run = st.selectbox("Run", runs, key="predict-run")
    kept = dataset.run(run)
    if kept.has_model:
        splits = list(dataset.info["splits"])
        split = st.selectbox("Of", ["all samples", *splits]) if splits else "all samples"
        augment = st.checkbox(
            "Look at shifted copies too", value=True,
            help="Averages over copies of each image, shifted and mirrored as in training: a "
            "little surer, and three to six times slower.",
        )  # fmt: skip
    where = place.choose_place()


def predicted(job: Job) -> None:
    st.success(f"{job.result['predicted']:,} samples are predicted and scored. Next: the results.")
    st.page_link("pages/suspects/results.py", label="Results", icon=":material/fact_check:")


def scored(job: Job) -> None:
    if job.kind in ("predict", "import"):
        return predicted(job)
    st.success(f"The scores of {job.result['run']} are computed again.")
    st.page_link("pages/suspects/results.py", label="Results", icon=":material/fact_check:")


active = jobs.show(dataset.name, ["predict", "score", "import"], scored) == jobs.ACTIVE
if not kept.has_model:
    whose = "a model of your own" if kept.is_brought else "recorded in a training loop of your own"
    st.caption(" ".join([f"{run} is {whose}.", *kept.info["notes"]]))
if not active:
    with st.container(horizontal=True):
        if kept.has_model and st.button(
            f"Predict with {run}", type="primary", icon=":material/play_arrow:"
        ):
            chosen = None if split == "all samples" else split
            jobs.begin("predict", dataset.name, run=run, split=chosen, augment=augment, **where)
        if kept.has_predictions() and st.button(
            "Only score again" if kept.has_model else "Score again", icon=":material/calculate:",
            help="Computes the scores from the predictions that are there, for labels that were "
            "changed since.",
        ):  # fmt: skip
            jobs.begin("score", dataset.name, run=run, **where)

if kept.has_predictions():
    view = dataset.view(run)
    agree, differ = len(view.match(wrong=False)), len(view.match(wrong=True))
    done = sum(view.count_values("prediction").values())
    with st.container(horizontal=True, gap="medium"):
        st.metric("Predicted", f"{done:,} of {len(dataset):,}", width="content")
        st.metric("Agree with the label", f"{agree:,}", width="content")
        st.metric("Differ from it", f"{differ:,}", width="content")
    pairs = view.class_pairs().head(12)
    if len(pairs):
        st.subheader("Most often taken for another class")
        st.dataframe(pairs.rename(columns={"ground_truth": "given"}), hide_index=True)
else:
    st.info(f"{run} has no predictions yet.")

if not active:
    brought.show(dataset)
with st.expander("What the scores mean"):
    st.dataframe(
        pd.DataFrame(
            {"score": score.title, "a suspect when": score.meaning, "by this run": name in
             kept.score_names()}
            for name, score in SCORES.items()
        ),
        hide_index=True, width="stretch",
    )  # fmt: skip
