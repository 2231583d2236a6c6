"""A run's view of the whole dataset: confused classes, and maps of the samples."""

import time
from functools import partial

import pandas as pd
import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.ranking import insights, umap_plane
from labelaudit.ranking.compare import compare_suspects
from labelaudit.ranking.ranking import suspects
from labelaudit.scores import SCORES, default_score
from labelaudit.ui import charts, grid, jobs, sample_map, state
from labelaudit.ui.review_address import MANY, MODE, REVIEW, review_button
from labelaudit.ui.sample_map import GIVEN
from labelaudit.ui.text import counted, show_error, verb
from labelaudit.ui.total import show_total

CONFUSION, TRAINING, SIMILARITY = "Confusion", "Training map", "Similarity map"
COMPARE = "Compare runs"
PAIR, OPEN = "insights-pair", "insights-open"
UMAP = "insights-umap-points"  # session state key: what the map shows, and the map

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
def class_confusion(stamp: tuple, _view, _suspects) -> tuple:
    """Cached, as all functions here, by the view's stamp: unique per dataset and table versions."""
    return insights.confusion(_view), insights.class_suspects(_view, _suspects)


@st.cache_data(max_entries=8, show_spinner=False)
def training_points(stamp: tuple, _view, _suspects, _run):
    if "cartography" not in _view.score_names():
        return None
    recorded = _view.above("cartography", -1)  # without samples that were relabelled since
    points = insights.dynamics_map(_run, insights.choose_points(recorded, _suspects))
    return insights.describe_points(_view, points, _suspects), len(recorded)


@st.cache_data(max_entries=8, show_spinner="Computing the map …")
def similarity_points(stamp: tuple, _view, _suspects, _run):
    return described_map(insights.POINTS, None, _view, _suspects, _run)


def umap_points():
    """Return the same with UMAP, computed once per session. It ends when the page is left."""
    key = (view.fields.stamp(), run)
    if st.session_state.get(UMAP, (None,))[0] != key:
        said, begun = st.empty(), time.monotonic()

        def wait() -> None:  # calls Streamlit, which ends the script if the page is left
            said.markdown(
                f"Computing the map, which takes about a minute: {time.monotonic() - begun:.0f} s "
                "so far. Turn UMAP off or leave the page to stop it."
            )

        try:
            found = described_map(
                insights.UMAP_POINTS,
                lambda vectors: umap_plane.umap_plane(vectors, wait),
                view,
                marked,
                dataset.run(run),
            )
        finally:
            said.empty()
        st.session_state[UMAP] = (key, found)
    return st.session_state[UMAP][1]


def described_map(most: int, project, view, suspects, run):
    """Return the points of the similarity map and how many there could be; None without any."""
    predicted = view.above("confidence", 0)
    points = insights.embedding_map(run, insights.choose_points(predicted, suspects, most), project)
    if points is None:
        return None
    return insights.describe_points(view, points, suspects), len(predicted)


def show_confusion() -> None:
    matrix, classes = class_confusion(view.fields.stamp(), view, marked)
    if not matrix.labelled:
        st.info(
            "No image has both a label and a prediction. Take a first look, or train a "
            "model and predict."
        )
        return
    with st.container(horizontal=True, gap="medium"):  # stacked in a narrow window
        with st.container(width=620):
            show_pairs(matrix)
        with st.container(width=390):
            show_classes(classes)


def show_pairs(matrix: insights.Confusion) -> None:
    st.markdown("**Given and predicted class**")
    text = (
        f"{matrix.differ:,} of {counted(matrix.labelled, 'image')} "
        f"{verb(matrix.differ, 'differs', 'differ')}. Click a coloured cell to review its "
        "images."
    )
    if len(matrix.classes) < len(view.fields.classes):
        text += f" Only the {len(matrix.classes)} most frequently confused classes are shown."
    st.caption(text)
    charts.confusion(matrix, PAIR, open_pair)


def show_classes(classes: pd.DataFrame) -> None:
    st.markdown("**Suspects by given class**")
    st.caption(f"By {SCORES[score].title}. A class with many suspects is hard or badly labelled.")
    column = st.column_config
    number = partial(column.NumberColumn, format="localized")
    st.dataframe(
        classes.assign(share=100 * classes["share"]),
        hide_index=True,
        width="stretch",
        height=min(35 * len(classes) + 38, 600),
        column_order=["class", "suspects", "samples", "share"],
        column_config={
            "class": column.TextColumn(width=100),
            "suspects": number(width=65),
            "samples": number(width=65),
            "share": column.ProgressColumn(
                format="%.1f%%", max_value=max(100 * classes["share"].max(), 1), width=120
            ),
        },
    )


def open_pair() -> None:
    """Cell click callback: the next run of the script opens the cell's images."""
    cells = st.session_state[PAIR]["selection"].get("cell")
    if cells and cells[0]["given"] != cells[0]["predicted"]:
        st.session_state[OPEN] = {name: cells[0][name] for name in ("given", "predicted")}


@st.fragment
def show_map(points, total: int, axes: tuple[str, str] | None, key: str) -> None:
    """Draw a map, which has the images of the selected dots beside it. As a fragment, because each
    request for images runs it again."""
    ranked = points.sort_values(score, ascending=False, kind="stable")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        color = st.selectbox(
            "Colour",
            [GIVEN, *view.score_names()],
            key=f"{key}-colour",
            width=240,
            format_func=lambda name: "Given label" if name == GIVEN else SCORES[name].title,
        )
        button = st.container(width="content")
    selected = sample_map.show(view, ranked, color, axes, f"{key}-{dataset.name}-{run}")
    with button:
        review_button(dataset.name, run, selected, f"{key}-review")
    drawn = f"Large dots are suspects by {SCORES[score].title}."
    if len(points) < total:
        drawn += (
            f" {len(points):,} of {total:,} images are drawn: {points['suspect'].sum():,} "
            "suspects and a random sample of the others."
        )
    st.caption(drawn)


def show_training() -> None:
    found = training_points(view.fields.stamp(), view, marked, dataset.run(run))
    if found is None:
        st.info(f"{run} has no training records. Train a model here to see this map.")
        st.page_link("pages/model/train.py", label="Train", icon=":material/model_training:")
        return
    st.write(
        "How probable the model found each given label during training. Labels at the top were "
        "learned; the further right, the later or the less steadily. **Wrong labels gather at the "
        "bottom left: the model never found them probable.**"
    )
    axes = ("variability (standard deviation)", "probability of the given label (mean)")
    show_map(*found, axes, "insights-training")


def show_similarity() -> None:
    st.write(
        "Images that are similar to the model are close together. **A dot with another colour than "
        "the dots around it may have a wrong label.** Two dimensions show only part of what the "
        "model sees, so look at the images."
    )
    installed = umap_plane.is_installed()
    umap = st.toggle(
        "Separate the groups (UMAP)",
        key="insights-umap",
        disabled=not installed,
        help="Shows groups more clearly than PCA, but distances between groups mean little. Takes "
        "about a minute."
        if installed
        else "Shows groups more clearly than PCA. It is not installed: run `pip install "
        "umap-learn` where the app runs, then start the app again.",
    )
    if umap and installed:
        try:
            found = umap_points()
        except LabelAuditError as error:
            show_error(error)
            return
    else:
        found = similarity_points(view.fields.stamp(), view, marked, dataset.run(run))
    if found is None:
        if not dataset.run(run).has_model:
            how = (
                "Import them with its predictions"
                if dataset.run(run).is_imported
                else ("Pass them to Recorder.update")
            )
            st.info(f"{run} has no embeddings. {how} to see this map.")
            return
        st.info(f"{run} has no embeddings. Predict again to see this map.")
        st.page_link("pages/model/predict.py", label="Predict", icon=":material/psychology:")
        return
    show_map(*found, None, f"insights-similarity-{'umap' if umap else 'pca'}")


def show_comparison() -> None:
    others = [name for name in runs if name != run]
    if not others:
        st.info(
            "There is no other run to compare with. Each training makes one, and imported "
            "predictions do too."
        )
        st.page_link("pages/model/train.py", label="Train", icon=":material/model_training:")
        return
    other = st.selectbox("Compare with", others, key="insights-other", width=240)
    found = compare_suspects(dataset, run, other)
    parts = {
        f"Suspects of both · {len(found.both):,}": found.both,
        f"Only {run} · {len(found.first):,}": found.first,
        f"Only {other} · {len(found.second):,}": found.second,
    }
    shown = st.segmented_control(
        "Suspects",
        list(parts),
        default=next(iter(parts)),
        required=True,
        key=f"insights-compare-{run}-{other}",
        label_visibility="collapsed",
    )
    st.caption(
        "Both runs judge the labels as they are now. A suspect of one run only is less certain, or "
        "its label was changed after the other run was made."
    )
    some = parts[shown]
    if not len(some):
        st.info("There are none.")
        return
    shown_run = other if some is found.second else run
    review_button(dataset.name, shown_run, some.ids, "insights-compare-review")
    ranked_by = default_score(some.score_names())
    grid.paged(some, "insights-compare", ranked_by, ranking=(run, other, shown))


if pair := st.session_state.pop(OPEN, None):
    # everything the cell counts, not only suspects
    address = {state.DATASET: dataset.name, "run": run, MODE: MANY, "everything": "true", **pair}
    st.switch_page(REVIEW, query_params=address)
show_total(dataset, run)
part = st.segmented_control(
    "Show",
    [CONFUSION, TRAINING, SIMILARITY, COMPARE],
    default=CONFUSION,
    required=True,
    key="insights-part",
    label_visibility="collapsed",
)
shows = {CONFUSION: show_confusion, TRAINING: show_training, SIMILARITY: show_similarity}
(shows | {COMPARE: show_comparison})[part]()
