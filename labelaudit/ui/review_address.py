"""The address of the review page: its query parameters, and how another page opens it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from ..review.opinions import LATEST, MAJORITY, UNANIMOUS
from ..review.queue import ALL, DISAGREED, MINE, TODO, QueueFilter

REVIEW = "pages/suspects/review.py"

# Query parameters of the review page, and their values
MODE, ONE, MANY = "mode", "One by one", "Many at once"
STATUS = "show"
STATUS_WORDS = {
    TODO: "not reviewed by me",
    ALL: "all suspects",
    MINE: "reviewed by me",
    DISAGREED: "reviewers disagree",
}
RULE = "rule"  # how several verdicts on a sample are decided
RULE_WORDS = {
    UNANIMOUS: "all say the same",
    MAJORITY: "more than half say the same",
    LATEST: "the latest verdict counts",
}
SAMPLE = "sample"  # the current sample
SIMILAR = "similar"  # the sample whose similar images are shown
# Session state key: widget keys of the review page with their values in the next run of the script.
OPEN = "review-open"
# Session state key: samples chosen on another page to be reviewed alone, as `Chosen`.
CHOSEN = "review-chosen"
ANY = "any"  # value of a filter that does not filter
NO_SIMILAR = {SIMILAR: None, "given": ANY, "suggested": ANY}
WRITTEN = "sample-written"  # session state key: the sample that the page put into it


def choose_word(title: str, words: dict[str, str], key: str, **options) -> str:
    """Draw a select box of these values, shown in these words and stored in the address. options:
    of `st.selectbox`."""
    return st.selectbox(
        title, list(words), format_func=words.get, key=key, bind="query-params", **options
    )


@dataclass(frozen=True)
class Chosen:
    """Samples of a dataset to review alone."""

    dataset: str
    samples: tuple[int, ...]


def review_button(dataset: str, run: str, ids: np.ndarray, key: str) -> None:
    """Draw a button that opens these samples, int64 (n,), as a queue of the review page.

    Without samples it is disabled.
    """
    which = f"these {len(ids):,}" if len(ids) > 1 else "this one" if len(ids) else "the selected"
    icon = ":material/rate_review:"
    if st.button(f"Review {which}", icon=icon, key=key, disabled=not len(ids)):
        st.session_state[CHOSEN] = Chosen(dataset, tuple(ids.tolist()))
        address = {"dataset": dataset, "run": run, MODE: MANY, STATUS: STATUS_WORDS[ALL]}
        st.switch_page(REVIEW, query_params=address)


def chosen_samples(dataset: str) -> tuple[int, ...] | None:
    """Return the samples that were chosen for the review page; None for all."""
    chosen = st.session_state.get(CHOSEN)
    return chosen.samples if chosen and chosen.dataset == dataset else None


def empty_message(wanted: QueueFilter) -> str:
    """The message for an empty queue."""
    if wanted.status == TODO and wanted.share:
        return 'Your share is done. Turn off "Only my share" to see the rest.'
    if wanted.status == TODO:
        return "Nothing left to review here. You have reviewed every sample that matches."
    if wanted.status == DISAGREED:
        return "Reviewers do not disagree on any sample here."
    return "No samples match these filters. Change them in the sidebar."
