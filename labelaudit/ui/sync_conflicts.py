"""The conflicts of a sync: cards page by page, and one choice for all that are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from ..dataset.dataset import Dataset
from ..living.sync import HERE, SOURCE
from . import grid, images
from .text import counted, label_counts, plain, verb

PAGE = 24
# keys of the session
DECIDED, NUMBER, QUESTION = "sync-decided", "sync-conflict-page", "sync-question"
ENDS = {SOURCE: "the label of the source", HERE: "the label here"}


@dataclass(frozen=True)
class Conflict:
    """A label that was changed in the source and by a person here."""

    id: int
    path: str  # in the source, now
    before: str | None  # label that the source had
    source: str | None  # label that it has now
    here: str | None
    why: str

    def label(self, end: str) -> str:
        """Return the label at one end, SOURCE or HERE."""
        return (self.source if end == SOURCE else self.here) or "no label"


def show_conflicts(dataset: Dataset, digest: str, rows: Sequence[Sequence]) -> dict[str, str]:
    """Draw the conflicts with a choice for each. Returns the chosen ends by sample id.

    digest: of the plan, to which the choices belong. rows: as in `SyncPlan.conflicts`.
    """
    conflicts = [Conflict(*row) for row in rows]
    decided = _decided(digest)
    st.header("Conflicts")
    st.write(
        "These labels were changed in the source and by a person here. Choose which label counts. "
        "Undecided ones stay as they are, and are listed again next time."
    )
    pages = -(-len(conflicts) // PAGE)
    st.session_state[NUMBER] = min(st.session_state.get(NUMBER, 1), pages)
    first = (st.session_state[NUMBER] - 1) * PAGE
    shown = conflicts[first : first + PAGE]
    _decide_the_rest(conflicts, shown, decided)
    if pages > 1:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            grid.page_buttons("sync-conflict", NUMBER, pages)
            st.number_input(f"Page of {pages:,}", 1, pages, key=NUMBER, width=140)
        st.caption(f"{first + 1:,} to {first + len(shown):,} of {len(conflicts):,}")
    paths = tuple(conflict.path for conflict in shown)
    uris = _uris(digest, tuple(conflict.id for conflict in shown), paths, dataset)
    with st.container(horizontal=True, gap="small"):
        for conflict, uri in zip(shown, uris, strict=True):
            _card(conflict, uri, digest, decided)
    return {str(sample): end for sample, end in decided.items()}


def _decided(digest: str) -> dict[int, str]:
    """Return the choices so far, by sample id; those about another plan are forgotten."""
    plan, decided = st.session_state.get(DECIDED, (None, {}))
    if plan != digest:
        decided = {}
        st.session_state[DECIDED] = (digest, decided)
        for key in (NUMBER, QUESTION):
            st.session_state.pop(key, None)
    return decided


@st.cache_data(max_entries=8, show_spinner="Reading the images …")
def _uris(
    digest: str, ids: tuple[int, ...], paths: tuple[str, ...], _dataset: Dataset
) -> list[str | None]:
    """Cached, because every choice draws the page again."""
    return images.uris_at(list(_dataset.view().select(list(ids)).iter_samples()), paths)


def _card(conflict: Conflict, uri: str | None, digest: str, decided: dict[int, str]) -> None:
    key = f"sync-choice-{digest[:12]}-{conflict.id}"
    st.session_state[key] = decided.get(conflict.id)

    def choose() -> None:
        if st.session_state[key] is None:
            decided.pop(conflict.id, None)
        else:
            decided[conflict.id] = st.session_state[key]

    name = conflict.path.rpartition("/")[2]
    with st.container(border=True, width=228, gap="xsmall"):
        grid.draw_image(uri, conflict.path)
        st.caption(f"was {plain(conflict.before or 'no label')}; {plain(conflict.why)}")
        st.pills(
            f"Label of {plain(name)}",
            [SOURCE, HERE],
            format_func=lambda end: (
                f"{plain(conflict.label(end))} ({'source' if end == SOURCE else 'here'})"
            ),
            key=key,
            on_change=choose,
            label_visibility="collapsed",
        )


def _decide_the_rest(
    conflicts: list[Conflict], shown: list[Conflict], decided: dict[int, str]
) -> None:
    """Draw the buttons that decide all undecided conflicts alike. They ask if some of them are on
    another page."""
    if len(conflicts) == 1:
        return
    left = [conflict for conflict in conflicts if conflict.id not in decided]
    unseen = len({conflict.id for conflict in left} - {conflict.id for conflict in shown})

    def decide(end: str) -> None:
        st.session_state[QUESTION] = None
        decided.update((conflict.id, end) for conflict in left)

    def ask(end: str | None) -> None:
        st.session_state[QUESTION] = end

    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{counted(len(left), 'conflict')} undecided.** Decide all of them alike:")
        for end, icon in ((SOURCE, "folder"), (HERE, "person")):
            st.button(
                ENDS[end].removeprefix("the ").capitalize(),
                key=f"sync-rest-{end}",
                icon=f":material/{icon}:",
                disabled=not left,
                on_click=ask if unseen else decide,
                args=(end,),
            )
        st.button(
            "Undo all choices",
            icon=":material/undo:",
            disabled=not decided,
            on_click=decided.clear,
        )
    end = st.session_state.get(QUESTION)
    if not (end and unseen):
        return
    with st.container(border=True):
        st.write(_question(left, unseen, end))
        with st.container(horizontal=True):
            text = f"Decide {len(left):,}"
            st.button(text, type="primary", key="sync-rest-yes", on_click=decide, args=(end,))
            st.button("Cancel", key="sync-rest-no", on_click=ask, args=(None,))


def _question(left: list[Conflict], unseen: int, end: str) -> str:
    """Return what to confirm before conflicts on pages that nobody saw are decided."""
    labels = label_counts([plain(conflict.label(end)) for conflict in left])
    return (
        f"Take {ENDS[end]} for {counted(len(left), 'conflict')}: {labels}? {unseen:,} of "
        f"them {verb(unseen)} not on this page."
    )
