"""What a run says of the whole dataset: classes that are mixed up, and maps of the samples."""

from functools import partial

import pandas as pd
import streamlit as st

from labelaudit.ranking import insights
from labelaudit.ranking.ranking import suspects
from labelaudit.scores import SCORES, default_score
from labelaudit.ui import charts, grid, jobs, state
from labelaudit.ui.sitting import MANY, MODE

REVIEW = "pages/suspects/review.py"  # where a class pair is opened
CONFUSION, TRAINING, LOOKS = "Mix-ups", "Training map", "Look-alike map"
PAIR, OPEN = "insights-pair", "insights-open"
GIVEN = "given"

dataset = state.current()
runs = jobs.scored_runs(dataset, "Insights")
st.title("Insights")

with st.sidebar:
    st.markdown("**Insights**")
    run = st.selectbox("Run", runs, key="insights-run")
view = dataset.view(run)
score = default_score(view.score_names())
marked = suspects(dataset, run, score)


@st.cache_data(max_entries=8, show_spinner=False)
def mix_ups(stamp: tuple, _view, _suspects) -> tuple:
    """Like all that is cached here: by the view's stamp, which no other dataset or time has."""
    return insights.confusion(_view), insights.class_suspects(_view, _suspects)


@st.cache_data(max_entries=8, show_spinner=False)
def training_points(stamp: tuple, _view, _suspects, _run):
    if "cartography" not in _view.score_names():
        return None
    watched = _view.above("cartography", -1)  # not of samples whose label is another by now
    points = insights.dynamics_map(_run, insights.choose_points(watched, _suspects))
    return insights.describe_points(_view, points, _suspects), len(watched)


@st.cache_data(max_entries=8, show_spinner="Laying out the map …")
def look_points(stamp: tuple, umap: bool, _view, _suspects, _run):
    predicted = _view.above("confidence", 0)
    ids = insights.choose_points(predicted, _suspects)
    points = insights.embedding_map(_run, ids, umap)
    if points is None:
        return None
    return insights.describe_points(_view, points, _suspects), len(predicted)


def show_mix_ups() -> None:
    matrix, classes = mix_ups(view.fields.stamp(), view, marked)
    if not matrix.labelled:
        st.info("No image has both a label and a prediction: label some, then train and predict.")
        return
    with st.container(horizontal=True, gap="medium"):  # one below the other in a narrow window
        with st.container(width=620):
            show_pairs(matrix)
        with st.container(width=390):
            show_classes(classes)


def show_pairs(matrix: insights.Confusion) -> None:
    st.markdown("**Given label against prediction**")
    text = (
        f"{matrix.differ:,} of {matrix.labelled:,} differ. Click a coloured cell to see its "
        "images; grey ones agree."
    )
    if len(matrix.classes) < len(dataset.classes):
        text += f" Shown are the {len(matrix.classes)} classes with the most frequent mix-ups."
    st.caption(text)
    charts.confusion(matrix, PAIR, open_pair)


def show_classes(classes: pd.DataFrame) -> None:
    st.markdown("**Suspects by given class**")
    st.caption(f"By {SCORES[score].title}. A class with a large share is hard, or badly labelled.")
    column = st.column_config
    number = partial(column.NumberColumn, format="localized")
    st.dataframe(
        classes, hide_index=True, width="stretch", height=min(35 * len(classes) + 38, 600),
        column_order=["class", "suspects", "samples", "share"],
        column_config={
            "class": column.TextColumn(width=100),
            "suspects": number(width=65),
            "samples": number(width=65),
            "share": column.ProgressColumn(
                format="percent", max_value=max(classes["share"].max(), 0.01), width=120),
        },
    )  # fmt: skip


def open_pair() -> None:
    """A cell was clicked: the run of the script that follows goes to its images."""
    cells = st.session_state[PAIR]["selection"].get("cell")
    if cells and cells[0]["given"] != cells[0]["predicted"]:
        st.session_state[OPEN] = {name: cells[0][name] for name in ("given", "predicted")}


@st.fragment
def show_map(points, total: int, axes: tuple[str, str] | None, key: str) -> None:
    """A map, and below it the images of the dots that are chosen. A fragment: choosing draws
    nothing else anew, so the page stays where it is."""
    by = [GIVEN, *view.score_names()]
    color = st.selectbox(
        "Colour", by, key=f"{key}-colour", width=240,
        format_func=lambda name: "Given label" if name == GIVEN else SCORES[name].title,
    )  # fmt: skip
    chosen = charts.sample_map(points, color, dataset.classes, axes, f"{key}-{run}")
    drawn = f"Large dots are suspects by {SCORES[score].title}."
    if len(points) < total:
        drawn += (f" {len(points):,} of {total:,} images are drawn, always the same: "
                  f"{points['suspect'].sum():,} suspects, the others at random.")  # fmt: skip
    st.caption(drawn)
    if not len(chosen):
        st.info("Draw a box around dots, or click one, to see the images.")
        return
    ranked_by = score if color == GIVEN else color
    some = view.select(chosen).sort_by(ranked_by, reverse=True)
    st.subheader(f"{len(some):,} chosen")
    grid.paged(some, key, ranked_by, ranking=(run, ranked_by, tuple(chosen)))


def show_training() -> None:
    found = training_points(view.fields.stamp(), view, marked, dataset.run(run))
    if found is None:
        st.info(f"{run} was not watched while it learned. Train here to see this map.")
        st.page_link("pages/model/train.py", label="Train", icon=":material/model_training:")
        return
    st.write(
        "How each image behaved while the model learned. Top: its label was believed, the further "
        "right the later, or the less steadily. **Bottom left: its label was never believed: wrong "
        "labels gather there.**"
    )
    axes = ("how much it changed (standard deviation)", "belief in the given label (mean)")
    show_map(*found, axes, "insights-training")


def show_looks() -> None:
    st.write(
        "Images that look alike to the model lie close together. **A dot of another colour within "
        "a group is a label to doubt**; dots between groups are hard to tell apart."
    )
    umap = insights.has_umap() and st.toggle(
        "Tear the groups apart (UMAP)", key="insights-umap",
        help="Shows groups more clearly than PCA, but distances between them mean little. Takes "
        "half a minute, the first time a minute.",
    )  # fmt: skip
    found = look_points(view.fields.stamp(), umap, view, marked, dataset.run(run))
    if found is None:
        if not dataset.run(run).has_model:
            how = "import them with its predictions" if dataset.run(run).is_imported else (
                "give them to Recorder.update")  # fmt: skip
            st.info(f"{run} has no embeddings: {how} to see this map.")
            return
        st.info(f"{run} has not kept what the images look like to it: predict again.")
        st.page_link("pages/model/predict.py", label="Predict", icon=":material/psychology:")
        return
    show_map(*found, None, f"insights-looks-{'umap' if umap else 'pca'}")


if pair := st.session_state.pop(OPEN, None):
    # all that the cell counts: also what suspicion thinks right
    asked = {state.DATASET: dataset.name, "run": run, MODE: MANY, "everything": "true", **pair}
    st.switch_page(REVIEW, query_params=asked)
part = st.segmented_control("Show", [CONFUSION, TRAINING, LOOKS], default=CONFUSION, required=True,
                            key="insights-part", label_visibility="collapsed")  # fmt: skip
{CONFUSION: show_mix_ups, TRAINING: show_training, LOOKS: show_looks}[part]()
