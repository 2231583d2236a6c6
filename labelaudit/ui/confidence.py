"""Whether there is enough data for probabilities. If not, pages show the ranking without them."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ..dataset.view import View
from ..ranking.ranking import weakness
from ..storage.schema import REMOVED

FEW = 50  # images of the median class; with fewer, probabilities are not shown


@st.cache_data(max_entries=32, show_spinner=False)
def _cached_note(stamp: tuple, _view: View) -> str | None:
    with _view.steady():
        frame = _view.frame
        labels = frame.label[(frame.label >= 0) & ~frame.tagged(REMOVED)]
    sizes = np.unique(labels, return_counts=True)[1]
    if len(sizes) and np.median(sizes) < FEW:
        return (
            f"Most classes have fewer than {FEW} images, so the suspects are ranked without "
            "probabilities."
        )
    if weakness(_view):
        return (
            "The predictions agree with the labels no more often than chance, so the suspects have "
            "no probabilities."
        )
    return None


def confidence_note(view: View) -> str | None:
    """Return why probabilities of this run are not shown, as a sentence; None if they are.

    view: all samples of a run. Cached until its labels or predictions change.
    """
    return _cached_note(view.fields.stamp(), view)
