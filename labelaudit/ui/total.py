"""The number of wrong labels, in the same words on every page."""

from __future__ import annotations

import streamlit as st

from ..dataset.dataset import Dataset
from ..review.estimate import Estimate, estimate_wrong, has_suspicion
from .confidence import confidence_note
from .text import plain


def show_total(dataset: Dataset, run: str, *more: str) -> Estimate | None:
    """Show how many labels are wrong, and behind a click what the number is made of.

    more: further sentences of the explanation. Returns the estimate; None, and shows nothing, if
    the run has no suspicion or there are too few samples for probabilities.
    """
    if not has_suspicion(dataset, run) or confidence_note(dataset.view(run)):
        return None
    found = estimate_wrong(dataset, run)
    st.markdown(f"**{plain(found.headline())}**")
    with st.expander("How is this counted?"):
        for line in [*found.explanation(), *more]:
            st.markdown(plain(line))
    if found.warning:
        st.warning(found.warning)
    return found
