"""Train a model on the selected dataset and follow its progress."""

import pandas as pd
import streamlit as st

from labelaudit.jobs.job import Job
from labelaudit.learn.config import MODELS, SMALL, TrainConfig
from labelaudit.ui import charts, jobs, run_on, state
from labelaudit.ui.text import counted
from labelaudit.ui.total import show_headline

defaults = TrainConfig()
dataset = state.current()
st.title("Train")
show_headline(dataset)
st.write(
    "Train a model on the current labels. After every epoch it predicts each image again. Labels "
    "it keeps contradicting are suspects."
)

with st.sidebar:
    st.markdown("**Training**")
    model = st.selectbox(
        "Model",
        MODELS,
        help="small: for images up to 64 pixels, fast on any "
        "machine. The others are torchvision networks for larger images. They "
        "start from ImageNet weights if these can be downloaded.",
    )
    epochs = st.slider("Epochs", 1, 60, defaults.epochs, help="Number of passes over the samples.")
    with st.expander("Advanced"):
        batch_size = st.number_input("Batch size", 2, 4096, defaults.batch_size)
        image_size = st.number_input(
            "Image size",
            8,
            1024,
            None,
            placeholder="automatic",
            help="Side length in pixels. Automatic: the size of the images, at most "
            f"{64 if model == SMALL else 224}.",
        )
        rate = st.number_input(
            "Learning rate",
            1e-5,
            10.0,
            None,
            format="%.4f",
            placeholder="0.1" if model == SMALL else "0.01",
        )
        folds = st.number_input(
            "Folds",
            1,
            20,
            defaults.folds,
            help="1 trains one model on all images. With more folds, every image is also judged by "
            "a model that was not trained on it. This takes longer, and each model learns from "
            "fewer images.",
        )
        seed = st.number_input("Seed", 0, value=defaults.seed)
        device = st.selectbox("Device", ["auto", "cpu", "cuda", "mps"])
    where = run_on.choose()
    run = st.text_input("Run name", placeholder="run-1, run-2 …") or None
    splits = list(dataset.info["splits"])
    default_split = "training split" if len(splits) > 1 else "all samples"
    split = st.selectbox("Train on", [default_split, *splits]) if splits else default_split


def trained(job: Job) -> None:
    run = dataset.run(job.result["run"]).info
    how = "stopped early, after" if run["stopped"] else "finished after"
    st.success(f"Training of {run['name']} {how} {counted(run['epochs'], 'epoch')}.")
    st.page_link(
        "pages/model/predict.py", label="Next: predict and score", icon=":material/psychology:"
    )


def ended(job: Job) -> None:
    if job.kind == "look":
        looked(job)
    else:
        trained(job)


def looked(job: Job) -> None:
    """Show the result of a first look."""
    st.success(f"First look: {counted(job.result['suspects'], 'suspect')}, ready to review.")
    st.page_link(
        "pages/suspects/review.py",
        label="Review the suspects",
        icon=":material/bolt:",
        query_params={"run": job.result["run"]},
    )


status = jobs.show(dataset.name, ["train", "look"], ended)
begin, look = False, False
if status != jobs.ACTIVE:
    with st.container(horizontal=True):
        begin = st.button("Train", type="primary", icon=":material/play_arrow:")
        look = st.button(
            "First look",
            icon=":material/bolt:",
            help="Find suspects without training: each image is predicted from the features of all "
            "others. If a model is trained too, both count.",
        )
if look:
    jobs.begin("look", dataset.name)
if begin:
    config = {
        "model": model,
        "epochs": epochs,
        "batch_size": batch_size,
        "image_size": image_size,
        "learning_rate": rate,
        "folds": folds,
        "seed": seed,
        "device": device,
    }
    jobs.begin(
        "train",
        dataset.name,
        run=run,
        split=None if split == default_split else split,
        config=config,
        **where,
    )

runs = [dataset.run(name).info for name in reversed(dataset.trained_runs)]
if not runs:
    if status != jobs.ACTIVE:
        st.info("No trained runs yet. The default settings in the sidebar are a good start.")
    st.stop()
st.header("Runs")
st.dataframe(
    pd.DataFrame(
        {
            "run": info["name"],
            "model": info["config"]["model"] if "config" in info else "own model",
            "image size": info.get("image_size"),
            "epochs": info["epochs"],
            "samples": info["learned"],
            "validation accuracy": info["validation_accuracy"],
            "seconds": info["seconds"],
            "started (UTC)": info["created"][:16].replace("T", " "),
        }
        for info in runs
    ),
    hide_index=True,
    width="stretch",
    column_config={
        "validation accuracy": st.column_config.NumberColumn(format="percent"),
        "seconds": st.column_config.NumberColumn(format="%.1f"),
        "samples": st.column_config.NumberColumn(format="localized"),
    },
)
selected = st.selectbox("Curves of", [info["name"] for info in runs], width=240)
curves = next(info for info in runs if info["name"] == selected)
for note in curves["notes"]:
    st.caption(note)
if curves["curves"]:
    charts.learning_curves(curves["curves"])
if "config" in curves:
    last_with_all = curves["config"]["leave_out_after"] * curves["config"]["epochs"]
    if curves["epochs"] > last_with_all + 1:
        st.caption(
            f"From epoch {int(last_with_all) + 2} on, the model is no longer trained on images it "
            "contradicts, so that it does not memorise wrong labels. They are still scored."
        )
