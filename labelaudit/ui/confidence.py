"""Whether probabilities are shown. If not, pages show the ranking without them."""

from __future__ import annotations

import streamlit as st

from ..dataset.view import View
from ..ranking import ranking


@st.cache_data(max_entries=32, show_spinner=False)
def _cached_note(stamp: tuple, runs: tuple, _view: View) -> str | None:
    return ranking.confidence_note(_view)


def confidence_note(view: View) -> str | None:
    """Return why probabilities are not shown, as a sentence; None if they are.

    view: all samples of a run. Cached until labels, predictions or runs change.
    """
    runs = tuple(run["id"] for run in view.frame.runs)
    return _cached_note(view.fields.stamp(), runs, view)
