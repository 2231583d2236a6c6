"""Predict with a trained model or import predictions, then score them."""

import pandas as pd
import streamlit as st

from labelaudit.jobs.job import Job
from labelaudit.scores import SCORES
from labelaudit.ui import import_form, jobs, run_on, state
from labelaudit.ui.text import counted
from labelaudit.ui.total import show_headline

dataset = state.current()
st.title("Predict and score")
show_headline(dataset)
st.write(
    "Predict the class of every image with a trained model, then score how suspicious each label "
    "is. Higher scores are more suspicious."
)
runs = [name for name in dataset.runs[::-1] if not dataset.run(name).is_first_look]
if not runs:
    jobs.show_running(dataset.name)
    st.info("There is no trained model yet. Train one, or import your own predictions.")
    st.page_link("pages/model/train.py", label="Train a model", icon=":material/model_training:")
    import_form.show(dataset, open_=True)
    st.stop()

with st.sidebar:
    st.markdown("**Predictions**")
    run = st.selectbox("Run", runs, key="predict-run")
    current = dataset.run(run)
    if current.has_model:
        splits = list(dataset.info["splits"])
        split = st.selectbox("Samples", ["all samples", *splits]) if splits else "all samples"
        augment = st.checkbox(
            "Average over shifted copies",
            value=True,
            help="Average the predictions over shifted and mirrored copies of each image. Slightly "
            "more accurate, but three to six times slower.",
        )
    where = run_on.choose()


def predicted(job: Job) -> None:
    st.success(f"{counted(job.result['predicted'], 'sample')} predicted and scored.")
    st.page_link(
        "pages/suspects/results.py", label="Next: see the results", icon=":material/fact_check:"
    )


def scored(job: Job) -> None:
    if job.kind in ("predict", "import"):
        return predicted(job)
    st.success(f"Scores of {job.result['run']} updated.")
    st.page_link(
        "pages/suspects/results.py", label="Next: see the results", icon=":material/fact_check:"
    )


active = jobs.show(dataset.name, ["predict", "score", "import"], scored) == jobs.ACTIVE
if not current.has_model:
    how = "imported" if current.is_imported else "recorded in your own training loop"
    st.caption(" ".join([f"{run} was {how}.", *current.info["notes"]]))
if not active:
    with st.container(horizontal=True):
        if current.has_model and st.button(
            f"Predict with {run}", type="primary", icon=":material/play_arrow:"
        ):
            chosen = None if split == "all samples" else split
            jobs.begin("predict", dataset.name, run=run, split=chosen, augment=augment, **where)
        if current.has_predictions() and st.button(
            "Update scores",
            icon=":material/calculate:",
            help="Compute the scores again from the stored predictions, for labels that changed "
            "since.",
        ):
            jobs.begin("score", dataset.name, run=run, **where)

if current.has_predictions():
    view = dataset.view(run)
    agree, differ = len(view.match(wrong=False)), len(view.match(wrong=True))
    done = sum(view.count_values("prediction").values())
    with st.container(horizontal=True, gap="medium"):
        st.metric("Predicted", f"{done:,} of {len(dataset):,}", width="content")
        st.metric("Agree with the label", f"{agree:,}", width="content")
        st.metric("Differ from the label", f"{differ:,}", width="content")
    pairs = view.class_pairs().head(12)
    if len(pairs):
        st.header("Most frequent disagreements")
        st.dataframe(
            pairs.rename(columns={"ground_truth": "given"}),
            hide_index=True,
            column_config={"count": st.column_config.NumberColumn(format="localized")},
        )
else:
    st.info(f"{run} has no predictions yet.")

if not active:
    import_form.show(dataset)
with st.expander("About the scores"):
    st.dataframe(
        pd.DataFrame(
            {
                "score": score.title,
                "suspicious when": score.meaning,
                "in this run": name in current.score_names(),
            }
            for name, score in SCORES.items()
        ),
        hide_index=True,
        width="stretch",
    )
