"""A form that sets or removes a tag on all samples of a view."""

from __future__ import annotations

import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.view import View
from . import jobs
from .text import counted, plain, show_error


def popover(view: View, key: str) -> None:
    """Draw a button that opens the form. key: prefix of the widget keys."""
    with st.popover("Tag", icon=":material/label:", key=f"{key}-tag", disabled=not len(view)):
        st.write(f"Tag the {counted(len(view), 'sample')} that match the filters.")
        tag = st.text_input(
            "Tag",
            key=f"{key}-tag-name",
            placeholder="check again",
            help="Tags are exported, listed in the history, and can be filtered by.",
        ).strip()
        with st.container(horizontal=True):
            add = st.button("Add", type="primary", key=f"{key}-tag-add")
            remove = st.button("Remove", key=f"{key}-tag-remove")
        if not (add or remove):
            return
        if not tag:
            show_error("enter the name of a tag.")
            return
        if jobs.busy(view.name):
            return
        try:
            count = view.tag(tag) if add else view.untag(tag)
        except LabelAuditError as error:
            show_error(error)
            return
        changed = counted(count, "sample")
        done = f"added to {changed}" if add else f"removed from {changed}"
        st.toast(f"Tag {plain(tag)} {done}.")
        st.rerun()
