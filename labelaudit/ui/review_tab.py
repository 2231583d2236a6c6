"""What one browser tab remembers of the verdicts that were given in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st

from ..dataset import verdict_log
from ..dataset.dataset import Dataset
from ..dataset.verdict_log import VerdictLog

TABS = "review-tabs"  # session state key: a Tab for each dataset and reviewer


@dataclass
class Tab:
    """The verdicts given in one browser tab. Undo leaves those of other tabs alone."""

    first: int  # the first batch after the tab was opened; earlier ones can be undone
    own: set[int] = field(default_factory=set)  # batches given here

    def others(self, log: VerdictLog, reviewer: str) -> set[int]:
        """Return the reviewer's batches that were given in other tabs in the meantime."""
        return set(log.batches_since(reviewer, self.first).tolist()) - self.own


def this_tab(dataset: Dataset, reviewer: str) -> Tab:
    """Return what this browser tab remembers of its reviewer's verdicts on the dataset."""
    tabs = st.session_state.setdefault(TABS, {})
    key = dataset.uri, dataset.created, reviewer
    if key not in tabs:
        tabs[key] = Tab(verdict_log.read(dataset.view().frame).next_id)
    return tabs[key]
