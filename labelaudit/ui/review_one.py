"""Review one by one: a suspect with its evidence; every verdict is one key."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ..dataset.dataset import Dataset
from ..ranking import evidence
from ..ranking.image_kinds import OUTLIER
from ..ranking.typical import typical_images
from ..review.blind_controls import answers
from ..review.notes import notes_of
from ..review.queue import ALL, QueueFilter
from ..scores import SCORES
from ..storage.schema import MISTAKE, QUIET_TAGS, REMOVED
from . import charts
from .component import component
from .default_verdict import (
    KEEP,
    REMOVE,
    default_verdict,
    similar_images_sentence,
    unclear_sentence,
)
from .images import FULL, LARGE, pictures
from .review_address import ANY, MANY, MODE, NO_SIMILAR, OPEN, SIMILAR, STATUS
from .review_events import images_it_has
from .review_keys import EVENTS as KEY_EVENTS
from .review_session import ReviewSession, run

AHEAD = 5  # number of samples to prefetch
CACHED_ITEMS = 64  # for going back
NEAR = 100  # similar images that are looked at after a relabelling
SAME_MISTAKE = 0.5  # probability of the new class from which they are offered
# Planted mistakes are not marked, as that would give the rehearsal away.
HIDDEN_TAGS = QUIET_TAGS | {MISTAKE}

_draw = component("review_one")


@st.fragment
def show(dataset: Dataset, wanted: QueueFilter, reviewer: str, controls: int = 0) -> None:
    """Draw the queue, one sample at a time. Only this fragment runs again for a verdict.

    controls: one in this many places is a blind control; 0 for none.
    """
    run("review-one", _draw, (dataset, wanted, reviewer, controls), _act, _data)


def _act(session: ReviewSession, event: dict) -> None:
    kind = event["kind"]
    session.full = event["sample"] if kind == "full" else None
    if kind == "similar":
        _show_similar({SIMILAR: event["sample"], "given": ANY, "suggested": ANY})
    elif kind == "offered" and session.offer:
        _show_similar({key: session.offer[key] for key in NO_SIMILAR})
    elif kind == "decide":
        decision = event["verdict"], event["label"], event["seen"]
        if control := session.queue.controls.get(event["sample"]):
            session.answer_control(control, *decision)
        else:
            session.decide(np.array([event["sample"]]), *decision, event.get("earlier"))
            session.offer = _same_mistake(session, event)
        place = session.queue.place(event["sample"])
        session.go_to(session.next_place(session.place - 1 if place is None else place))
    elif kind in KEY_EVENTS:
        session.change_keys(event)
    elif kind == "note":
        session.write_note(event["sample"], event["text"], event["seen"])
    elif kind == "step":
        session.go_to(session.place + event["by"])
    elif kind == "go":
        session.go_to(event["place"])
    elif kind in ("undo", "redo"):
        session.undo_or_redo(kind)  # any other event only requests the current data


def _show_similar(filters: dict) -> None:
    """Open similar images as a grid: a new run of the whole page."""
    st.session_state[OPEN] = {MODE: MANY, STATUS: ALL, **filters}
    st.rerun()


def _same_mistake(session: ReviewSession, event: dict) -> dict | None:
    """Return how many similar images probably have the same wrong label, after a sample was
    relabelled, and the filters that show them; None if there are none."""
    if event["verdict"] != "relabel" or session.note_on_probabilities:
        return None
    sample, given, label = event["sample"], event["seen"][0], event["label"]
    run = session.dataset.run(session.wanted.run)
    if given is None or not run.has_embeddings():
        return None
    frame = session.dataset.view(run.name).frame
    near = run.neighbours([sample], NEAR)[0][0]
    near = near[(near >= 0) & ~np.isin(near, session.review.judged())]
    at = frame.positions(near)
    same = (frame.label[at] == frame.class_codes([given])[0]) & ~frame.tagged(REMOVED)[at]
    names, p = evidence.suggestions(session.dataset, run.name, near[same])
    count = int(((np.array(names, object) == label) & (p >= SAME_MISTAKE)).sum())
    return {"count": count, SIMILAR: sample, "given": given, "suggested": label} if count else None


def _data(session: ReviewSession, event: dict | None) -> dict:
    """Return the place, the verdicts on its sample, and the samples that the browser lacks."""
    current = session.current
    verdicts = session.verdicts_on(current) if current is not None else []
    return {
        "current": current,
        "place": session.place,
        "verdicts": [vars(verdict) for verdict in verdicts],
        "sample_note": _note(session),
        "controls": _control_result(session),
        "colors": charts.class_colors(session.dataset.classes),
        "items": _items(session, images_it_has(event, session.items_version)),
        "typical": _typical(session, event),
        "offer": session.offer,
        "full": _full(session),
    }


def _full(session: ReviewSession) -> dict | None:
    """Return the image at full resolution that the browser asked for."""
    if session.full is None:
        return None
    sample, session.full = session.full, None
    view = session.dataset.view()
    found = view.samples(np.array([sample]))
    return {
        "id": sample,
        "image": pictures((view.uri, session.dataset.created), found, FULL)[0].uri,
    }


def _note(session: ReviewSession) -> str | None:
    """Return the note of the current sample; None beside blind controls, as it may give them
    away."""
    if session.current is None or session.controls:
        return None
    return notes_of(session.dataset.view().frame, [session.current])[0]


def _control_result(session: ReviewSession) -> str:
    """Return how the reviewer answered the controls, at the end of the queue only.

    An earlier result would reveal which samples are controls.
    """
    ended = session.controls and session.current is None
    found = answers(session.dataset, session.reviewer) if ended else None
    return found.sentence() if found and found.total else ""


def _items(session: ReviewSession, have: set[int]) -> list[dict]:
    """Return the current sample and the prefetched ones, without those the browser has.

    More are prefetched in the background, so that the answer to a verdict does not wait for them.
    """
    ids = _upcoming(session)
    if not ids:
        return []
    session.collect(wait=ids[0] not in session.items)
    known = session.items
    if ids[0] not in known:
        known.update(_make_items(session, ids[:1]))
    missing = [sample for sample in ids if sample not in known]
    if missing:
        session.prefetch(lambda: _make_items(session, missing))
    for sample in [sample for sample in known if sample not in ids][:-CACHED_ITEMS]:
        del known[sample]
    return [known[sample] for sample in ids if sample in known and sample not in have]


def _typical(session: ReviewSession, event: dict | None) -> dict[str, list[dict]]:
    """Return typical images of the classes of the coming samples that the browser lacks."""
    known = [session.items[sample] for sample in _upcoming(session) if sample in session.items]
    names = {item[key] for item in known for key in ("given", "suggested")} - {None}
    same = bool(event) and event["version"] == session.items_version
    names -= set(event["classes"]) if same else set()
    if not names:
        return {}
    view = session.dataset.view(session.dataset.run(session.wanted.run).name)
    typical = typical_images(view)
    ids = {name: typical.get(name, []) for name in sorted(names)}
    every = [sample for some in ids.values() for sample in some]
    source = (view.uri, session.dataset.created)
    drawn = zip(every, pictures(source, view.samples(np.array(every, np.int64))), strict=True)
    images = {i: {"id": i, "image": p.uri, "small": p.small} for i, p in drawn}
    return {name: [images[sample] for sample in some] for name, some in ids.items()}


def _upcoming(session: ReviewSession) -> list[int]:
    """Return the ids of the current sample and the ones after it; empty at the queue's end."""
    places, place = [], session.place
    while place < len(session.queue) and len(places) <= AHEAD:
        places.append(place)
        place = session.next_place(place)
    return session.queue.ids[places].tolist()


def _make_items(session: ReviewSession, ids: list[int]) -> dict[int, dict]:
    """Return what the browser draws for each sample, by id."""
    dataset = session.dataset
    run = dataset.run(session.wanted.run).name
    view = dataset.view(run)
    source = (view.uri, dataset.created)
    controls = session.queue.controls
    shown = {sample: controls[sample].shown for sample in ids if sample in controls}
    found = evidence.gather(dataset, run, ids, shown if session.controls else None)
    near = sorted({sample for each in found for sample, _, _ in each.neighbours})
    thumbnails = dict(zip(near, pictures(source, view.samples(near)), strict=True)) if near else {}
    samples = view.samples(ids)
    drawn = zip(samples, pictures(source, samples, LARGE), found, strict=True)
    return {
        sample.id: _item(sample, picture, each, thumbnails) | _marks(session, sample, each)
        for sample, picture, each in drawn
    }


def _marks(session: ReviewSession, sample, found: evidence.Evidence) -> dict:
    """Return the default verdict, and the badge of samples that are not suspects. Hides file names
    beside controls, because a folder name is often the label."""
    controls = session.queue.controls
    easy = sample.id in controls and controls[sample.id].easy and session.queue.checks
    check = sample.id in session.queue.checks or easy
    badge = "random check or control" if controls else "random check"
    blind = {"filepath": ""} if session.controls else {}
    default = default_verdict(found, check)
    if session.wanted.image == OUTLIER and not check:
        default = REMOVE
    shown = {
        "check": badge if check else "",
        "default": default,
        "unclear": "" if default in (KEEP, REMOVE) else unclear_sentence(found),
        **blind,
    }
    return shown | (_without_probabilities(found) if session.note_on_probabilities else {})


def _without_probabilities(found: evidence.Evidence) -> dict:
    """Return what replaces the sentence and the bars where there is too little data for them."""
    why = similar_images_sentence(found)
    return {"why": why, "unclear": "", "probabilities": [], "p_given": None}


def _item(sample, picture, found: evidence.Evidence, thumbnails: dict) -> dict:
    return {
        "id": sample.id,
        "filepath": sample.filepath,
        "split": sample.split,
        "tags": [tag for tag in sample.tags if tag not in HIDDEN_TAGS],
        "image": picture.uri,
        "small": picture.small,
        "given": found.given,
        "suggested": found.suggested,
        "suggests_unknown": found.suggests_unknown,
        "why": found.why,
        "probabilities": list(found.probabilities.items()),
        "p_given": found.p_given,
        "median_given": found.median_given,
        "median_suggested": found.median_suggested,
        "neighbours": [
            {
                "id": near,
                "label": label,
                "similarity": similarity,
                "image": thumbnails[near].uri,
                "small": thumbnails[near].small,
            }
            for near, label, similarity in found.neighbours
        ],
        "ranks": [
            {"title": SCORES[name].title, "value": found.scores[name], "percentile": percentile}
            for name, percentile in found.percentiles.items()
            if name in SCORES
        ],
    }
