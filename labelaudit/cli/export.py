"""Commands that write something for others to read: labels, and images with them; a report."""

from __future__ import annotations

import click

from ..dataset.dataset import Dataset
from ..dataset.noise import still_wrong
from ..sources import load_dataset
from .base import console_task, emit, example, json_option, main, run_option, split_option

FORMATS = ("manifest", "folders", "huggingface", "fiftyone", "label-studio")


@main.command(
    short_help="Write the labels as they are now, and images with them.",
    **example("labelaudit export digits corrected --format folders --dry-run"),
)
@click.argument("dataset")
@click.argument("target", type=click.Path())
@click.option("--format", "fmt", metavar=f"[{'|'.join(FORMATS)}]", default="manifest",
              help="manifest: one table, TARGET ends in .csv, .jsonl or .parquet. The others hold "
              "the images, and make a new folder, or a zip where TARGET ends in .zip. folders: "
              "<split>/<class>/<image>.")  # fmt: skip
@click.option(
    "--link/--copy",
    default=False,
    help="Hard links to the image files instead of copies, where that can be.",
)
@click.option("--images", is_flag=True, help="Of a manifest: write images that are kept inside the "
              "dataset beside it, so that it can be loaded.")  # fmt: skip
@click.option("--paths", type=click.Choice(["auto", "relative", "absolute"]), default="auto",
              help="Of a manifest. auto: relative where images lie below it.")  # fmt: skip
@click.option("--suspects", "only_suspects", is_flag=True, help="Only the suspects, worst first.")
@run_option
@click.option("--tag", help="Only samples with this tag.")
@split_option
@click.option("--into-source", is_flag=True, help="Allow a TARGET among the source images.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@json_option
def export(
    dataset, target, fmt, link, images, paths, only_suspects, run, tag, split, into_source, dry_run,
    as_json,
) -> None:  # fmt: skip
    """Write DATASET with its labels as they are now to TARGET, without samples tagged removed.

    What is written appears whole or not at all. Images are never changed, and nothing is written
    among those that the dataset was made of, unless you say so.
    """
    from ..export import export_dataset
    from ..ranking.ranking import selection

    data = load_dataset(dataset)
    view = selection(data, run, only_suspects, split, tag)
    done = export_dataset(
        view, target, fmt, link=link, images=images, paths=paths, into_source=into_source,
        dry_run=dry_run, task=console_task(),
    )  # fmt: skip
    if wrong := still_wrong(data):
        click.echo(
            f"{wrong:,} of these labels are wrong on purpose, planted for a rehearsal: take them "
            f"back with `labelaudit noise {data.name} --restore`.", err=True,
        )  # fmt: skip
    emit(as_json, done.to_dict(), str(done))


@main.command(
    short_help="Write what was found as one HTML file, to send or print.",
    **example("labelaudit report digits -o report.html"),
)
@click.argument("dataset")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False),
              help="File to write.")  # fmt: skip
@run_option
@click.option("--top", default=100, help="How many suspects to show, with their images.")
@json_option
def report(dataset, output, run, top, as_json) -> None:
    """Write what was audited in DATASET, how, what was found and decided, as one HTML file. It
    stands alone: images are in it, and nothing is fetched."""
    from ..report import write_report

    size = write_report(Dataset(dataset), output, run, top)
    emit(as_json, {"file": output, "bytes": size}, f"{output} written, {size / 1000:,.0f} kB")
