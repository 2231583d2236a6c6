"""A page of a view as a grid of images: one block of HTML, all text escaped."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

import streamlit as st

from ..dataset import own_fields
from ..dataset.own_fields import FieldInfo
from ..dataset.sample import Sample
from ..dataset.view import View
from ..review.queue import ALL
from ..scores import SCORES
from ..storage.schema import MISTAKE, QUIET_TAGS
from .images import Picture, pictures
from .review_address import SAMPLE, STATUS, STATUS_WORDS

OWN_TEXT = 60  # characters of an own field on a card
PAGE_SIZES = (24, 48, 96)


def paged(
    view: View, key: str, score: str | None = None, ranking: tuple = (), values: bool = True
) -> None:
    """Draw a view page by page.

    key: prefix of the widget keys. ranking: identifies the order of the samples; a change of it
    starts again at the first page. values: whether to show the values of `score`.
    """
    total = len(view)
    size_key, page_key, before_key = f"{key}-size", f"{key}-page", f"{key}-before"
    size = st.session_state.get(size_key, PAGE_SIZES[1])
    page = st.session_state.get(page_key, 1)
    ranking = (view.uri, ranking)
    before = st.session_state.get(before_key, (ranking, size))
    if before[0] != ranking:
        page = 1
    elif before[1] != size:  # stay at the same images
        page = (page - 1) * before[1] // size + 1
    st.session_state[before_key] = (ranking, size)
    pages = max(-(-total // size), 1)
    st.session_state[page_key] = min(max(page, 1), pages)

    if total > PAGE_SIZES[0]:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            page_buttons(key, page_key, pages)
            st.number_input(f"Page of {pages:,}", 1, pages, key=page_key, width=140)
            st.selectbox("Images per page", PAGE_SIZES, index=1, key=size_key, width=140)
    first = (st.session_state[page_key] - 1) * size
    samples = list(view.skip(first).limit(size).iter_samples())
    title = f", and {SCORES[score].title}" if score and values else ""
    legend = f" · given label → suggested label{title}" if score else ""
    st.caption(f"{first + 1:,} to {first + len(samples):,} of {total:,}{legend}")
    draw(samples, view, score, values=values)


def page_buttons(key: str, page_key: str, pages: int) -> None:
    """Draw the buttons for the previous and the next page.

    key: prefix of their keys. page_key: session key of the page's number, from 1.
    """

    def turn(by: int) -> None:
        st.session_state[page_key] += by

    page = st.session_state[page_key]
    st.button(
        "Previous",
        icon=":material/chevron_left:",
        key=f"{key}-previous",
        on_click=turn,
        args=(-1,),
        disabled=page <= 1,
    )
    st.button(
        "Next",
        icon=":material/chevron_right:",
        icon_position="right",
        key=f"{key}-next",
        on_click=turn,
        args=(1,),
        disabled=page >= pages,
    )


def draw(
    samples: list[Sample],
    view: View,
    score: str | None = None,
    judging: bool = False,
    values: bool = True,
) -> None:
    """Draw the samples in order, with the value of `score` on each card unless not `values`.

    A click on an image opens it on the review page if the run has scores. judging: whether verdicts
    are given on this page. Then splits are shown, and planted mistakes are hidden because they
    would give the rehearsal away.
    """
    source = (view.frame.uri, view.frame.meta["created"])
    shown = zip(samples, pictures(source, samples), strict=True)
    address = review_address(view, score) if view.score_names() else None
    shown_score = score if values else None
    fields = {} if judging else own_fields.own_fields(view.frame)
    cards = (
        _card(sample, picture, shown_score, address, judging, own_texts(sample, fields))
        for sample, picture in shown
    )
    st.html(f'<div class="la-grid">{"".join(cards)}</div>')


def review_address(view: View, score: str | None = None) -> dict[str, str]:
    """Query parameters of the review page: every sample, ordered by the same score."""
    address = {
        "dataset": view.name,
        "run": view.fields.run_info()["name"],
        STATUS: STATUS_WORDS[ALL],
        "everything": "true",
    }
    return address | ({"score": SCORES[score].title} if score else {})


def _card(
    sample: Sample,
    picture: Picture,
    score: str | None,
    review: dict | None,
    judging: bool,
    own: dict[str, str],
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
            css, text = "", escape(tag)
            if tag == MISTAKE:
                css, text = " la-mistake", f"{text}: was {escape(str(sample.original_label))}"
            details.append(f'<span class="la-tag{css}">{text}</span>')
    for name, text in own.items():
        short = text if len(text) <= OWN_TEXT else f"{text[:OWN_TEXT]}…"
        details.append(f'<span title="{escape(name)}">{escape(short)}</span>')
    hover = f"id {sample.id}\n{sample.filepath}\n{sample.split or ''}"
    if sample.original_label != sample.ground_truth and not judging:
        hover += f"\nwas labelled {sample.original_label}"
    hover += "".join(f"\n{name}: {value}" for name, value in own.items())
    image = _image(picture)
    if review:
        address = escape(f"review?{urlencode({**review, SAMPLE: sample.id})}")
        name = f"Review sample {sample.id}, labelled {given}"
        image = f'<a href="{address}" target="_self" aria-label="{name}">{image}</a>'
    return (
        f'<div class="la-card" title="{escape(hover)}">{image}<div class="la-text">'
        f'<div class="la-labels">{labels}</div><div class="la-row">{"".join(details)}</div>'
        "</div></div>"
    )


def own_texts(sample: Sample, fields: dict[str, FieldInfo]) -> dict[str, str]:
    """Return the own fields of a sample that have a value, as texts."""
    texts = {name: own_fields.shown(field, sample[name]) for name, field in fields.items()}
    return {name: text for name, text in texts.items() if text}


def _image(picture: Picture) -> str:
    if picture.uri is None:
        return '<div class="la-none">Image cannot be read</div>'
    name = ' class="la-small"' if picture.small else ""
    return f'<img{name} alt="" src="{picture.uri}">'


def draw_image(uri: str | None, path: str) -> None:
    """Draw an image with its file name below. uri: None if it cannot be read."""
    picture = _image(Picture(uri, small=False))
    name = escape(path.rpartition("/")[2])
    st.html(f'<div class="la-conflict" title="{escape(path)}">{picture}<div>{name}</div></div>')


@dataclass(frozen=True)
class ClassCard:
    """A class, its number of images, and (path, data URI) of some; None if one cannot be read."""

    name: str
    images: int
    thumbnails: list[tuple[str, str | None]]


def draw_classes(cards: list[ClassCard]) -> None:
    """Draw classes with a few of their images."""
    st.html("".join(map(_class_card, cards)))


def _class_card(card: ClassCard) -> str:
    images = "".join(
        f'<img alt="" title="{escape(path)}" src="{uri}">'
        if uri
        else f'<span class="la-none" title="{escape(path)}">Image cannot be read</span>'
        for path, uri in card.thumbnails
    )
    return (
        f'<div class="la-class"><div><b>{escape(card.name)}</b> <span>{card.images:,}</span></div>'
        f'<div class="la-three">{images}</div></div>'
    )
