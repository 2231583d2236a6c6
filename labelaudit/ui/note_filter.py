"""The sidebar's filter for samples with a note."""

from __future__ import annotations

import streamlit as st

from ..dataset.view import View
from ..review.notes import note_field, with_note


def choose(view: View, key: str, in_address: bool = False) -> bool:
    """Draw the filter if any sample has a note. Returns whether only those are wanted.

    view: all samples. key: of the widget. in_address: whether the choice is stored in the address.
    """
    count = len(with_note(view)) if note_field(view.frame) else 0
    if not count and not st.session_state.get(key):
        return False
    return st.toggle(
        f"With a note ({count:,})",
        key=key,
        bind="query-params" if in_address else None,
        help="All samples are searched, not only suspects.",
    )
