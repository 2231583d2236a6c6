"""The board: many suspects at once, one verdict for those that are chosen, undone as one."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from ..ranking.evidence import suggested_labels
from ..review.queue import QueueFilter
from .images import pictures
from .sitting import Sitting, browser_part, work

PAGE = 60

_draw = browser_part("board")


@st.fragment
def show(dataset: Dataset, wanted: QueueFilter, reviewer: str) -> None:
    """Draw the board at this queue. Only this part of the page runs again for a verdict."""
    work("board", _draw, (dataset, wanted, reviewer, 0), _act, _data)


def _act(sitting: Sitting, event: dict) -> None:
    kind = event["kind"]
    if kind == "decide":
        _decide(sitting, event)
    elif kind == "page":
        sitting.go((event["page"] - 1) * PAGE)
    elif kind in ("undo", "redo"):
        sitting.reverse(kind)


def _decide(sitting: Sitting, event: dict) -> None:
    ids = sitting.choosable if event["all"] else np.array(event["samples"], np.int64)
    if event["all"] and len(ids) != event["count"]:
        raise LabelAuditError(
            f"all are {len(ids):,} samples by now, not {event['count']:,}: look again, then choose."
        )
    verdict, label = event["verdict"], event["label"]
    if verdict == "accept":
        run = sitting.dataset.run(sitting.wanted.run).name
        verdict, label = "relabel", suggested_labels(sitting.dataset, run, ids)
    sitting.decide(ids, verdict, label, event["seen"])
    sitting.note = f"{len(ids):,} verdicts are kept. Undo takes all of them back at once."
    page = sitting.queue.ids[_start(sitting) :][:PAGE]
    if np.isin(page, ids).all():  # nothing is left to do on this page
        sitting.go(min(_start(sitting) + PAGE, len(sitting.queue) - 1))


def _data(sitting: Sitting, _event: dict | None) -> dict:
    """The page, its samples, and what this reviewer said of them."""
    total, start = len(sitting.queue), _start(sitting)
    ids = sitting.queue.ids[start : start + PAGE]
    own = [next((v for v in said if v.reviewer == sitting.reviewer), None)
           for said in sitting.review.of(ids)]  # fmt: skip
    return {
        "all": len(sitting.choosable),
        "place": start,
        "page": start // PAGE + 1,
        "pages": max(-(-total // PAGE), 1),
        "verdicts": [verdict and vars(verdict) for verdict in own],
        "items": _items(sitting, ids),
    }


def _start(sitting: Sitting) -> int:
    """Place of the first sample of the page."""
    return min(sitting.place, max(len(sitting.queue) - 1, 0)) // PAGE * PAGE


def _items(sitting: Sitting, ids: np.ndarray) -> list[dict]:
    """The page's samples as the browser draws them."""
    if not len(ids):
        return []
    dataset = sitting.dataset
    run = dataset.run(sitting.wanted.run).name
    view = dataset.view(run)
    samples = view.take(ids)
    made = (view.uri, dataset.created)
    shown = zip(samples, pictures(made, samples), suggested_labels(dataset, run, ids), strict=True)
    return [
        {"id": sample.id, "filepath": sample.filepath, "given": sample.ground_truth,
         "suggested": label, "image": picture.uri, "small": picture.small}
        for sample, picture, label in shown
    ]  # fmt: skip
