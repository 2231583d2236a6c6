"""The command that divides samples among reviewers."""

from __future__ import annotations

import click

from ..dataset.dataset import Dataset
from .base import emit, example, json_option, main


@main.command(**example("labelaudit assign digits ann ben --overlap 0.2"))
@click.argument("dataset")
@click.argument("reviewers", nargs=-1)
@click.option(
    "--overlap",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Share of the samples that all of them review, to measure how far they agree.  "
    "[default: 0]",
)
@click.option("--clear", is_flag=True, help="End the division: everybody reviews all samples.")
@json_option
def assign(dataset, reviewers, overlap, clear, as_json) -> None:
    """Divide the samples of DATASET among two or more REVIEWERS, so that each of them has a share
    in the app. Without REVIEWERS, print the shares. Verdicts stay as they are."""
    from ..review.shares import assign as divide
    from ..review.shares import read_shares

    if clear and (reviewers or overlap):
        raise click.UsageError("--clear takes neither names nor --overlap")
    if overlap and not reviewers:
        raise click.UsageError("--overlap needs the names of two or more reviewers")
    opened = Dataset(dataset)
    if clear or reviewers:
        divide(opened, reviewers, overlap)
    shares = read_shares(opened.view().frame)
    ids = opened.view().ids
    counts = (
        {name: int(shares.mask(name, ids).sum()) for name in shares.reviewers} if shares else {}
    )
    data = {"shares": counts, "overlap": shares.overlap if shares else 0.0, "samples": len(ids)}
    width = max(map(len, counts), default=0)
    lines = [f"{name:{width}}  {count:9,}" for name, count in counts.items()]
    if shares and shares.overlap:
        lines.append(f"{shares.overlap:.0%} of the {len(ids):,} samples are in every share.")
    emit(as_json, data, "\n".join(lines) or "The samples are not divided among reviewers.")
