"""Several annotators: how good each one is, where they disagree, and whom to ask."""

import streamlit as st

from labelaudit.annotators.consensus import SURE, AnnotatorConsensus, consensus, has_labels
from labelaudit.annotators.importing import import_annotations
from labelaudit.annotators.stored import TABLE
from labelaudit.core.errors import LabelAuditError
from labelaudit.ui import grid, state, uploads
from labelaudit.ui.text import counted, plain, show_error
from labelaudit.ui.total import show_headline

ASKED = 20
PERCENT = st.column_config.NumberColumn(format="percent")


@st.cache_resource(max_entries=4, show_spinner="Comparing the annotators …")
def fitted(stamp: tuple, model: bool, _dataset) -> AnnotatorConsensus:
    """Cached by the stamp, which is unique per dataset, labels, predictions and annotators."""
    return consensus(_dataset, model=model)


def import_form() -> None:
    st.write(
        "A table (CSV, JSON lines, Parquet) with a row per label and the columns id or filepath, "
        "annotator and label; or an export of Label Studio (JSON). The labels of the dataset are "
        "not changed."
    )
    file = st.file_uploader(
        "Labels by annotators",
        key=f"annotators-file-{dataset.name}",
        type=["csv", "tsv", "jsonl", "parquet", "json"],
    )
    if st.button("Import", type="primary", disabled=not file):
        try:
            found = import_annotations(dataset, uploads.store(file))
        except LabelAuditError as error:
            show_error(error)
            return
        st.toast(
            f"{counted(found['labels'], 'label')} by {counted(found['annotators'], 'annotator')}."
        )
        st.rerun()


def figures(found: AnnotatorConsensus) -> None:
    differs = int((found.samples["consensus"] != found.samples["ground_truth"]).sum())
    with st.container(horizontal=True, gap="medium"):
        st.metric("Annotators", f"{len(found.annotators):,}", width="content")
        st.metric("Samples with labels by them", f"{len(found.samples):,}", width="content")
        st.metric(
            "Agreement",
            "unknown" if found.agreement != found.agreement else f"{found.agreement:.2f}",
            width="content",
            help="Agreement beyond chance (Krippendorff's alpha): 1 is perfect, 0 is chance.",
        )
        st.metric("Consensus differs from the label", f"{differs:,}", width="content")
    for note in found.notes:
        st.caption(plain(note))


def apply_button(found: AnnotatorConsensus) -> None:
    with st.popover("Apply the consensus", icon=":material/task_alt:"):
        least = st.slider("Least probability", 0.5, 1.0, SURE, 0.01, key="annotators-least")
        table = found.samples
        count = int(((table["p"] >= least) & (table["consensus"] != table["ground_truth"])).sum())
        st.write(f"{counted(count, 'label')} would change. History can undo it.")
        if st.button("Apply", type="primary", disabled=not count):
            try:
                changed = found.apply(least)
            except LabelAuditError as error:
                show_error(error)
                return
            st.toast(f"{counted(changed, 'label')} changed.")
            st.rerun()


def show(found: AnnotatorConsensus) -> None:
    figures(found)
    apply_button(found)
    st.header("Annotators")
    st.dataframe(
        found.annotators,
        hide_index=True,
        width="stretch",
        column_config={"quality": PERCENT, "agree": PERCENT, "times": "about … times"},
    )
    st.caption(
        "Quality: the estimated share of right labels. Agree: the share of labels that are the "
        "consensus. Confuses: the most frequent error, true class → given class."
    )
    st.header("Whom to ask")
    st.write("The samples whose label is most uncertain, and who confuses their classes least.")
    st.dataframe(found.ask(ASKED), hide_index=True, width="stretch", column_config={"p": PERCENT})
    st.header("Where the consensus differs")
    view = found.disagreements()
    if len(view):
        grid.paged(view, "annotators")
    else:
        st.info("The consensus is the label of every sample.")


dataset = state.current()
st.title("Annotators")
show_headline(dataset)
frame = dataset.view().frame
if has_labels(frame):
    with st.sidebar:
        model = st.toggle(
            "Use predictions",
            value=True,
            key="annotators-model",
            help="Predictions that did not learn the labels, such as a first look, count as well.",
        )
    stamp = (dataset.uri, dataset.created, dataset.view().fields.stamp(), frame.stamp(TABLE))
    try:
        show(fitted(stamp, model, dataset))
    except LabelAuditError as error:
        show_error(error)
    with st.expander("Import more labels"):
        import_form()
else:
    st.info("Import the labels of several annotators to see how good each one is.")
    import_form()
