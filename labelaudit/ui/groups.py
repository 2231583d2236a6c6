"""Groups of duplicates, page by page, with buttons that decide a whole group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from ..features.duplicates import CONFLICTS, EXACT, OTHERS, SPLITS, list_groups
from ..review.verdicts import Review, Verdict
from . import grid
from .text import counted, plain, show_error

PAGE = 12  # groups
SHOWN_IMAGES = 8  # per group
SHOWN_LABELS = 5  # buttons per group
CARD, MARGIN = 150, 34  # pixels
FAILED, UNDO = "duplicates-failed", "duplicates-undo"
NO_GROUPS = {
    CONFLICTS: "No duplicates have different labels.",
    SPLITS: "No duplicates are in different splits.",
    OTHERS: "There are no other duplicates.",
}


@st.fragment
def show(dataset: Dataset, which: str, reviewer: str) -> None:
    """Draw one list of groups (see `list_groups`). Only this fragment runs again for a verdict."""
    if failure := st.session_state.pop(FAILED, None):
        show_error(failure)
    groups = list_groups(dataset, which)
    if not len(groups):
        st.success(NO_GROUPS[which])
        return
    review = Review(dataset, reviewer)
    start = _pager(len(groups), f"duplicates-{dataset.name}-{which}", review)
    rows = groups.table(start, start + PAGE).to_dict("records")
    view = dataset.view()
    shown = [_first_of_each(row["labels"] if which != SPLITS else row["splits"]) for row in rows]
    ids = [np.array(row["ids"])[order] for row, order in zip(rows, shown, strict=True)]
    with view.steady():
        samples = iter(view.samples(np.concatenate(ids)))
        verdicts = iter(review.of(np.concatenate([row["ids"] for row in rows])))
    with st.container(horizontal=True, gap="small"):
        for row, some in zip(rows, ids, strict=True):
            with st.container(border=True, width=CARD * max(len(some), 2) + MARGIN, gap="small"):
                own = [_own(next(verdicts), reviewer) for _ in row["ids"]]
                st.markdown(_headline(row, own))
                grid.draw([next(samples) for _ in some], view, judging=True)
                _verdict_buttons(review, which, row)


def _pager(total: int, key: str, review: Review) -> int:
    """Draw the page and undo buttons. Returns the index of the first group on the page."""
    pages = -(-total // PAGE)
    st.session_state[key] = min(st.session_state.get(key, 1), pages)

    start = (st.session_state[key] - 1) * PAGE
    with st.container(horizontal=True, vertical_alignment="center"):
        if pages > 1:
            grid.page_buttons(key, key, pages)
        st.button(
            "Undo",
            icon=":material/undo:",
            key=UNDO,
            on_click=review.undo,
            disabled=not review.can()[0],
            help=f"Undo the last verdict of {plain(review.reviewer)}.",
        )
        shown = f"{start + 1:,} to {min(start + PAGE, total):,} of " if pages > 1 else ""
        st.caption(f"{shown}{counted(total, 'group')}", width="content")
    return start


def _first_of_each(names: Sequence[str | None]) -> np.ndarray:
    """Indices of the images to show, int64 (at most SHOWN_IMAGES,): one of each name at least."""
    names = np.array([name or "" for name in names])
    first = np.unique(names, return_index=True)[1]
    rest = np.setdiff1d(np.arange(len(names)), first)
    return np.sort(np.concatenate([first, rest])[:SHOWN_IMAGES])


def _headline(row: dict, own: list[Verdict | None]) -> str:
    count = len(row["ids"])
    kind = ":red-badge[identical]" if row["kind"] == EXACT else ":gray-badge[similar]"
    more = f", {SHOWN_IMAGES} shown" if count > SHOWN_IMAGES else ""
    decided = _decided(own, row["labels"])
    return f"{count:,} images{more} {kind}" + (f" · **✓ {plain(decided)}**" if decided else "")


def _verdict_buttons(review: Review, which: str, row: dict) -> None:
    """Draw the buttons that decide the whole group."""
    ids, labels, key = row["ids"], row["labels"], f"duplicates-{which}-{row['group']}"

    def button(title: str, number: int, samples: list[int], verdict: str, label=None) -> None:
        seen = [labels[ids.index(sample)] for sample in samples]
        st.button(
            plain(title),
            key=f"{key}-{number}",
            on_click=_decide,
            args=(review, samples, verdict, label, seen),
        )

    with st.container(horizontal=True, gap="small"):
        if which == CONFLICTS:
            common = Counter(label for label in labels if label is not None)
            for number, (label, _) in enumerate(common.most_common(SHOWN_LABELS)):
                button(f"Label all {label}", number, ids, "relabel", label)
            button("Unsure", SHOWN_LABELS, ids, "unsure")
        elif which == SPLITS:
            for number, name in enumerate(dict.fromkeys(filter(None, row["splits"]))):
                inside = [i for i, split in zip(ids, row["splits"], strict=True) if split == name]
                button(f"Remove from {name}", number, inside, "remove")
        else:
            # keep a labelled one, if there is one
            first = next((i for i, label in zip(ids, labels, strict=True) if label), ids[0])
            others = [i for i in ids if i != first]
            button(f"Keep one, remove {len(others):,}", 0, others, "remove")


def _decide(
    review: Review, ids: list[int], verdict: str, label: str | None, seen: list[str | None]
) -> None:
    try:
        review.decide(ids, verdict, label, seen=seen)
    except LabelAuditError as error:
        st.session_state[FAILED] = str(error)


def _own(verdicts: list[Verdict], reviewer: str) -> Verdict | None:
    return next((verdict for verdict in verdicts if verdict.reviewer == reviewer), None)


def _decided(own: list[Verdict | None], labels: list[str | None]) -> str:
    """Summarise this reviewer's verdicts on the group; empty if there are none."""
    counts = Counter(
        str(verdict.label or label)
        if verdict.verdict in ("keep", "relabel")
        else {"remove": "removed"}.get(verdict.verdict, verdict.verdict)
        for verdict, label in zip(own, labels, strict=True)
        if verdict
    )
    return ", ".join(f"{count:,} {word}" for word, count in counts.items())
