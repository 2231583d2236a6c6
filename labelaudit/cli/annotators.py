"""Commands for labels by several annotators."""

from __future__ import annotations

import click

from ..annotators.consensus import SURE, consensus
from ..annotators.importing import import_annotations as read
from ..core.errors import BadInputError
from ..core.plural import counted
from ..sources import load_dataset
from .base import LIST_LENGTH, csv_option, emit, example, json_option, main, run_option


@main.command("import-annotations", **example("labelaudit import-annotations pets votes.csv"))
@click.argument("dataset")
@click.argument("file", type=click.Path(), required=False)
@click.option("--annotator", help="Column of the annotators, if its name is unusual.")
@click.option(
    "--label", help="Column of the labels, if its name is unusual; of Label Studio, the choices."
)
@click.option(
    "--field", "fields", multiple=True,
    help="An own label field of one annotator, instead of FILE. May be repeated.",
)  # fmt: skip
@click.option("--replace", is_flag=True, help="Drop the labels of annotators imported before.")
@json_option
def import_annotations(dataset, file, annotator, label, fields, replace, as_json) -> None:
    """Import the labels that several annotators gave to the samples of DATASET.

    FILE is a table (CSV, JSON lines, Parquet) with a row per label and the columns id or filepath,
    annotator, and label; or an export of Label Studio (JSON or JSON-MIN). The labels of DATASET are
    not changed.
    """
    if bool(file) == bool(fields):
        raise click.UsageError("give either FILE or --field.")
    found = read(
        load_dataset(dataset), list(fields) or file,
        annotator=annotator, label=label, replace=replace,
    )  # fmt: skip
    text = (
        f"{counted(found['labels'], 'label')} by {counted(found['annotators'], 'annotator')} for "
        f"{counted(found['samples'], 'sample')}"
    )
    if found["unmatched"]:
        text += f"\n{counted(found['unmatched'], 'row', 'matches', 'match')} no sample"
    emit(as_json, found, text)


@main.command(**example("labelaudit annotators pets --ask 10"))
@click.argument("dataset")
@run_option
@click.option("--no-model", is_flag=True, help="Use the annotators alone, without predictions.")
@click.option(
    "--ask", type=click.IntRange(min=0), default=0, help="List so many samples to label again, and "
    "who should.",
)  # fmt: skip
@csv_option("Write the consensus of each sample to this CSV file.")
@click.option("--apply", is_flag=True, help="Set the labels to the consensus where it is sure.")
@click.option(
    "--at-least", type=click.FloatRange(0, 1), default=SURE,
    help="With --apply: the least probability of the consensus.",
)  # fmt: skip
@json_option
def annotators(dataset, run, no_model, ask, csv_file, apply, at_least, as_json) -> None:
    """Estimate how reliable the annotators of DATASET are, and combine their labels.

    Their labels come from `labelaudit import-annotations`. Predictions of a run that did not learn
    the labels, such as a first look, count as well.
    """
    if no_model and run:
        raise BadInputError(f"--no-model uses no run: leave out --run {run}.")
    found = consensus(load_dataset(dataset), run, model=not no_model)
    asked = found.ask(ask)
    data = {
        "labels": int(found.samples["labels"].sum()),
        "samples": len(found.samples),
        "run": found.run,
        "agreement": None if found.agreement != found.agreement else found.agreement,
        "annotators": found.annotators.to_dict("records"),
        "differs": int((found.samples["consensus"] != found.samples["ground_truth"]).sum()),
        "suspects": found.samples.head(LIST_LENGTH).to_dict("records"),
        "ask": asked.to_dict("records"),
        "notes": found.notes,
    }
    lines = [str(found)]
    if ask:
        lines += ["", "To label again:", asked.to_string(index=False, float_format="{:.3f}".format)]
    if csv_file:
        lines.append(f"\n{counted(found.to_csv(csv_file), 'sample')} in {csv_file}")
    if apply:
        data["changed"] = found.apply(at_least)
        lines.append(
            f"\n{counted(data['changed'], 'label')} changed; `labelaudit history {dataset}` can "
            "undo it"
        )
    emit(as_json, data, "\n".join(lines))
