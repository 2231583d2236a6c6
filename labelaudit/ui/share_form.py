"""The controls that divide samples among reviewers, and that show a reviewer's own share."""

from __future__ import annotations

import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from ..review.shares import assign, read_shares
from . import jobs
from .text import plain, show_error

SHARE = "share"  # widget key and query parameter


def only_mine(dataset: Dataset, reviewer: str) -> bool:
    """Draw the switch if this reviewer has a share. Returns whether only the share is wanted."""
    shares = read_shares(dataset.view().frame)
    if shares is None or reviewer not in shares.reviewers:
        return False
    others = [name for name in shares.reviewers if name != reviewer]
    both = f" {shares.overlap:.0%} of the samples are in every share." if shares.overlap else ""
    return st.toggle(
        "Only my share",
        True,
        key=SHARE,
        bind="query-params",
        help=plain(f"The others are in the shares of {', '.join(others)}.{both}")
        + " Searches and filters for images show all samples.",
    )


def show(dataset: Dataset, reviewer: str) -> None:
    """Draw the form."""
    shares = read_shares(dataset.view().frame)
    with st.form(f"shares-{dataset.name}", border=False):
        names = st.text_area(
            "One name per line",
            "\n".join(shares.reviewers if shares else [reviewer]),
            key=f"share-names-{dataset.name}",
            help="Each reviewer gets a share of the suspects and of the random checks. Leave the "
            "field empty to end the division.",
        )
        overlap = st.slider(
            "In every share",
            0,
            100,
            round(100 * shares.overlap) if shares else 10,
            step=5,
            format="%d%%",
            key=f"share-overlap-{dataset.name}",
            help="All reviewers see these samples. They show how far the reviewers agree.",
        )
        clicked = st.form_submit_button("Divide")
    if not clicked or jobs.busy(dataset.name):
        return
    try:
        assign(
            dataset, [name.strip() for name in names.splitlines() if name.strip()], overlap / 100
        )
    except LabelAuditError as error:
        show_error(error)
        return
    st.rerun()
