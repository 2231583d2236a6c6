"""The desk: one suspect at a time, with its evidence; every verdict is one key."""

from __future__ import annotations

import numpy as np
import streamlit as st

from .. import evidence
from ..dataset import Dataset
from ..review import QueueFilter
from ..schema import MISTAKE, QUIET_TAGS
from ..scores import SCORES
from . import charts
from .images import LARGE, pictures
from .sitting import Sitting, browser_part, work

AHEAD = 5  # samples made, and sent, before they are shown
KEPT = 64  # … and kept here, for going back
# A rehearsal would be none if the desk said what is a planted mistake.
HIDDEN_TAGS = QUIET_TAGS | {MISTAKE}

_draw = browser_part("desk")


@st.fragment
def show(dataset: Dataset, wanted: QueueFilter, reviewer: str) -> None:
    """Draw the desk at this queue. Only this part of the page runs again for a verdict."""
    work("desk", _draw, (dataset, wanted, reviewer), _act, _data)


def _act(sitting: Sitting, event: dict) -> None:
    kind = event["kind"]
    if kind == "decide":
        sample = np.array([event["sample"]])
        sitting.decide(sample, event["verdict"], event["label"], event["seen"])
        place = sitting.queue.place(event["sample"])
        sitting.go(sitting.following(sitting.place - 1 if place is None else place))
    elif kind == "step":
        sitting.go(sitting.place + event["by"])
    elif kind == "go":
        sitting.go(event["place"])
    elif kind in ("undo", "redo"):
        sitting.reverse(kind)  # else it only asks for what is shown


def _data(sitting: Sitting, event: dict | None) -> dict:
    """The place, what was said of its sample, and samples that the browser lacks."""
    current = sitting.current
    said = sitting.review.of([current])[0] if current is not None else []
    return {
        "current": current,
        "place": sitting.place,
        "verdicts": [vars(verdict) for verdict in said],
        "colors": charts.class_colors(sitting.dataset.classes),
        "items": _items(sitting, _have(sitting, event)),
    }


def _have(sitting: Sitting, event: dict | None) -> set[int]:
    """Samples that the browser has, as they are now."""
    return set(event["have"]) if event and event["version"] == sitting.version else set()


def _items(sitting: Sitting, have: set[int]) -> list[dict]:
    """The current sample and the next ones that are made, but for those that the browser has.

    Others are made while the reviewer looks: the answer to a verdict does not wait for them.
    """
    ids = _upcoming(sitting)
    if not ids:
        return []
    sitting.collect(wait=ids[0] not in sitting.known)
    known = sitting.known
    if ids[0] not in known:
        known.update(_make(sitting, ids[:1]))
    missing = [sample for sample in ids if sample not in known]
    if missing:
        sitting.prepare(lambda: _make(sitting, missing))
    for sample in [sample for sample in known if sample not in ids][:-KEPT]:
        del known[sample]
    return [known[sample] for sample in ids if sample in known and sample not in have]


def _upcoming(sitting: Sitting) -> list[int]:
    """The current sample and those that will come after it; none at the queue's end."""
    places, place = [], sitting.place
    while place < len(sitting.queue) and len(places) <= AHEAD:
        places.append(place)
        place = sitting.following(place)
    return sitting.queue.ids[places].tolist()


def _make(sitting: Sitting, ids: list[int]) -> dict[int, dict]:
    """Samples by id, as the browser draws them."""
    dataset = sitting.dataset
    run = dataset.run(sitting.wanted.run).name
    view = dataset.view(run)
    made = (view.store.uri, dataset.created)
    found = evidence.gather(dataset, run, ids)
    near = sorted({sample for each in found for sample, _, _ in each.neighbours})
    thumbnails = dict(zip(near, pictures(made, view.take(near)), strict=True)) if near else {}
    samples = view.take(ids)
    shown = zip(samples, pictures(made, samples, LARGE), found, strict=True)
    return {sample.id: _item(sample, picture, each, thumbnails) for sample, picture, each in shown}


def _item(sample, picture, found: evidence.Evidence, thumbnails: dict) -> dict:
    return {
        "id": sample.id, "filepath": sample.filepath, "split": sample.split,
        "tags": [tag for tag in sample.tags if tag not in HIDDEN_TAGS],
        "image": picture.uri, "small": picture.small,
        "given": found.given, "suggested": found.suggested, "why": found.why,
        "probabilities": list(found.probabilities.items()),
        "p_given": found.p_given, "median_given": found.median_given,
        "median_suggested": found.median_suggested,
        "neighbours": [
            {"id": near, "label": label, "similarity": similarity,
             "image": thumbnails[near].uri, "small": thumbnails[near].small}
            for near, label, similarity in found.neighbours
        ],
        "ranks": [
            {"title": SCORES[name].title, "value": found.scores[name], "percentile": percentile}
            for name, percentile in found.percentiles.items() if name in SCORES
        ],
    }  # fmt: skip
