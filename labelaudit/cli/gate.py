"""The gate for pipelines, and the suspects that it accepts."""

from __future__ import annotations

import os
import sys

import click

from ..core.errors import BadInputError
from ..core.plural import counted
from ..dataset.dataset import Dataset
from ..storage.schema import NEW
from .base import emit, example, json_option, main, run_option, split_option

NOT_PASSED = 3  # exit code

accepted_option = click.option(
    "--accepted",
    type=click.Path(dir_okay=False),
    help="File of accepted suspects.  [default: labelaudit-accepted.csv, if it exists]",
)


class Share(click.ParamType):
    """A share of the labels, written as 2% or 0.02. Its value is 0 to 1."""

    name = "share"

    def convert(self, value, param, ctx):
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            self.fail(f"{value!r} is no share: write 2% or 0.02.", param, ctx)
        if not text.endswith("%") and number >= 1:
            self.fail(f"{value!r} is no share: write {number:g}% for per cent.", param, ctx)
        return number / 100 if text.endswith("%") else number


@main.command(**example("labelaudit check pets --max-wrong 2% --junit labels.xml"))
@click.argument("dataset")
@click.option(
    "--max-wrong",
    type=Share(),
    required=True,
    help="Largest share of wrong labels that passes: 2% or 0.02.",
)
@click.option("--confidence", type=Share(), default="0.95", help="Confidence of the interval.")
@click.option("--new-only", is_flag=True, help="Check only samples that the latest sync added.")
@click.option("--tag", help="Check only samples with this tag.")
@split_option
@run_option
@accepted_option
@click.option(
    "--undecided",
    type=click.Choice(["fail", "pass"]),
    default="fail",
    help="What to do if the data do not decide.",
)
@click.option("--junit", type=click.Path(dir_okay=False), help="Write JUnit XML to this file.")
@click.option(
    "--markdown", type=click.Path(dir_okay=False), help="Write a summary with the worst images."
)
@json_option
def check(
    dataset,
    max_wrong,
    confidence,
    new_only,
    tag,
    split,
    run,
    accepted,
    undecided,
    junit,
    markdown,
    as_json,
) -> None:
    """Decide whether the labels of DATASET are good enough for a pipeline.

    The exit code is 0 if at most --max-wrong of the labels are wrong, and 3 if more are, or if the
    data do not decide. The whole interval of the estimate decides, not its middle. Corrected,
    removed and accepted samples do not count as wrong. Exit code 1 means that the check could not
    be made, for example because the dataset has not been audited."""
    from ..export.tables import open_sink
    from ..living import check_labels, read_accepted
    from ..living.accepted import FILE
    from ..living.gate import UNDECIDED
    from ..living.gate_reports import junit_xml
    from ..living.gate_reports import markdown as summary

    if new_only and tag:
        raise click.UsageError("give --new-only or --tag, not both")
    accepted = accepted or (FILE if os.path.exists(FILE) else None)
    result = check_labels(
        Dataset(dataset),
        max_wrong,
        run=run,
        confidence=confidence,
        tag=NEW if new_only else tag,
        split=split,
        accepted=read_accepted(accepted) if accepted else (),
    )
    for path, text in ((junit, junit_xml), (markdown, summary)):
        if path:
            with open_sink(path) as sink:
                sink.write(text(result).encode())
    passes = result.passed or (result.status == UNDECIDED and undecided == "pass")
    emit(as_json, {**result.to_dict(), "passes": passes}, result.why)
    for name, why in () if as_json else result.stale:
        click.echo(f"accepted, but not counted: {name!r} {why}", err=True)
    if not passes:
        sys.exit(NOT_PASSED)


@main.command(**example("labelaudit accept pets 12 407 --why 'a puppy, really'"))
@click.argument("dataset")
@click.argument("ids", nargs=-1, type=int)
@click.option("--kept", is_flag=True, help="Accept all samples that the reviewers keep.")
@accepted_option
@click.option("--why", default="", help="Reason, for those who review the file.")
@click.option("--who", help="Name of the person who accepts.  [default: your user name]")
@json_option
def accept(dataset, ids, kept, accepted, why, who, as_json) -> None:
    """Accept the labels of the samples of DATASET with these IDS, so that `check` does not fail
    because of them. They are written to a CSV file to be kept and reviewed in a repository, one
    line per image. A line no longer counts when the image or its label has changed."""
    from ..living import accept as add
    from ..living.accepted import FILE, kept_samples

    if bool(ids) == kept:
        raise click.UsageError("give ids, or --kept")
    opened, path = Dataset(dataset), accepted or FILE
    chosen = kept_samples(opened) if kept else ids
    if not len(chosen):
        raise BadInputError(f"the reviewers of dataset {dataset!r} keep no sample yet.")
    count = add(opened, chosen, path, why=why, by=who)
    emit(
        as_json,
        {"file": path, "changed": count},
        f"{counted(count, 'line')} added or changed in {path}",
    )
