"""The command that imports predictions, and what it shares with `predict --model`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..core.errors import LabelAuditError
from ..dataset.columns import BROUGHT
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..sources import load_dataset
from .base import console_task, emit, example, json_option, main

class_file_option = click.option(
    "--classes", "class_file", type=click.Path(exists=True, dir_okay=False),
    help="What the columns stand for, in order: a text file with a class on each line, or a JSON "
    "list.  [default: as they are called, else the dataset's]",
)  # fmt: skip
kind_option = click.option(
    "--kind", type=click.Choice(("logits", "probabilities")),
    help="What the numbers are.  [default: told by them]",
)  # fmt: skip
out_of_sample_option = click.option(
    "--out-of-sample", is_flag=True,
    help="The model did not learn these labels (cross-validated).",
)  # fmt: skip


def read_classes(path: str | None) -> list[str] | None:
    if path is None:
        return None
    try:
        text = Path(path).read_text("utf-8-sig")
        names = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except ValueError as error:
        raise LabelAuditError(f"{path} is no text with a class on each line: {error}.") from error
    return [str(name).strip() for name in names if str(name).strip()]


def score_brought(run: Run, dataset: str, as_json: bool) -> None:
    """Score a run that was brought, and say what was understood and what comes next."""
    from ..ranking.ranking import suspects
    from ..ranking.scoring import compute_scores

    opened = Dataset(dataset)
    scores = compute_scores(opened, run.name, None, console_task())
    found = len(suspects(opened, run.name))
    brought = run.info[BROUGHT]
    data = {"run": run.name, **brought, "scores": scores, "suspects": found}
    how = "out of sample" if brought["out_of_sample"] else (
        "of a model that is taken to have learned these labels")  # fmt: skip
    lines = [f"{run.name}: {brought['rows']:,} samples have {brought['kind']}, {how}"]
    lines += [*run.info["notes"], f"{found:,} suspects; `labelaudit suspects {dataset} --run "
              f"{run.name}` lists them"]  # fmt: skip
    emit(as_json, data, "\n".join(lines))


@main.command(
    "import-predictions",
    short_help="Use predictions of your own model.",
    **example("labelaudit import-predictions digits probabilities.csv --out-of-sample"),
)
@click.argument("dataset")
@click.argument("file", type=click.Path())
@click.option("--run", default="imported", help="Name of the run to write.")
@kind_option
@click.option(
    "--by", type=click.Choice(("id", "filepath", "order")),
    help="How rows are matched to samples.  [default: the first that the file has]",
)  # fmt: skip
@class_file_option
@out_of_sample_option
@json_option
def import_predictions(dataset, file, run, kind, by, class_file, out_of_sample, as_json) -> None:
    """Read FILE (.npy, .npz, .csv, .tsv, .parquet), the logits or probabilities of your own model,
    as a run of DATASET, and score it: nothing is trained.

    A table has a column for each class, called like it, and id or filepath; an .npz has logits or
    probabilities, and optionally ids or filepaths, classes, embeddings.
    """
    from ..predictions import import_predictions as read

    kept = read(
        load_dataset(dataset), file, run, kind=kind, by=by, classes=read_classes(class_file),
        out_of_sample=out_of_sample, task=console_task(),
    )  # fmt: skip
    score_brought(kept, dataset, as_json)
