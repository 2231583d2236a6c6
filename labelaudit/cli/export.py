"""Commands that write labels, images and reports."""

from __future__ import annotations

import click

from ..dataset.dataset import Dataset
from ..dataset.noise import still_wrong
from ..export import all_formats
from ..sources import load_dataset
from .base import BOM_HELP, console_task, emit, example, json_option, main, run_option, split_option

FORMATS = tuple(all_formats())


@main.command(**example("labelaudit export digits corrected --format folders --dry-run"))
@click.argument("dataset")
@click.argument("target", type=click.Path())
@click.option(
    "--format",
    "fmt",
    metavar=f"[{'|'.join(FORMATS)}]",
    default="manifest",
    help="manifest: one table; TARGET ends in .csv, .jsonl or .parquet. The others "
    "include the images and write a new folder, or a zip if TARGET ends in .zip. "
    "folders: <split>/<class>/<image>.",
)
@click.option(
    "--link/--copy",
    default=False,
    help="Hard-link the image files instead of copying them, where possible.",
)
@click.option(
    "--images/--no-images",
    default=None,
    help="With manifest: also write the images that are "
    "stored in the dataset, so that the table can be loaded again. By default they are written.",
)
@click.option(
    "--paths",
    type=click.Choice(["auto", "relative", "absolute"]),
    default="auto",
    help="With manifest: how to write image paths. auto: relative for images below "
    "the table's folder.",
)
@click.option("--bom", is_flag=True, help=BOM_HELP)
@click.option(
    "--suspects",
    "only_suspects",
    is_flag=True,
    help="Export only the suspects, most suspicious first.",
)
@run_option
@click.option("--tag", help="Export only samples with this tag.")
@split_option
@click.option(
    "--into-source", is_flag=True, help="Allow a TARGET inside the folder of source images."
)
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
@json_option
def export(
    dataset,
    target,
    fmt,
    link,
    images,
    paths,
    bom,
    only_suspects,
    run,
    tag,
    split,
    into_source,
    dry_run,
    as_json,
) -> None:
    """Write DATASET with its current labels to TARGET, without the samples tagged removed.

    TARGET appears complete or not at all. Source images are never changed, and nothing is written
    into their folder without --into-source.
    """
    from ..export import export_dataset
    from ..ranking.ranking import selection

    data = load_dataset(dataset)
    view = selection(data, run, only_suspects, split, tag)
    done = export_dataset(
        view,
        target,
        fmt,
        link=link,
        images=images,
        paths=paths,
        bom=bom,
        into_source=into_source,
        dry_run=dry_run,
        task=console_task(),
    )
    if wrong := still_wrong(data):
        click.echo(
            f"{wrong:,} of these labels are planted mistakes; restore them with "
            f"`labelaudit noise {data.name} --restore`",
            err=True,
        )
    emit(as_json, done.to_dict(), str(done))


@main.command(**example("labelaudit report digits -o report.html"))
@click.argument("dataset")
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False), help="File to write."
)
@run_option
@click.option("--top", default=100, help="Number of suspects to show with their images.")
@json_option
def report(dataset, output, run, top, as_json) -> None:
    """Write a report on the audit of DATASET: what was audited and how, what was found and what
    was decided. The HTML file contains its images and loads nothing from the network."""
    from ..report import write_report

    size = write_report(Dataset(dataset), output, run, top)
    emit(as_json, {"file": output, "bytes": size}, f"{output} written, {size / 1000:,.0f} kB")
