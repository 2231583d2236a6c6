"""The command that imports predictions, and the options it shares with `predict --model`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..core.errors import DamagedError
from ..core.plural import counted
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..sources import load_dataset
from ..storage.schema import IMPORTED
from .base import console_task, emit, example, json_option, main

class_file_option = click.option(
    "--classes",
    "class_file",
    type=click.Path(exists=True, dir_okay=False),
    help="The classes of the columns, in order: a text file with one class per line, or a JSON "
    "list.  [default: the column names, else the dataset's classes]",
)
kind_option = click.option(
    "--kind",
    type=click.Choice(("logits", "probabilities")),
    help="What the numbers are.  [default: detected automatically]",
)
out_of_sample_option = click.option(
    "--out-of-sample",
    is_flag=True,
    help="The model was not trained on these labels (cross-validation).",
)


def read_classes(path: str | None) -> list[str] | None:
    if path is None:
        return None
    try:
        text = Path(path).read_text("utf-8-sig")
        names = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except ValueError as error:
        raise DamagedError(
            f"{path} is not a text file with one class per line: {error}."
        ) from error
    return [str(name).strip() for name in names if str(name).strip()]


def score_import(run: Run, dataset: str, as_json: bool) -> None:
    """Score an imported run and print how it was read and what to do next."""
    from ..ranking.ranking import suspects
    from ..ranking.scoring import compute_scores

    opened = Dataset(dataset)
    scores = compute_scores(opened, run.name, None, console_task())
    found = len(suspects(opened, run.name))
    source = run.info[IMPORTED]
    data = {"run": run.name, **source, "scores": scores, "suspects": found}
    how = (
        "out of sample"
        if source["out_of_sample"]
        else "from a model assumed to be trained on these labels"
    )
    lines = [f"{run.name}: {source['kind']} of {counted(source['rows'], 'sample')}, {how}"]
    lines += [
        *run.info["notes"],
        f"{counted(found, 'suspect')}; list them with `labelaudit suspects {dataset} --run "
        f"{run.name}`",
    ]
    emit(as_json, data, "\n".join(lines))


by_option = click.option(
    "--by",
    type=click.Choice(("id", "filepath", "order")),
    help="How rows are matched to samples.  [default: the first of these the file has]",
)


in_order_option = click.option(
    "--in-order",
    is_flag=True,
    help="The rows are in the order of the samples' ids, whatever the labels say: same as --by "
    "order.",
)


def how(by: str | None, in_order: bool) -> str | None:
    if in_order and by not in (None, "order"):
        raise click.UsageError(f"--in-order contradicts --by {by}: use one of them.")
    return "order" if in_order else by


@main.command(
    "import-predictions",
    **example("labelaudit import-predictions digits probabilities.csv --out-of-sample"),
)
@click.argument("dataset")
@click.argument("file", type=click.Path())
@click.option("--run", default="imported", help="Name of the run to write.")
@kind_option
@by_option
@in_order_option
@class_file_option
@out_of_sample_option
@click.option(
    "--replace",
    is_flag=True,
    help="Replace an imported run of this name even if FILE lacks samples that it has.",
)
@json_option
def import_predictions(
    dataset, file, run, kind, by, in_order, class_file, out_of_sample, replace, as_json
) -> None:
    """Import the logits or probabilities of your own model from FILE (.npy, .npz, .csv, .tsv,
    .parquet) as a run of DATASET, and score it. Nothing is trained.

    A table has one column per class, named after the class, and a column id or filepath. An .npz
    file has logits or probabilities, and optionally ids or filepaths, classes and embeddings.
    """
    from ..predictions import import_predictions as read

    imported = read(
        load_dataset(dataset),
        file,
        run,
        kind=kind,
        by=how(by, in_order),
        classes=read_classes(class_file),
        out_of_sample=out_of_sample,
        replace=replace,
        task=console_task(),
    )
    score_import(imported, dataset, as_json)


@main.command(
    "import-features",
    **example("labelaudit import-features digits embeddings.npy --name dinov2"),
)
@click.argument("dataset")
@click.argument("file", type=click.Path())
@click.option("--name", required=True, help="Name of the features; not that of an extractor.")
@by_option
@in_order_option
@json_option
def import_features(dataset, file, name, by, in_order, as_json) -> None:
    """Import features of the images of DATASET, such as embeddings of your own network, from FILE
    (.npy, .npz, .parquet). The first look then tries them with the built-in ones.

    A table has a column of lists `features`, or a column for each number; and a column id or
    filepath. An .npz file has features, and optionally ids or filepaths.
    """
    from ..predictions import import_features as read

    count = read(load_dataset(dataset), file, name, how(by, in_order), task=console_task())
    text = (
        f"{name}: features of {counted(count, 'sample')}; use them with "
        f"`labelaudit first-look {dataset} --features {name}`"
    )
    emit(as_json, {"features": name, "samples": count}, text)
