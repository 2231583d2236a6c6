"""The command that compares the batches of a dataset."""

from __future__ import annotations

import json

import click

from ..dataset.dataset import Dataset
from .base import csv_option, emit, example, json_option, main, run_option

SHOWN = ["batch", "added", "labels", "wrong", "low", "high", "share_reviewed", "outliers"]


@main.command(**example("labelaudit trend pets --csv trend.csv"))
@click.argument("dataset")
@run_option
@click.option(
    "--tag",
    "tags",
    multiple=True,
    help="Compare the samples with these tags instead of those of each sync; may be repeated.",
)
@click.option(
    "--field",
    help="Compare the samples by this own field instead, such as the annotator; or by split.",
)
@csv_option("Write all columns to this CSV file, with the number of labels of each class.")
@json_option
def trend(dataset, run, tags, field, csv_file, as_json) -> None:
    """List the batches of DATASET, the first load and each sync that added images: how many of
    their labels are wrong now, with an interval of 95%, how many are reviewed, and how many images
    are outliers or duplicates."""
    from ..export.provenance import TREND, provenance, write_with_provenance
    from ..living.trend import trend as compare
    from ..living.trend import trend_csv

    opened = Dataset(dataset)
    table = compare(opened, run, tags=tags, field=field)
    shown = table[[*SHOWN, "duplicates"]].round({"share_reviewed": 3}).round(1)
    lines = [shown.to_string(index=False)]
    if csv_file:
        origin = provenance(opened.view(run), TREND)
        write_with_provenance(csv_file, origin, lambda sink: sink.write(trend_csv(table)))
        lines.append(f"written to {csv_file}")
    emit(as_json, json.loads(table.to_json(orient="records")), "\n".join(lines))
