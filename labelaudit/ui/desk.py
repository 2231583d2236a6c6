"""The desk: one suspect at a time, with its evidence; every verdict is one key."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ..dataset.dataset import Dataset
from ..ranking import evidence
from ..review.blind_controls import answers
from ..review.queue import QueueFilter
from ..scores import SCORES
from ..storage.schema import MISTAKE, QUIET_TAGS
from . import charts
from .images import LARGE, pictures
from .sitting import Sitting, browser_part, work

AHEAD = 5  # samples made, and sent, before they are shown
KEPT = 64  # … and kept here, for going back
# A rehearsal would be none if the desk said what is a planted mistake.
HIDDEN_TAGS = QUIET_TAGS | {MISTAKE}

_draw = browser_part("desk")


@st.fragment
def show(dataset: Dataset, wanted: QueueFilter, reviewer: str, controls: int = 0) -> None:
    """Draw the desk at this queue. Only this part of the page runs again for a verdict. controls:
    one place in so many is a blind control; 0 for none."""
    work("desk", _draw, (dataset, wanted, reviewer, controls), _act, _data)


def _act(sitting: Sitting, event: dict) -> None:
    kind = event["kind"]
    if kind == "decide":
        what = event["verdict"], event["label"], event["seen"]
        if control := sitting.queue.controls.get(event["sample"]):
            sitting.answer_control(control, *what)
        else:
            sitting.decide(np.array([event["sample"]]), *what)
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
    said = sitting.said(current) if current is not None else []
    return {
        "current": current,
        "place": sitting.place,
        "verdicts": [vars(verdict) for verdict in said],
        "controls": _control_words(sitting),
        "colors": charts.class_colors(sitting.dataset.classes),
        "items": _items(sitting, _have(sitting, event)),
    }


def _control_words(sitting: Sitting) -> str:
    """How the reviewer answered; said at the queue's end only, else each would be told at once."""
    ended = sitting.controls and sitting.current is None
    found = answers(sitting.dataset, sitting.reviewer) if ended else None
    return found.sentence() if found and found.total else ""


def _have(sitting: Sitting, event: dict | None) -> set[int]:
    """Samples that the browser has, as they are now."""
    return set(event["have"]) if event and event["version"] == sitting.drawn else set()


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
    made = (view.uri, dataset.created)
    controls = sitting.queue.controls
    shown = {sample: controls[sample].shown for sample in ids if sample in controls}
    found = evidence.gather(dataset, run, ids, shown if sitting.controls else None)
    near = sorted({sample for each in found for sample, _, _ in each.neighbours})
    thumbnails = dict(zip(near, pictures(made, view.take(near)), strict=True)) if near else {}
    samples = view.take(ids)
    shown = zip(samples, pictures(made, samples, LARGE), found, strict=True)
    return {
        sample.id: _item(sample, picture, each, thumbnails) | _marks(sitting, sample)
        for sample, picture, each in shown
    }


def _marks(sitting: Sitting, sample) -> dict:
    """What is said of a sample that is no suspect; and no file name beside controls: a folder's
    name is a label."""
    controls = sitting.queue.controls
    easy = sample.id in controls and controls[sample.id].easy and sitting.queue.checks
    check = sample.id in sitting.queue.checks or easy
    words = "random check or control" if controls else "random check"
    blind = {"filepath": ""} if sitting.controls else {}
    return {"check": words if check else "", **blind}


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
