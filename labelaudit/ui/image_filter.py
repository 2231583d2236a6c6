"""The filter for image issues and outliers, with the number of samples of each kind."""

from __future__ import annotations

import streamlit as st

from ..dataset.view import View
from ..ranking.image_kinds import MEANINGS, image_kinds
from ..storage.schema import REMOVED

ANY = "any"
PARAMETER = "image"  # query parameter of the review page


def choose(view: View, key: str, in_address: bool = False) -> str | None:
    """Draw the filter. Returns the chosen kind; None for any, or if there is nothing to choose.

    view: all samples of a run. key: of the widget. in_address: whether the choice is stored in the
    address; not by Streamlit, which would store the counts with it.
    """
    counts = _counts(view.fields.stamp(), view)
    if not counts:
        return None
    if in_address and key not in st.session_state:
        st.session_state[key] = st.query_params.get(PARAMETER, ANY)
    if st.session_state.get(key, ANY) not in counts:
        st.session_state[key] = ANY
    chosen = st.selectbox(
        "Image",
        [ANY, *counts],
        key=key,
        format_func=lambda name: name if name == ANY else f"{name} ({counts[name]:,})",
        help="Samples by their image, whatever their label is. All samples are searched, not only "
        "suspects.",
    )
    kind = None if chosen == ANY else chosen
    if kind:
        st.caption(MEANINGS[kind])
    if in_address:
        if kind:
            st.query_params[PARAMETER] = kind
        else:
            st.query_params.pop(PARAMETER, None)
    return kind


@st.cache_data(max_entries=8, show_spinner=False)
def _counts(stamp: tuple, _view: View) -> dict[str, int]:
    """Cached by the view's stamp, which is unique per dataset and table versions."""
    predicted = _view.above("confidence", 0).exclude_tag(REMOVED)
    return {name: len(ids) for name, ids in image_kinds(predicted).items()}
