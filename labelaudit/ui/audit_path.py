"""The way through an audit: its five steps, and how far the selected dataset is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from ..dataset.dataset import Dataset
from ..ranking.ranking import suspects
from ..review.apply import pending_decisions
from ..review.verdicts import Review
from . import state
from .text import counted


@dataclass(frozen=True)
class Reviewed:
    """How far a reviewer is with the suspects of a run. given: all verdicts, on any sample."""

    run: str
    suspects: int
    reviewed: int
    given: int


def reviewed(dataset: Dataset, reviewer: str) -> Reviewed | None:
    """Return how far this reviewer is with the latest run; None if no run has scores."""
    if not dataset.view().score_names():
        return None
    run = dataset.run().name
    ids, judged = suspects(dataset, run).ids, Review(dataset, reviewer).judged()
    return Reviewed(run, len(ids), int(np.isin(ids, judged).sum()), len(judged))


def show(dataset: Dataset, done: Reviewed | None) -> None:
    """Draw the steps with links. done: from `reviewed`."""
    changes = len(pending_decisions(dataset)) if done and done.given else 0
    address = {state.DATASET: dataset.name} | ({"run": done.run} if done else {})
    all_reviewed = bool(done) and done.reviewed == done.suspects
    if done:
        audit = counted(done.suspects, "suspect")
        review = f"{done.reviewed:,} of {done.suspects:,} reviewed"
    else:
        audit, review = "Find the suspects.", "Decide each with a key."
    apply = "Change the labels." if not (done and done.given) else "All verdicts are applied."
    apply = f"{counted(changes, 'change')} to apply" if changes else apply
    steps = [
        ("pages/data/dataset.py", "Data", counted(len(dataset), "sample"), True),
        ("pages/suspects/results.py", "Audit", audit, bool(done)),
        ("pages/suspects/review.py", "Review", review, all_reviewed),
        ("pages/suspects/apply.py", "Apply", apply, bool(done and done.given and not changes)),
        ("pages/suspects/export.py", "Export", "Take the labels with you.", False),
    ]
    with st.container(horizontal=True, gap="medium"):
        for number, (page, title, text, is_done) in enumerate(steps, 1):
            with st.container(width="content", gap=None):
                icon = ":material/check_circle:" if is_done else ":material/radio_button_unchecked:"
                st.page_link(page, label=f"**{number}. {title}**", icon=icon, query_params=address)
                st.caption(text)
