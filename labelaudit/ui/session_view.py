"""The page of a session: the view that Python chose, and what is selected in it."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ..app_session import SessionFolder
from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from ..dataset.sample import Sample
from ..dataset.view import View
from ..scores import SCORES
from ..storage.schema import QUIET_TAGS
from . import state
from .component import component
from .images import pictures
from .text import counted, plain, show_error

POLL_SECONDS = 0.5  # a view set in Python is shown after this time
PAGE = 60  # images on a page
# Keys of the browser session: what is drawn, the page, the selected ids, and the drawn items.
NUMBER, PLACE, SELECTED = "session-number", "session-page", "session-selected"
ITEMS = "session-items"

_draw = component("select_cards")


def show(folder: SessionFolder) -> None:
    """Draw the page. It follows the session."""
    shown = folder.shown()
    if shown is not None and st.session_state.get(NUMBER) != shown.number:
        st.session_state[NUMBER] = shown.number
        st.session_state[PLACE] = 1
        st.session_state[SELECTED] = folder.selected(shown.number)
        if st.session_state[state.DATASET] != shown.dataset:  # the picker follows once
            state.choose(shown.dataset)
            st.rerun()
    st.fragment(_show, run_every=POLL_SECONDS)(folder)


def _show(folder: SessionFolder) -> None:
    shown = folder.shown()
    if shown is None:
        st.info("The session in Python shows no dataset. Assign `session.view = view` there.")
        return
    if st.session_state.get(NUMBER) != shown.number:
        st.rerun()  # the whole page
    try:
        dataset = state.opened(shown.dataset)
        view = dataset.view(shown.run) if shown.run else dataset.view()
        ids = view.ids if shown.ids is None else np.array(shown.ids, np.int64)
        pages = max(-(-len(ids) // PAGE), 1)
        page = min(st.session_state[PLACE], pages)
        items = _items(dataset, view, ids[(page - 1) * PAGE :][:PAGE], shown.field)
    except LabelAuditError as error:
        show_error(error)
        return
    st.title(dataset.name)
    order = f" · sorted by {shown.field}" if shown.field else ""
    st.caption(plain(f"{counted(len(ids), 'sample')} of the session's view{order}"))
    if not items:
        st.info("The session's view has no samples.")
    data = {
        "number": shown.number,
        "page": page,
        "pages": pages,
        "selected": st.session_state[SELECTED],
        "items": items,
    }

    def changed() -> None:
        event = (st.session_state["session-cards"] or {}).get("event")
        if event and event["number"] == shown.number:
            st.session_state[PLACE] = min(max(int(event["page"]), 1), pages)
            st.session_state[SELECTED] = [int(sample_id) for sample_id in event["selected"]]
            folder.write_selected(shown.number, st.session_state[SELECTED])

    _draw(key="session-cards", data=data, on_event_change=changed)


def _items(dataset: Dataset, view: View, ids: np.ndarray, field: str | None) -> list[dict]:
    """Return what the browser draws of these samples, ids int (n,). Read again if they changed."""
    drawn = (dataset.name, dataset.created, view.fields.stamp(), ids.tolist(), field)
    before = st.session_state.get(ITEMS)
    if before and before[0] == drawn:
        return before[1]
    samples = view.samples(ids) if len(ids) else []
    shown = zip(samples, pictures((view.uri, dataset.created), samples), strict=True)
    items = [
        {
            "id": sample.id,
            "filepath": sample.filepath,
            "given": sample.ground_truth,
            "predicted": sample.prediction.label if sample.prediction else None,
            "note": _note(sample, field),
            "image": picture.uri,
            "small": picture.small,
        }
        for sample, picture in shown
    ]
    st.session_state[ITEMS] = (drawn, items)
    return items


def _note(sample: Sample, field: str | None) -> str:
    """Return the value that the view is sorted by, and the tags."""
    parts = []
    if field in sample.scores and sample.scores[field] is not None:
        parts.append(f"{SCORES[field].title} {sample.scores[field]:.3f}")
    parts += [tag for tag in sample.tags if tag not in QUIET_TAGS]
    return " · ".join(parts)
