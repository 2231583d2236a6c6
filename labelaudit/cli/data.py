"""Commands that load datasets and change their labels."""

from __future__ import annotations

from inspect import cleandoc
from textwrap import wrap

import click
import numpy as np
import pandas as pd

from ..core.errors import DamagedError
from ..dataset.dataset import Dataset, delete_dataset, list_datasets
from ..dataset.noise import KINDS, inject, restore
from ..predictions.cleanlab_issues import LISTED, import_issues
from ..sources import ZOO, default_name, help_lines, load_dataset
from .base import (
    LIST_LENGTH,
    console_task,
    emit,
    example,
    in_split,
    json_option,
    main,
    split_option,
)


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


@main.command(**example("labelaudit load ~/pictures/pets --name pets"))
@click.argument("source")
@click.option("--name", help="Name of the dataset.  [default: the zoo name, or the file's name]")
@click.option(
    "--split", help="Load only this split of a zoo or Hugging Face dataset, for example train."
)
@click.option(
    "--label",
    help="Column, field or control that holds the labels, if there are several or its name is "
    "unusual.",
)
@click.option(
    "--root",
    help="Folder that the paths in an image list are relative to.  [default: the list's folder]",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing dataset of this name.")
@json_option
def load(
    source: str, name: str, split: str, label: str, root: str, overwrite: bool, as_json: bool
) -> None:
    """Load a dataset from SOURCE: a name from the zoo, hf:owner/name from the Hugging Face hub (or
    hf:owner/name@config), or a path. The format of a path is detected automatically:"""
    options = {"split": split, "overwrite": overwrite, "task": console_task()}
    if source in ZOO and name in (None, source):
        dataset = load_dataset(source, **options)
    else:
        name = name or default_name(source)
        dataset = load_dataset(name, source, label=label, root=root, **options)
    info = dataset.info
    splits = ", ".join(f"{count:,} {name}" for name, count in info["splits"].items())
    lines = [
        f"{dataset.name}: {info['samples']:,} samples{f' ({splits})' if splits else ''}, "
        f"{len(info['classes'])} classes",
        *_unlabelled(info),
        *info["skipped"].get("notes", []),
        *_skipped(info["skipped"]),
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


def _unlabelled(info: dict) -> list[str]:
    count = info["samples"] - info["labelled"]
    return [f"{count:,} samples have no label; they are predicted but not scored"] if count else []


def _skipped(skipped: dict) -> list[str]:
    lines = [f"{skipped['count']:,} images were skipped:"] if skipped["count"] else []
    lines += [f"  {entry['file']}: {entry['why']}" for entry in skipped["files"][:LIST_LENGTH]]
    more = skipped["count"] - LIST_LENGTH
    return [*lines, f"  … and {more:,} more"] if more > 0 else lines


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
    lines = [f"{report['rows']:,} rows, {report['changed']:,} samples changed"]
    lines += [f"  {tag}: {count:,} samples" for tag, count in report["tags"].items()]
    if report["outdated"]:
        lines.append(f"{report['outdated']:,} samples were relabelled since; they are not tagged")
    unmatched = report["unmatched"]
    if unmatched["count"]:
        rows = ", ".join(map(str, unmatched["rows"])) + (
            " …" if unmatched["count"] > LISTED else ""
        )
        lines.append(f"{unmatched['count']:,} rows match no sample: {rows}")
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
        emit(as_json, {"restored": count}, f"{count:,} labels restored")
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
