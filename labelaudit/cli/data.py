"""Commands that load datasets and change their labels."""

from __future__ import annotations

from inspect import cleandoc
from textwrap import wrap

import click
import numpy as np
import pandas as pd

from ..core.errors import DamagedError
from ..core.plural import counted
from ..dataset.dataset import Dataset, delete_dataset, list_datasets
from ..dataset.noise import KINDS, inject, restore
from ..predictions.cleanlab_issues import LISTED, import_issues
from ..sources import ZOO, default_name, help_lines, load_dataset, preview_dataset
from .base import (
    console_task,
    emit,
    example,
    in_split,
    json_option,
    main,
    split_option,
)
from .load_text import preview_lines, skipped_lines, split_text, understood_lines, unlabelled_lines


@main.command(**example("labelaudit datasets"))
@json_option
def datasets(as_json: bool) -> None:
    """List your datasets, and those that can be loaded by name."""
    rows = []
    for name in list_datasets():
        info = Dataset(name).info
        rows.append({k: info[k] for k in ("name", "samples", "classes", "runs", "source")})
    zoo = {name: entry.about for name, entry in ZOO.items()}
    table = pd.DataFrame(
        [{**row, "classes": len(row["classes"]), "runs": len(row["runs"])} for row in rows]
    )
    lines = [
        table.to_string(index=False)
        if rows
        else "no datasets yet; load one with `labelaudit load`",
        "",
        "zoo:",
    ]
    lines += [f"  {name:14} {about}" for name, about in zoo.items()]
    emit(as_json, {"datasets": rows, "zoo": zoo}, "\n".join(lines))


@main.command(**example("labelaudit load ~/pictures/pets --name pets --dry-run"))
@click.argument("source")
@click.option("--name", help="Name of the dataset.  [default: the zoo name, or the file's name]")
@click.option(
    "--split", help="Load only this split of a zoo or Hugging Face dataset, for example train."
)
@click.option(
    "--label",
    "--label-column",
    "label",
    help="Column, field or control that holds the labels, if there are several or its name is "
    "unusual.",
)
@click.option(
    "--path-column",
    help="Column of an image list that holds the paths or names of the images, if its name is "
    "unusual.",
)
@click.option(
    "--field",
    "fields",
    multiple=True,
    help="Column of a table to load as a field of its own, such as the labels of another "
    "annotator: NAME or NAME:KIND, with label, number, text, bool or date. May be repeated.",
)
@click.option(
    "--root",
    help="Folder that the paths in an image list are relative to.  [default: the list's folder]",
)
@click.option(
    "--label-from",
    help="Where the labels of a folder are: the level of the class folders (1: those at the top), "
    "'parent' (the folder of each image), 'name' (the beginning of the file name), 'folders' (not "
    "in a list), or the name of a list in it.  [default: detected]",
)
@click.option(
    "--split-from",
    help="Level of the folders that are splits, or 'none'.  [default: detected]",
)
@click.option(
    "--ignore",
    multiple=True,
    help="Name of folders or files in a folder to leave out, or a pattern such as '*/thumbs/*'. "
    "May be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing dataset of this name.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print how SOURCE is understood (format, splits, classes, what is skipped), and load "
    "nothing.",
)
@json_option
def load(
    source: str,
    name: str,
    split: str,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    ignore: tuple[str, ...],
    **reading,
) -> None:
    """Load a dataset from SOURCE: a name from the zoo, hf:owner/name from the Hugging Face hub (or
    hf:owner/name@config), or a path. The format of a path is detected automatically:"""
    pairs = (text.partition(":") for text in reading["fields"])
    reading["fields"] = {column: kind or None for column, _, kind in pairs}
    reading["ignore"] = [part for text in ignore for part in text.split(",")]
    options = {"split": split, "task": console_task()}
    if dry_run:
        preview = preview_dataset(source, **options, **reading)
        emit(as_json, preview.to_dict(), "\n".join(preview_lines(preview)))
        return
    if source in ZOO and name in (None, source):
        dataset = load_dataset(source, overwrite=overwrite, **options)
    else:
        name = name or default_name(source)
        dataset = load_dataset(name, source, overwrite=overwrite, **options, **reading)
    info = dataset.info
    lines = [
        f"{dataset.name}: {counted(info['samples'], 'sample')}{split_text(info['splits'])}, "
        f"{counted(len(info['classes']), 'class')}",
        *understood_lines(info["skipped"]),
        *unlabelled_lines(info["samples"] - info["labelled"]),
        *skipped_lines(info["skipped"]),
    ]
    emit(as_json, info, "\n".join(lines))


load.help = (
    cleandoc(load.help)
    + "\n\n\b\n"
    + "\n".join(
        line
        for title, looks in help_lines()
        for line in wrap(f"{title}: {looks.replace('`', '')}", 92, subsequent_indent="  ")
    )
)
load.help += (
    "\n\nA folder may be zipped. SOURCE can also be in object storage, such as s3://bucket/pets; "
    "access is configured by AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and "
    "AWS_ENDPOINT. Images from object storage are copied into the dataset. Images in local folders "
    "are not copied, so keep them in place."
)


@main.command(
    "import-issues",
    **example("labelaudit import-issues pets issues.csv"),
)
@click.argument("dataset")
@click.argument("file")
@json_option
def issues_command(dataset: str, file: str, as_json: bool) -> None:
    """Tag the samples of DATASET with the issues in FILE, written by cleanlab's Datalab,
    CleanLearning, CleanVision or Studio (CSV, JSON lines or Parquet). The column is_label_issue
    becomes the tag label_issue, and so on. Rows are matched by a column id, by a column of file
    paths, by the pandas index, or by order. List the tagged samples with `labelaudit suspects
    DATASET --tag label_issue`."""
    report = import_issues(Dataset(dataset), file)
    lines = [f"{counted(report['rows'], 'row')}, {counted(report['changed'], 'sample')} changed"]
    lines += [f"  {tag}: {counted(count, 'sample')}" for tag, count in report["tags"].items()]
    if report["outdated"]:
        since = counted(report["outdated"], "sample", "was relabelled", "were relabelled")
        lines.append(f"{since} since, and not tagged")
    unmatched = report["unmatched"]
    if unmatched["count"]:
        rows = ", ".join(map(str, unmatched["rows"])) + (
            " …" if unmatched["count"] > LISTED else ""
        )
        lines.append(f"{counted(unmatched['count'], 'row', 'matches', 'match')} no sample: {rows}")
    emit(as_json, report, "\n".join(lines))


@main.command(**example("labelaudit noise digits --rate 0.2 --kind pair --pair 3 8"))
@click.argument("dataset")
@click.option("--rate", type=float, help="Share of labels to make wrong, 0 to 1.")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="uniform",
    help="uniform: any wrong class; pair: the next class, or the two of --pair; "
    "confusion: the matrix of --confusion.",
)
@click.option("--pair", nargs=2, help="With --kind pair: the two classes to mix up.")
@click.option(
    "--confusion",
    type=click.Path(exists=True, dir_okay=False),
    help="With --kind confusion: a CSV file without header. Row: true class, column: "
    "class given by mistake, cell: how often.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="The same seed plants the same mistakes."
)
@split_option
@click.option(
    "--restore", "restore_labels", is_flag=True, help="Restore the labels that were made wrong."
)
@json_option
def noise(dataset, rate, kind, pair, confusion, seed, split, restore_labels, as_json) -> None:
    """Make some labels of DATASET wrong on purpose, to rehearse an audit; or restore them.

    Mistakes planted earlier are restored first. Changed samples get the tag `mistake`.
    """
    data = load_dataset(dataset)
    if restore_labels:
        count = restore(data)
        emit(as_json, {"restored": count}, f"{counted(count, 'label')} restored")
        return
    if rate is None:
        raise click.UsageError("give --rate or --restore")
    matrix = None
    if confusion:
        try:
            matrix = np.loadtxt(confusion, delimiter=",", ndmin=2)
        except ValueError as error:
            raise DamagedError(f"{confusion} is not a matrix of numbers: {error}.") from error
    report = inject(in_split(data, split), rate, kind, seed, pair, matrix)
    emit(as_json, report.__dict__, str(report))


@main.command(**example("labelaudit delete digits --yes"))
@click.argument("dataset")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@json_option
def delete(dataset, yes, as_json) -> None:
    """Delete DATASET and its runs. The source images are not touched."""
    if not yes:
        click.confirm(f"delete {Dataset(dataset)!r}?", abort=True, err=True)
    delete_dataset(dataset)
    emit(as_json, {"deleted": dataset}, f"{dataset} deleted")
