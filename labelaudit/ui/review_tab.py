"""What one browser tab remembers of the verdicts that were given in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st

from ..dataset import verdict_log
from ..dataset.dataset import Dataset
from ..dataset.verdict_log import VerdictLog
from ..review.blind_controls import Controls

TABS = "review-tabs"  # session state key: a Tab for each dataset and reviewer


@dataclass
class Tab:
    """What was given in one browser tab. Undo leaves what was given in other tabs alone."""

    first: int  # the first batch after the tab was opened; earlier ones can be undone
    first_answer: int = 1  # the same for answers to blind controls
    own: set[int] = field(default_factory=set)  # batches given here
    own_answers: set[int] = field(default_factory=set)

    def others(self, log: VerdictLog, reviewer: str) -> set[int]:
        """Return the reviewer's batches that were given in other tabs in the meantime."""
        return set(log.batches_since(reviewer, self.first).tolist()) - self.own

    def other_answers(self, controls: Controls) -> set[int]:
        """Return the same for answers to blind controls."""
        return controls.since(self.first_answer) - self.own_answers


def this_tab(dataset: Dataset, reviewer: str) -> Tab:
    """Return what this browser tab remembers of its reviewer's verdicts on the dataset."""
    tabs = st.session_state.setdefault(TABS, {})
    key = dataset.uri, dataset.created, reviewer
    if key not in tabs:
        answers = Controls(dataset, reviewer).next_id
        tabs[key] = Tab(verdict_log.read(dataset.view().frame).next_id, answers)
    return tabs[key]
