"""Commands over datasets and their labels."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pandas as pd

from ..dataset import Dataset, delete_dataset, list_datasets
from ..errors import LabelAuditError
from ..noise import KINDS, inject, restore
from ..sources import ZOO, load_dataset
from .base import SHOWN, Bar, Interrupt, chosen, emit, example, json_option, main, split_option


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
    short_help="Make a dataset of a folder, manifest, zip or zoo name.",
    **example("labelaudit load ~/pictures/pets --name pets"),
)
@click.argument("source")
@click.option("--name", help="Name of the dataset.  [default: the zoo name, or the file's name]")
@click.option("--split", help="Of a zoo dataset: only train or test.")
@click.option("--overwrite", is_flag=True, help="Replace a dataset of this name.")
@json_option
def load(source: str, name: str, split: str, overwrite: bool, as_json: bool) -> None:
    """Make a dataset of SOURCE: a zoo name, a folder of class folders, a manifest (CSV, JSON lines
    or Parquet with filepath and label), or a zip of either."""
    options = {"split": split, "overwrite": overwrite, "progress": Bar(), "stop": Interrupt()}
    if source in ZOO and name in (None, source):
        dataset = load_dataset(source, **options)
    else:
        dataset = load_dataset(name or Path(source).expanduser().absolute().stem, source, **options)
    info = dataset.info
    splits = ", ".join(f"{count:,} {name}" for name, count in info["splits"].items())
    lines = [
        f"{dataset.name}: {info['samples']:,} samples{f' ({splits})' if splits else ''}, "
        f"{len(info['classes'])} classes",
        *_unlabelled(info),
        *_skipped(info["skipped"]),
    ]
    emit(as_json, info, "\n".join(lines))


def _unlabelled(info: dict) -> list[str]:
    count = info["samples"] - info["labelled"]
    return [f"{count:,} have no label: they are predicted, but not scored"] if count else []


def _skipped(skipped: dict) -> list[str]:
    lines = [f"{skipped['count']:,} images were left out:"] if skipped["count"] else []
    lines += [f"  {entry['file']}: {entry['why']}" for entry in skipped["files"][:SHOWN]]
    more = skipped["count"] - SHOWN
    return [*lines, f"  … and {more:,} more"] if more > 0 else lines


@main.command(
    short_help="Make labels wrong on purpose, or take that back.",
    **example("labelaudit noise digits --rate 0.2 --kind pair --pair 3 8"),
)
@click.argument("dataset")
@click.option("--rate", type=float, help="Share of the labels to make wrong, 0 to 1.")
@click.option("--kind", type=click.Choice(KINDS), default="uniform",
              help="uniform: any wrong class; pair: the next class, or --pair; confusion: by "
              "--confusion.")  # fmt: skip
@click.option("--pair", nargs=2, help="Two classes to mix up.")
@click.option("--confusion", type=click.Path(exists=True, dir_okay=False),
              help="CSV without a header: row = class, column = what it is taken for.")  # fmt: skip
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


@main.command(**example("labelaudit delete digits --yes"))
@click.argument("dataset")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(dataset, yes, as_json) -> None:
    """Delete DATASET with its runs. The images that it was made of are not touched."""
    opened = Dataset(dataset)
    if not yes:
        click.confirm(f"delete {opened!r}?", abort=True, err=True)
    delete_dataset(dataset)
    emit(as_json, {"deleted": dataset}, f"{dataset} is deleted")
