"""The command that compares data with a state of a dataset."""

from __future__ import annotations

import sys

import click

from ..dataset.dataset import Dataset
from .base import console_task, emit, example, json_option, main

DIFFERENT = 3  # exit code


@main.command(**example("labelaudit verify pets corrected"))
@click.argument("dataset")
@click.argument("target", required=False)
@json_option
def verify(dataset, target, as_json) -> None:
    """Tell whether TARGET has the images and labels of DATASET: a folder, a list, an export or
    anything else that `load` reads. TARGET may also be a report, a check, a patch or a CSV file
    that LabelAudit wrote: the fingerprint in it is compared, and its labels if it has any. A
    fingerprint itself works too; 12 digits are enough. Without TARGET, print the fingerprint of
    DATASET.

    The exit code is 0 if both are equal, and 3 if not. Ids, paths and splits do not matter, nor do
    removed samples."""
    from ..living.verify import verify as compare

    found = compare(Dataset(dataset), target, console_task())
    emit(as_json, found.to_dict(), found.fingerprint if target is None else str(found))
    if not found.equal:
        sys.exit(DIFFERENT)
