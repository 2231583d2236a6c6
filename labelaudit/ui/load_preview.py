"""The load dialog's options of a source, and how the source is understood before it is loaded."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ..core.errors import LabelAuditError
from ..sources import Preview, preview_dataset
from . import grid
from .text import counted, plain, show_error

SHOWN_CLASSES = 12  # with thumbnails
LISTED_CLASSES = 1000
THUMBNAIL = 96  # pixels


# Optional inputs: argument of `load_dataset`, title, placeholder, help.
OPTIONS = [
    (
        "label",
        "Label column",
        "automatic",
        "The column, field or control that holds the labels, if there are several.",
    ),
    (
        "path_column",
        "Path column",
        "automatic",
        "The column of an image list that holds the paths or names of the images.",
    ),
    (
        "label_from",
        "Label from",
        "automatic",
        "For a folder or zip: the level of the class folders (1: those at the top), 'parent' (the "
        "folder of each image), 'name' (the beginning of the file name), 'folders' (not in a "
        "list), or the name of a list in it.",
    ),
    (
        "split_from",
        "Split from",
        "automatic",
        "For a folder or zip: the level of the folders that are splits, or 'none'.",
    ),
    (
        "ignore",
        "Ignore",
        "nothing",
        "For a folder or zip: names of folders or files to leave out, or patterns such as "
        "'*/thumbs/*', separated by commas.",
    ),
    (
        "root",
        "Image folder",
        "folder of the list",
        "For an image list: the folder its paths are relative to.",
    ),
]


def options(key: str, with_root: bool) -> dict:
    """Draw the optional inputs. Returns the arguments of `load_dataset`; `root` is as typed."""
    values = {}
    with st.expander("Options", icon=":material/tune:"):
        columns = st.columns(2)
        for place, (name, title, placeholder, help) in enumerate(OPTIONS):
            if name == "root" and not with_root:
                continue
            typed = columns[place % 2].text_input(
                title,
                key=f"{key}-{name.replace('_', '-')}",
                placeholder=placeholder,
                help=help,
            )
            values[name] = (typed or "").strip() or None
    return {**values, "ignore": values["ignore"] or ""}


def show(key: str, source: str, arguments: dict, draw: bool) -> bool:
    """Read a source, once until source or options change. Shows an error if that fails.

    key: prefix of the session keys. arguments: of `preview_dataset`. draw: whether to show how the
    source is understood. Returns whether it can be read.
    """
    read = (source, tuple(sorted(arguments.items())))
    state = f"{key}-preview"
    if st.session_state.get(state, (None, None))[0] != read:
        try:
            with st.spinner("Reading the source …"):
                found = preview_dataset(source, **arguments)
        except LabelAuditError as error:
            st.session_state.pop(state, None)
            show_error(error)
            return False
        st.session_state[state] = (read, found, _pictures(found))
    _, found, cards = st.session_state[state]
    if draw:
        with st.container(border=True):
            _draw(found, cards)
    return True


def _draw(found: Preview, cards: list[grid.ClassCard]) -> None:
    st.markdown(f"**Read as {plain(found.format)}**")
    for step in found.folders:
        st.caption(plain(step[:1].upper() + step[1:]))
    figures = {"Images": found.images, "Classes": len(found.classes), **found.splits}
    if found.unlabelled:
        figures["Without a label"] = found.unlabelled
    with st.container(horizontal=True, gap="medium"):
        for title, value in figures.items():
            st.metric(plain(title), f"{value:,}", width="content")
    if not found.is_complete:
        st.caption("Only the first images were read.")
    for note in found.skipped["notes"]:
        st.warning(plain(note))
    grid.draw_classes(cards)
    if len(found.classes) > SHOWN_CLASSES:
        with st.expander(f"All {counted(len(found.classes), 'class')}"):
            rows = [(entry.name, entry.images) for entry in found.classes[:LISTED_CLASSES]]
            st.dataframe(pd.DataFrame(rows, columns=["class", "images"]), hide_index=True)
    skipped = found.skipped
    if skipped["count"]:
        with st.expander(f"Images skipped: {skipped['count']:,}", icon=":material/warning:"):
            rows = list(skipped["reasons"].items())
            st.dataframe(pd.DataFrame(rows, columns=["reason", "images"]), hide_index=True)
            st.dataframe(pd.DataFrame(skipped["files"]), hide_index=True)
    if skipped["others"]:
        others = ", ".join(f"{count:,} {kind}" for kind, count in skipped["others"].items())
        st.caption(f"Not read: {plain(others)}.")
    st.caption("Broken images are found while loading.")


def _pictures(found: Preview) -> list[grid.ClassCard]:
    """Return the first classes with the thumbnails of some images."""
    return [
        grid.ClassCard(
            entry.name,
            entry.images,
            [(path, found.thumbnail(path, THUMBNAIL)) for path in entry.samples],
        )
        for entry in found.classes[:SHOWN_CLASSES]
    ]
