"""Review many at once: a page of suspects, and one verdict for all selected ones."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ..core.errors import BadInputError
from ..dataset.dataset import Dataset
from ..ranking.evidence import suggested_labels, suggestion_is_clear, suggestions
from ..ranking.image_kinds import OUTLIER
from ..review.queue import QueueFilter
from .images import pictures
from .review_session import ReviewSession, component, run

PAGE = 60

_draw = component("review_many")


@st.fragment
def show(dataset: Dataset, wanted: QueueFilter, reviewer: str) -> None:
    """Draw the queue page by page. Only this fragment runs again for a verdict."""
    run("review-many", _draw, (dataset, wanted, reviewer, 0), _act, _data)


def _act(session: ReviewSession, event: dict) -> None:
    kind = event["kind"]
    if kind == "decide":
        _decide(session, event)
    elif kind == "page":
        session.go_to((event["page"] - 1) * PAGE)
    elif kind in ("undo", "redo"):
        session.undo_or_redo(kind)


def _decide(session: ReviewSession, event: dict) -> None:
    ids = session.selectable if event["all"] else np.array(event["samples"], np.int64)
    if event["all"] and len(ids) != event["count"]:
        raise BadInputError(
            f"the queue now has {len(ids):,} samples, not {event['count']:,}: look at it, then "
            "select again."
        )
    verdict, label = event["verdict"], event["label"]
    if verdict == "accept":
        run = session.dataset.run(session.wanted.run).name
        verdict, label = "relabel", suggested_labels(session.dataset, run, ids)
        unknown = sorted(set(label) - set(session.dataset.classes))
        if unknown:
            count = int(np.isin(label, unknown).sum())
            raise BadInputError(
                f"{count:,} of the {len(ids):,} samples are suggested as {', '.join(unknown[:3])}, "
                "which the dataset does not have: leave them out, or remove them."
            )
    session.decide(ids, verdict, label, event["seen"])
    session.note = f"{len(ids):,} verdicts stored. Undo reverts all of them."
    page = session.queue.ids[_start(session) :][:PAGE]
    if np.isin(page, ids).all():  # nothing is left to do on this page
        session.go_to(min(_start(session) + PAGE, len(session.queue) - 1))


def _data(session: ReviewSession, _event: dict | None) -> dict:
    """Return the page, its samples, and this reviewer's verdicts on them."""
    total, start = len(session.queue), _start(session)
    ids = session.queue.ids[start : start + PAGE]
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
        "items": _items(session, ids),
    }


def _start(session: ReviewSession) -> int:
    """Return the place of the page's first sample."""
    return min(session.place, max(len(session.queue) - 1, 0)) // PAGE * PAGE


def _items(session: ReviewSession, ids: np.ndarray) -> list[dict]:
    """Return what the browser draws for the page's samples."""
    if not len(ids):
        return []
    dataset = session.dataset
    run = dataset.run(session.wanted.run).name
    view = dataset.view(run)
    samples = view.take(ids)
    source = (view.uri, dataset.created)
    shown = zip(samples, pictures(source, samples), *suggestions(dataset, run, ids), strict=True)
    return [
        {
            "id": sample.id,
            "filepath": sample.filepath,
            "given": sample.ground_truth,
            "suggested": label,
            "clear": suggestion_is_clear(float(p)),
            "image": picture.uri,
            "small": picture.small,
        }
        for sample, picture, label, p in shown
    ]
