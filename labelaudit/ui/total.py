"""The number of wrong labels, in the same words on every page."""

from __future__ import annotations

import streamlit as st

from ..dataset.dataset import Dataset
from ..jobs.manager import running_job
from ..review.estimate import Estimate, estimate_wrong, has_suspicion
from .confidence import confidence_note
from .text import plain

REFINING = ("audit", "look", "train")  # kinds of jobs that replace or refine a first look


def provisional(dataset: Dataset, run: str) -> str:
    """Return a sentence if a running job will refine the results of this run; else ""."""
    if not dataset.run(run).is_first_look:
        return ""
    job = running_job(dataset.name)
    if job is None or job.kind not in REFINING:
        return ""
    return "Provisional: this is the first look, and the running job refines it. Verdicts stay."


def show_headline(dataset: Dataset) -> None:
    """Show in one line how many labels are wrong by the latest run, on pages of other things. Its
    help says what the number is made of. Shows nothing where `show_total` would not."""
    if found := _estimate(dataset, None):
        explained = "\n".join(f"- {plain(line)}" for line in found.explanation())
        st.markdown(plain(found.headline()), help=f"How is this counted?\n\n{explained}")


def show_total(dataset: Dataset, run: str, *more: str) -> Estimate | None:
    """Show how many labels are wrong, and behind a click what the number is made of.

    more: further sentences of the explanation. Returns the estimate; None, and shows nothing, if
    the run has no suspicion or there are too few samples for probabilities.
    """
    found = _estimate(dataset, run)
    if found is None:
        return None
    st.markdown(f"**{plain(found.headline())}**")
    if note := provisional(dataset, run):
        st.caption(f":material/hourglass_top: {note}")
    with st.expander("How is this counted?"):
        for line in [*found.explanation(), *more]:
            st.markdown(plain(line))
    if found.warning:
        st.warning(found.warning)
    return found


def _estimate(dataset: Dataset, run: str | None) -> Estimate | None:
    """Return the estimate by a run (None: the latest); None if it is not shown."""
    if not has_suspicion(dataset, run) or confidence_note(dataset.view(run)):
        return None
    return estimate_wrong(dataset, run)
