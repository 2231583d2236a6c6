"""A page of a view as a grid of images: one block of HTML, every text escaped."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode

import streamlit as st

from ..dataset.sample import Sample
from ..dataset.view import View
from ..review.queue import ALL
from ..scores import SCORES
from ..storage.schema import MISTAKE, QUIET_TAGS
from .images import Picture, pictures
from .sitting import SAMPLE, STATUS, STATUS_WORDS

PAGE_SIZES = (24, 48, 96)


def paged(view: View, key: str, score: str | None = None, ranking: tuple = ()) -> None:
    """Draw a view page by page. key: names the widgets, one set a page of the app. ranking: what
    the order is made of; another one begins at its first page."""
    total = len(view)
    size_key, page_key, before_key = f"{key}-size", f"{key}-page", f"{key}-before"
    size = st.session_state.get(size_key, PAGE_SIZES[1])
    page = st.session_state.get(page_key, 1)
    ranking = (view.uri, ranking)
    before = st.session_state.get(before_key, (ranking, size))
    if before[0] != ranking:
        page = 1
    elif before[1] != size:  # the first image shown stays in sight
        page = (page - 1) * before[1] // size + 1
    st.session_state[before_key] = (ranking, size)
    pages = max(-(-total // size), 1)
    st.session_state[page_key] = min(max(page, 1), pages)

    def turn(by: int) -> None:
        st.session_state[page_key] += by

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button("Previous", icon=":material/chevron_left:", key=f"{key}-previous",
                  on_click=turn, args=(-1,), disabled=st.session_state[page_key] <= 1)  # fmt: skip
        st.button("Next", icon=":material/chevron_right:", icon_position="right", on_click=turn,
                  args=(1,), disabled=st.session_state[page_key] >= pages,
                  key=f"{key}-next")  # fmt: skip
        st.number_input(f"Page of {pages:,}", 1, pages, key=page_key, width=140)
        st.selectbox("Images a page", PAGE_SIZES, index=1, key=size_key, width=140)
    first = (st.session_state[page_key] - 1) * size
    samples = list(view.skip(first).limit(size).iter_samples())
    legend = f" · given label → what the model says; below, {SCORES[score].title}" if score else ""
    st.caption(f"{first + 1:,} to {first + len(samples):,} of {total:,}{legend}")
    draw(samples, view, score)


def draw(
    samples: list[Sample], view: View, score: str | None = None, judging: bool = False
) -> None:
    """Draw these samples, in order; with `score`, its value on each card. A click on an image opens
    it on the desk, where the run has scores. judging: verdicts are given here, so splits are shown,
    and planted mistakes are not: a rehearsal would be none."""
    made = (view.frame.uri, view.frame.meta["created"])
    shown = zip(samples, pictures(made, samples), strict=True)
    desk = _desk_address(view, score) if view.score_names() else None
    cards = (_card(sample, picture, score, desk, judging) for sample, picture in shown)
    st.html(f'<div class="la-grid">{"".join(cards)}</div>')


def _desk_address(view: View, score: str | None) -> dict[str, str]:
    """The queue in which the desk opens a sample of this view: every sample, by the same score."""
    address = {"dataset": view.name, "run": view.fields.run_info()["name"],
               STATUS: STATUS_WORDS[ALL], "everything": "true"}  # fmt: skip
    return address | ({"score": SCORES[score].title} if score else {})


def _card(
    sample: Sample, picture: Picture, score: str | None, desk: dict | None, judging: bool
) -> str:
    given = escape(sample.ground_truth or "no label")
    labels = given
    if sample.prediction and sample.prediction.label != sample.ground_truth:
        predicted = escape(sample.prediction.label)
        labels += f' <span class="la-to">→</span> <span class="la-wrong">{predicted}</span>'
    details = []
    if score and sample.scores.get(score) is not None:
        title = escape(SCORES[score].title)
        details.append(f'<span title="{title}">{sample.scores[score]:.3f}</span>')
    if judging and sample.split:
        details.append(f"<span>{escape(sample.split)}</span>")
    for tag in sample.tags:
        if tag not in QUIET_TAGS and not (judging and tag == MISTAKE):
            marked, words = "", escape(tag)
            if tag == MISTAKE:
                marked, words = " la-mistake", f"{words}: was {escape(str(sample.original_label))}"
            details.append(f'<span class="la-tag{marked}">{words}</span>')
    hover = f"id {sample.id}\n{sample.filepath}\n{sample.split or ''}"
    if sample.original_label != sample.ground_truth and not judging:
        hover += f"\nwas labelled {sample.original_label}"
    image = _image(picture)
    if desk:
        address = escape(f"review?{urlencode({**desk, SAMPLE: sample.id})}")
        image = f'<a href="{address}" target="_self">{image}</a>'
    return (
        f'<div class="la-card" title="{escape(hover)}">{image}<div class="la-text">'
        f'<div class="la-labels">{labels}</div><div class="la-row">{"".join(details)}</div>'
        "</div></div>"
    )


def _image(picture: Picture) -> str:
    if picture.uri is None:
        return '<div class="la-none">image cannot be read</div>'
    name = ' class="la-small"' if picture.small else ""
    return f'<img{name} alt="" src="{picture.uri}">'
