"""Review many at once: a page of suspects, and one verdict for all selected ones."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ..core.errors import BadInputError
from ..dataset.dataset import Dataset
from ..ranking.evidence import suggested_labels, suggestion_is_clear, suggestions
from ..ranking.image_kinds import OUTLIER
from ..review.notes import notes_of
from ..review.queue import QueueFilter
from .component import component
from .images import pictures
from .review_events import MORE_IMAGES, images_it_has
from .review_keys import EVENTS as KEY_EVENTS
from .review_session import ReviewSession, run
from .text import counted, label_counts, verb

PAGE = 60
IMAGES = 32  # sent at once: those in sight of a usual screen; the browser then asks for the others
VERBS = {"accept": "Relabel", "relabel": "Relabel", "keep": "Keep", "remove": "Remove"} | {
    "unsure": "Mark as unsure"
}

_draw = component("review_many")


@st.fragment
def show(dataset: Dataset, wanted: QueueFilter, reviewer: str) -> None:
    """Draw the queue page by page. Only this fragment runs again for a verdict."""
    run("review-many", _draw, (dataset, wanted, reviewer, 0), _act, _data)


def _act(session: ReviewSession, event: dict) -> None:
    kind = event["kind"]
    if kind != MORE_IMAGES:
        session.question = None
    if kind == "decide":
        _decide(session, np.array(event["samples"], np.int64), event)
    elif kind == "ask":
        session.question = _question(session, _whole_queue(session, event), event)
    elif kind == "decide_all":
        _decide(session, _whole_queue(session, event), event)
    elif kind == "page":
        session.go_to((event["page"] - 1) * PAGE)
    elif kind in KEY_EVENTS:
        session.change_keys(event)
    elif kind in ("undo", "redo"):
        session.undo_or_redo(kind)


def _whole_queue(session: ReviewSession, event: dict) -> np.ndarray:
    """Return what "Select all" selected. Raises BadInputError if the queue has changed since."""
    ids = session.selectable
    if len(ids) != event["count"]:
        raise BadInputError(
            f"the queue now has {counted(len(ids), 'sample')}, not {event['count']:,}: look at it, "
            "then select again."
        )
    return ids


def _question(session: ReviewSession, ids: np.ndarray, event: dict) -> dict:
    """Return what to confirm before samples on pages that nobody saw get a verdict."""
    action = f"{VERBS[event['verdict']]} {len(ids):,}"
    if event["verdict"] == "accept":
        counts = label_counts(_acceptable(session, ids))
        what = f"Relabel {counted(len(ids), 'image')} as suggested: {counts}"
    elif event["verdict"] == "relabel":
        what = f"Relabel {counted(len(ids), 'image')} as {event['label']}"
    else:
        what = f"{VERBS[event['verdict']]} {counted(len(ids), 'image')}"
    unseen = len(ids) - int(np.isin(ids, _page_ids(session)).sum())
    text = f"{what}? {unseen:,} of them {verb(unseen)} not on this page."
    return {"text": text, "action": action, "count": len(ids)} | {
        name: event[name] for name in ("verdict", "label")
    }


def _decide(session: ReviewSession, ids: np.ndarray, event: dict) -> None:
    verdict, label = event["verdict"], event["label"]
    if verdict == "accept":
        verdict, label = "relabel", _acceptable(session, ids)
    session.decide(ids, verdict, label, event.get("seen"), event.get("earlier"))
    all_of_them = verb(len(ids), "it", "all of them")
    session.note = f"{counted(len(ids), 'verdict')} stored. Undo reverts {all_of_them}."
    page = _page_ids(session)
    if np.isin(page, ids).all():  # nothing is left to do on this page
        session.go_to(min(_start(session) + PAGE, len(session.queue) - 1))


def _data(session: ReviewSession, event: dict | None) -> dict:
    """Return the page, its samples, and this reviewer's verdicts on them."""
    total, start = len(session.queue), _start(session)
    ids = _page_ids(session)
    own = [
        next((v for v in verdicts if v.reviewer == session.reviewer), None)
        for verdicts in session.review.of(ids)
    ]
    return {
        "all": len(session.selectable),
        "place": start,
        "page": start // PAGE + 1,
        "outliers": session.wanted.image == OUTLIER,
        "pages": max(-(-total // PAGE), 1),
        "verdicts": [verdict and vars(verdict) for verdict in own],
        "items": _items(session, ids, images_it_has(event, session.items_version)),
        "question": session.question,
    }


def _start(session: ReviewSession) -> int:
    """Return the place of the page's first sample."""
    return min(session.place, max(len(session.queue) - 1, 0)) // PAGE * PAGE


def _suggested(session: ReviewSession, ids: np.ndarray) -> list[str]:
    run = session.dataset.run(session.wanted.run).name
    return suggested_labels(session.dataset, run, ids)


def _acceptable(session: ReviewSession, ids: np.ndarray) -> list[str]:
    """Return the suggested classes. Raises BadInputError if the dataset does not have one."""
    labels = _suggested(session, ids)
    unknown = sorted(set(labels) - set(session.dataset.classes))
    if unknown:
        count = int(np.isin(labels, unknown).sum())
        raise BadInputError(
            f"{count:,} of the {len(ids):,} samples are suggested as {', '.join(unknown[:3])}, "
            "which the dataset does not have: leave them out, or remove them."
        )
    return labels


def _page_ids(session: ReviewSession) -> np.ndarray:
    return session.queue.ids[_start(session) :][:PAGE]


def _items(session: ReviewSession, ids: np.ndarray, have: set[int]) -> list[dict]:
    """Return what the browser draws for the page's samples; the keys "image" and "small" only for
    the first IMAGES of those whose image it does not have."""
    if not len(ids):
        return []
    dataset = session.dataset
    run = dataset.run(session.wanted.run).name
    view = dataset.view(run)
    samples = view.samples(ids)
    source = (view.uri, dataset.created)
    lacking = [sample for sample in samples if sample.id not in have][:IMAGES]
    images = {
        sample.id: {"image": picture.uri, "small": picture.small}
        for sample, picture in zip(lacking, pictures(source, lacking), strict=True)
    }
    notes = notes_of(view.frame, ids)
    shown = zip(samples, *suggestions(dataset, run, ids), notes, strict=True)
    return [
        {
            "id": sample.id,
            "filepath": sample.filepath,
            "given": sample.ground_truth,
            "suggested": label,
            "clear": suggestion_is_clear(float(p)),
            "note": note,
            **images.get(sample.id, {}),
        }
        for sample, label, p, note in shown
    ]
