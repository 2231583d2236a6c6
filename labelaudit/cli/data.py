"""Commands over datasets and their labels."""

from __future__ import annotations

from inspect import cleandoc
from textwrap import wrap

import click
import numpy as np
import pandas as pd

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset, delete_dataset, list_datasets
from ..dataset.noise import KINDS, inject, restore
from ..predictions.cleanlab_issues import LISTED, import_issues
from ..sources import ZOO, default_name, help_lines, load_dataset
from .base import SHOWN, chosen, console_task, emit, example, json_option, main, split_option


@main.command(**example("labelaudit datasets"))
@json_option
def datasets(as_json: bool) -> None:
    """List the datasets here, and those that can be loaded by name."""
    rows = []
    for name in list_datasets():
        info = Dataset(name).info
        rows.append({k: info[k] for k in ("name", "samples", "classes", "runs", "source")})
    zoo = {name: entry.about for name, entry in ZOO.items()}
    table = pd.DataFrame([{**row, "classes": len(row["classes"]), "runs": len(row["runs"])}
                          for row in rows])  # fmt: skip
    lines = [table.to_string(index=False) if rows else "no datasets yet", "", "zoo:"]
    lines += [f"  {name:14} {about}" for name, about in zoo.items()]
    emit(as_json, {"datasets": rows, "zoo": zoo}, "\n".join(lines))


@main.command(
    short_help="Make a dataset of a folder, a list of images, a zip, hf:owner/name or a zoo name.",
    **example("labelaudit load ~/pictures/pets --name pets"),
)
@click.argument("source")
@click.option("--name", help="Name of the dataset.  [default: the zoo name, or the file's name]")
@click.option("--split", help="Of a zoo or Hugging Face dataset: only this one, as train or test.")
@click.option(
    "--label",
    help="Column, field or control with the labels, where there are several "
    "or it has an unusual name.",
)
@click.option(
    "--root", help="Folder that the paths of a list of images are relative to.  [default: its own]"
)
@click.option("--overwrite", is_flag=True, help="Replace the dataset that has this name already.")
@json_option
def load(
    source: str, name: str, split: str, label: str, root: str, overwrite: bool, as_json: bool
) -> None:
    """Make a dataset of SOURCE: a zoo name, hf:owner/name of the Hugging Face hub (or
    hf:owner/name@config), or a path. What a path is, is recognised:"""
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
    "\n\nFolders may be zipped. s3://bucket/pets is such a folder, list or zip in object storage "
    "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT say how it is reached): "
    "its images are copied into the dataset. Of other folders they are read where they lie."
)


def _unlabelled(info: dict) -> list[str]:
    count = info["samples"] - info["labelled"]
    return [f"{count:,} have no label: they are predicted, but not scored"] if count else []


def _skipped(skipped: dict) -> list[str]:
    lines = [f"{skipped['count']:,} images were left out:"] if skipped["count"] else []
    lines += [f"  {entry['file']}: {entry['why']}" for entry in skipped["files"][:SHOWN]]
    more = skipped["count"] - SHOWN
    return [*lines, f"  … and {more:,} more"] if more > 0 else lines


@main.command(
    "import-issues",
    short_help="Tag samples with the issues that cleanlab found.",
    **example("labelaudit import-issues pets issues.csv"),
)
@click.argument("dataset")
@click.argument("file")
@json_option
def issues_command(dataset: str, file: str, as_json: bool) -> None:
    """Tag the samples of DATASET with the issues in FILE, that cleanlab's Datalab, CleanLearning,
    CleanVision or Studio wrote (CSV, JSON lines or Parquet): is_label_issue becomes the tag
    label_issue, and so on. Rows are matched by a column id, by one with file paths, by pandas'
    index, or in order of the ids. `labelaudit suspects DATASET --tag label_issue` lists them."""
    report = import_issues(Dataset(dataset), file)
    lines = [f"{report['rows']:,} rows, {report['changed']:,} samples changed"]
    lines += [f"  {tag}: {count:,} samples" for tag, count in report["tags"].items()]
    if report["outdated"]:
        lines.append(f"{report['outdated']:,} samples have another label by now: left as they are")
    lost = report["unmatched"]
    if lost["count"]:
        rows = ", ".join(map(str, lost["rows"])) + (" …" if lost["count"] > LISTED else "")
        lines.append(f"{lost['count']:,} rows belong to no sample: {rows}")
    emit(as_json, report, "\n".join(lines))


@main.command(
    short_help="Make labels wrong on purpose, or take that back.",
    **example("labelaudit noise digits --rate 0.2 --kind pair --pair 3 8"),
)
@click.argument("dataset")
@click.option("--rate", type=float, help="Share of the labels to make wrong, 0 to 1.")
@click.option("--kind", type=click.Choice(KINDS), default="uniform",
              help="uniform: any wrong class; pair: the next class, or --pair; confusion: by "
              "--confusion.")  # fmt: skip
@click.option(
    "--pair", nargs=2, help="With --kind pair: two classes, each of which is taken for the other."
)
@click.option("--confusion", type=click.Path(exists=True, dir_okay=False),
              help="With --kind confusion: CSV without a header, row = class, column = class that "
              "it is taken for, entry = how often.")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="The same seed makes the same mistakes."
)
@split_option
@click.option("--restore", "take_back", is_flag=True, help="Take injected mistakes back instead.")
@json_option
def noise(dataset, rate, kind, pair, confusion, seed, split, take_back, as_json) -> None:
    """Make some labels of DATASET wrong on purpose, to rehearse; or take that back.

    Noise injected before is taken back first. Changed samples get the tag `mistake`.
    """
    data = load_dataset(dataset)
    if take_back:
        count = restore(data)
        emit(as_json, {"restored": count}, f"{count:,} labels are as they were before")
        return
    if rate is None:
        raise click.UsageError("give --rate, or --restore")
    matrix = None
    if confusion:
        try:
            matrix = np.loadtxt(confusion, delimiter=",", ndmin=2)
        except ValueError as error:
            raise LabelAuditError(f"{confusion} is no matrix of numbers: {error}.") from error
    report = inject(chosen(data, split), rate, kind, seed, pair, matrix)
    emit(as_json, report.__dict__, str(report))


@main.command(short_help="Delete a dataset.", **example("labelaudit delete digits --yes"))
@click.argument("dataset")
@click.option("--yes", is_flag=True, help="Delete without asking first.")
@json_option
def delete(dataset, yes, as_json) -> None:
    """Delete DATASET with its runs. The images that it was made of are not touched."""
    if not yes:
        click.confirm(f"delete {Dataset(dataset)!r}?", abort=True, err=True)
    delete_dataset(dataset)
    emit(as_json, {"deleted": dataset}, f"{dataset} is deleted")
