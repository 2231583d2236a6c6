"""The start page: how far the audit of the dataset is, and what to do next."""

import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset import history_log
from labelaudit.dataset.dataset import Dataset
from labelaudit.dataset.history import list_changes
from labelaudit.jobs.job import Job
from labelaudit.pipeline import trains_by_default
from labelaudit.review.verdicts import Review
from labelaudit.sources import load_dataset
from labelaudit.ui import audit_path, feature_choice, jobs, load_form, run_on, state
from labelaudit.ui.text import counted, plain, show_error
from labelaudit.ui.total import show_total

NOISE = 0.2


def go(page: str, dataset: str | None = None, run: str | None = None) -> None:
    """Button callback: switch to the page, dataset and run in the next run of the script."""
    st.session_state["go"] = page, ({"run": run} if run else {})
    if dataset:
        state.choose(dataset)


def show_result(job: Job) -> None:
    result, name = job.result, job.dataset
    with st.container(border=True):
        st.header(f"Audit of {name} finished")
        if result["evaluation"]:
            ranking = result["score"]  # the score that orders the suspects
            with st.container(horizontal=True, gap="medium"):
                show_rehearsal(next(x for x in result["evaluation"] if x["score"] == ranking))
        else:
            st.metric("Suspects", f"{result['suspects']:,}", width="content")
        show_total(Dataset(name), result["run"])
        if changed := result.get("changed"):
            st.caption(
                f"Training changed {changed['new']:,} of the first "
                f"{counted(changed['of'], 'suspect')} of the first look."
            )
        if note := result.get("training_note"):
            st.caption(plain(note))
        with st.container(horizontal=True):
            st.button(
                "Review the suspects",
                type="primary",
                icon=":material/rate_review:",
                on_click=go,
                args=("pages/suspects/review.py", name, result["run"]),
            )
            st.button(
                "Results",
                icon=":material/fact_check:",
                on_click=go,
                args=("pages/suspects/results.py", name),
            )
            if st.button("Load your own images", icon=":material/photo_library:"):
                load_form.show()


def show_rehearsal(found: dict) -> None:
    st.metric("Labels made wrong", f"{found['mistakes']:,}", width="content")
    st.metric(f"Found in the first {found['k']:,}", f"{found['found']:,}", width="content")
    expected = found["k"] * found["mistakes"] / found["samples"]
    st.metric(
        "Random picking would find",
        f"{expected:.0f}",
        width="content",
        help=f"Expected among {found['k']:,} images picked at random.",
    )


def invite_to_sample() -> None:
    st.header("Try it on sample data")
    st.write(
        f"1,797 handwritten digits, with {NOISE:.0%} of the labels made wrong on purpose. "
        "See how many the audit finds. This takes less than a minute."
    )
    current = state.current()
    own = current.name != state.SAMPLE or current.view().score_names()  # then another step is next
    if st.button(
        "Run the sample audit", type="secondary" if own else "primary", icon=":material/play_arrow:"
    ):
        if sample_has_work():
            ask_to_start_over()
        else:
            jobs.begin("audit", state.SAMPLE, noise=NOISE, train=True)


def sample_has_work() -> bool:
    """Whether the sample data has verdicts or changes that a repeated audit would mix up."""
    if state.SAMPLE not in state.dataset_names():
        return False
    sample = Dataset(state.SAMPLE)
    changed = any(change.kind != history_log.NOISE for change in list_changes(sample))
    return changed or bool(Review(sample, state.reviewer()).reviewers())


@st.dialog("Start over?")
def ask_to_start_over() -> None:
    st.write(
        f"Your verdicts and changes on {state.SAMPLE} are in the way of new planted mistakes. "
        "Starting over loads the sample data again and deletes them, with all runs."
    )
    with st.container(horizontal=True):
        if st.button("Start over", type="primary"):
            try:
                load_dataset(state.SAMPLE, overwrite=True)
            except LabelAuditError as error:
                show_error(error)
                return
            jobs.begin("audit", state.SAMPLE, noise=NOISE, train=True)
        if st.button("Continue reviewing"):
            go("pages/suspects/review.py", state.SAMPLE)
            st.rerun()


def invite_to_continue(dataset: Dataset, done: audit_path.Reviewed) -> None:
    """Offer a returning visitor to go on reviewing the suspects."""
    with st.container(border=True):
        show_total(dataset, done.run)
        left = done.suspects - done.reviewed
        if left:
            title = f"Go on reviewing {dataset.name}" if done.given else "Review the suspects"
        else:
            title = f"Check {dataset.name} further" if done.suspects else "Check random images"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                title,
                type="primary",
                icon=":material/rate_review:",
                on_click=go,
                args=("pages/suspects/review.py", dataset.name, done.run),
            )
            st.caption(
                f"{counted(left, 'suspect')} left to review."
                if left
                else "You have reviewed all suspects. Random checks show what the ranking misses."
            )


@st.cache_data(max_entries=20, show_spinner=False)
def usually_trains(uri: str, created: str, samples: int, _dataset: Dataset) -> bool:
    """Cached because it may open some images to find their size."""
    try:
        return trains_by_default(_dataset)
    except LabelAuditError:  # no image can be read; the audit says so
        return False


def audit_form(dataset: Dataset) -> None:
    """Choose the features and whether to train, and start the audit."""
    features = feature_choice.choose(dataset, "audit")
    default = usually_trains(dataset.uri, dataset.created, len(dataset), dataset)
    train = st.toggle(
        "Also train a model",
        default,
        key=f"audit-train-{dataset.name}",
        help="Training comes after the first suspects and refines them. It adds something for "
        "small images (up to 96 pixels). On photographs, pretrained features find more than a "
        "small network trained from scratch. After a sync, the earlier model is used as long as at "
        "most 10% of the labels are new or changed.",
    )
    where = run_on.choose()
    again = "again" if dataset.view().score_names() else ""
    if st.button(
        f"Audit {dataset.name} {again}".strip(),
        type="secondary" if again else "primary",
        icon=":material/play_arrow:",
        disabled=features is None,
    ):
        asked = None if train == default else train
        jobs.begin("audit", dataset.name, features=features, train=asked, **where)


def invite_to_own(dataset: Dataset) -> None:
    if dataset.name == state.SAMPLE:
        st.header("Audit your own images")
        st.write(
            "Load class folders, an image list, COCO, Hugging Face, FiftyOne, Label Studio or "
            "a zip. If you have a model, import its predictions instead of training."
        )
    else:
        st.header(f"Audit {plain(dataset.name)}")
        st.write(
            "First, features are extracted from each image. The suspects are then ready to review; "
            "if a model is trained too, it refines them."
        )
        audit_form(dataset)
    if st.button("Load a dataset", icon=":material/photo_library:"):
        load_form.show()


if "go" in st.session_state:
    page, address = st.session_state.pop("go")
    st.switch_page(page, query_params=address)

dataset = state.current()
done = audit_path.reviewed(dataset, state.reviewer())
st.title("Find the wrong labels in your images")
if not done:
    st.write(
        "LabelAudit compares each image with all others and ranks the images by how likely their "
        "label is wrong. You decide each one with a key, and export the corrected labels."
    )
audit_path.show(dataset, done)
chosen = dataset.name
loading = jobs.show_watched("load", load_form.select_loaded) == jobs.ACTIVE
status = jobs.NOTHING if loading else jobs.show(chosen, ["audit"], show_result)
if status == jobs.NOTHING and chosen != state.SAMPLE:  # the sample audit, started on this page
    status = jobs.show(state.SAMPLE, ["audit"], show_result, also_others=False)
if status != jobs.ENDED and done:
    invite_to_continue(dataset, done)
if status == jobs.NOTHING and not loading:
    own = chosen != state.SAMPLE  # then its audit comes first
    left, right = st.columns([3, 2], gap="medium")
    first, second = (right, left) if own else (left, right)
    with first, st.container(border=True, height="stretch"):
        invite_to_sample()
    with second, st.container(border=True, height="stretch"):
        invite_to_own(dataset)
