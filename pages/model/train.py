"""Train a model on the chosen dataset and watch it learn."""

import pandas as pd
import streamlit as st

from labelaudit.jobs.job import Job
from labelaudit.learn.config import MODELS, SMALL, TrainConfig
from labelaudit.ui import charts, jobs, place, state

defaults = TrainConfig()
dataset = state.current()
st.title("Train")
st.write(
    "A model learns from the labels as they are. After every epoch each image is looked at again: "
    "labels that the model resists to the end are suspects."
)

with st.sidebar:
    st.markdown("**Training**")
    model = st.selectbox("Model", MODELS, help="small: for images up to 64 pixels a side, fast on "
                         "any machine. The others: torchvision networks for larger images, with "
                         "ImageNet weights where they can be downloaded.")  # fmt: skip
    epochs = st.slider("Epochs", 1, 60, defaults.epochs, help="Times through the samples.")
    with st.expander("More"):
        batch_size = st.number_input("Batch size", 2, 4096, defaults.batch_size)
        image_size = st.number_input(
            "Image size", 8, 1024, None, placeholder="as the images are",
            help="Pixels a side. Left empty: as the images are, at most "
            f"{64 if model == SMALL else 224}.",
        )  # fmt: skip
        rate = st.number_input("Learning rate", 1e-5, 10.0, None, format="%.4f",
                               placeholder="0.1" if model == SMALL else "0.01")  # fmt: skip
        folds = st.number_input(
            "Folds", 1, 20, defaults.folds,
            help="1: one model learns all. More: as many models, each of all images but its fold, "
            "so that every image is also judged by a model that never saw its label. Takes longer, "
            "and each model learns from fewer images.",
        )  # fmt: skip
        seed = st.number_input("Seed", 0, value=defaults.seed)
        device = st.selectbox("Device", ["auto", "cpu", "cuda", "mps"])
    where = place.choose_place()
    run = st.text_input("Name of the run", placeholder="run-1, run-2 …") or None
    splits = list(dataset.info["splits"])
    usual = "the training split" if len(splits) > 1 else "all samples"
    split = st.selectbox("Learn from", [usual, *splits]) if splits else usual


def trained(job: Job) -> None:
    run = dataset.run(job.result["run"]).info
    how = "Stopped early" if run["stopped"] else "Done"
    st.success(f"{how}: {run['name']} learned for {run['epochs']} epochs. Next: predict and score.")
    st.page_link("pages/model/predict.py", label="Predict", icon=":material/psychology:")


def ended(job: Job) -> None:
    if job.kind == "look":
        looked(job)
    else:
        trained(job)


def looked(job: Job) -> None:
    """Also while nothing is trained yet: there is something to review."""
    st.success(f"First look: {job.result['suspects']:,} suspects. Training ranks better; meanwhile "
               "these can be reviewed.")  # fmt: skip
    st.page_link("pages/suspects/review.py", label="Review them", icon=":material/bolt:",
                 query_params={"run": job.result["run"]})  # fmt: skip


status = jobs.show(dataset.name, ["train", "look"], ended)
begin, look = False, False
if status != jobs.ACTIVE:
    with st.container(horizontal=True):
        begin = st.button("Train", type="primary", icon=":material/play_arrow:")
        look = st.button(
            "First look", icon=":material/bolt:",
            help="Suspects in seconds, without training: each image is predicted by all the "
            "others, by a closed form. It ranks less well than a trained model.",
        )  # fmt: skip
if look:
    jobs.begin("look", dataset.name)
if begin:
    config = {
        "model": model, "epochs": epochs, "batch_size": batch_size, "image_size": image_size,
        "learning_rate": rate, "folds": folds, "seed": seed, "device": device,
    }  # fmt: skip
    jobs.begin("train", dataset.name, run=run, split=None if split == usual else split,
               config=config, **where)  # fmt: skip

runs = [dataset.run(name).info for name in reversed(dataset.trained_runs)]
if not runs:
    if status != jobs.ACTIVE:
        st.info("No run yet. The settings in the sidebar are good ones to begin with.")
    st.stop()
st.subheader("Runs")
st.dataframe(
    pd.DataFrame(
        {
            "run": info["name"],
            "model": info["config"]["model"] if "config" in info else "your own",
            "image size": info.get("image_size"),
            "epochs": info["epochs"],
            "learned from": info["learned"],
            "validation accuracy": info["validation_accuracy"],
            "seconds": info["seconds"],
            "begun": info["created"][:16].replace("T", " "),
        }
        for info in runs
    ),
    hide_index=True, width="stretch",
    column_config={
        "validation accuracy": st.column_config.NumberColumn(format="percent"),
        "seconds": st.column_config.NumberColumn(format="%.1f"),
        "learned from": st.column_config.NumberColumn(format="localized"),
    },
)  # fmt: skip
shown = st.selectbox("Curves of", [info["name"] for info in runs], width=240)
curves = next(info for info in runs if info["name"] == shown)
for note in curves["notes"]:
    st.caption(note)
if curves["curves"]:
    charts.learning_curves(curves["curves"])
if "config" in curves:
    half = curves["config"]["leave_out_after"] * curves["config"]["epochs"]
    if curves["epochs"] > half + 1:
        st.caption(
            f"From epoch {int(half) + 2} on, images whose label the model contradicts are watched "
            "but no longer learned, so that it cannot learn mistakes by heart."
        )
