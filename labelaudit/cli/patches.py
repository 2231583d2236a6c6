"""Commands over patches: label changes as a file."""

from __future__ import annotations

import sys

import click

from ..dataset.dataset import Dataset
from .base import SHOWN, console_task, emit, example, json_option, main


def patch_options(command):
    """The options by which `apply` takes a patch."""
    options = [
        click.option("--patch", "patch_file", type=click.Path(dir_okay=False),
                     help="Do what this patch says, not what the verdicts say."),
        click.option("--trust", multiple=True, type=click.Choice(("path", "id")),
                     help="Of a patch: path, where images were resized or compressed anew, so that "
                     "their pixels differ; id, where neither path nor pixels are found. May be "
                     "repeated."),
        click.option("--add-classes", is_flag=True,
                     help="Of a patch: add the classes that the dataset lacks."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@main.command(
    short_help="Write the label changes as a file for another copy of the dataset.",
    **example("labelaudit patch digits -o digits.labels.jsonl"),
)
@click.argument("dataset")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False),
              help="File to write, by convention ….labels.jsonl.")  # fmt: skip
@click.option("--source", type=click.Choice(("applied", "verdicts")), default="applied",
              help="What was changed since the dataset was loaded; or what reviewers agree on, "
              "applied or not, with what they looked at and kept.")  # fmt: skip
@click.option("--by", "reviewer", help="Only what this reviewer decided.")
@json_option
def patch(dataset, output, source, reviewer, as_json) -> None:
    """Write the label changes of DATASET as a patch: a line a sample, sorted, fit for git. On any
    copy of the dataset `labelaudit apply COPY --patch FILE` puts them into effect."""
    from ..patch import write_patch

    options = {"source": source, "reviewer": reviewer, "task": console_task()}
    made = write_patch(Dataset(dataset), output, **options)
    data = {"file": output, "samples": len(made), **made.counts, "by": made.by}
    lines = [f"{_counts(made)} written to {output}"]
    if not len(made):
        lines.append("No label was changed since the dataset was loaded." if source == "applied"
                     else "No verdict is sure.")  # fmt: skip
    emit(as_json, data, "\n".join(lines))


@main.command(
    "merge-patches",
    short_help="Make one patch of several people's, and list where they disagree.",
    **example("labelaudit merge-patches ann.labels.jsonl bob.labels.jsonl -o both.labels.jsonl"),
)
@click.argument("patches", nargs=-1, required=True, type=click.Path(dir_okay=False))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False),
              help="File to write.")  # fmt: skip
@click.option("--prefer", help="Where they disagree, take the side of this one of the patches.")
@json_option
def merge_patches(patches, output, prefer, as_json) -> None:
    """Merge PATCHES. Where two want different things of a sample they are listed, the exit code is
    1 and nothing is written, unless --prefer says who is right."""
    from ..patch import merge_patches as merge

    merged, conflicts = merge(patches, prefer)
    written = not conflicts or prefer is not None
    if written:
        merged.write(output)
    data = {
        "written": written, "file": output, "samples": len(merged), **merged.counts,
        "conflicts": [
            {"sample": c.name, "sides": {name: {"wanted": side.words, "by": side.by}
                                         for name, side in c.sides.items()}}
            for c in conflicts
        ],
    }  # fmt: skip
    end = f"settled as {prefer} says" if written else "nothing is written; see --prefer"
    lines = [f"{len(conflicts):,} disagreements, {end}:"] if conflicts else []
    lines += [f"  {conflict}" for conflict in conflicts]
    lines += [f"{_counts(merged)} written to {output}"] if written else []
    emit(as_json, data, "\n".join(lines))
    if not written:
        sys.exit(1)


def put_patch(dataset: Dataset, file, who, trust, add_classes, dry_run, as_json) -> None:
    """What `apply --patch` does."""
    from ..patch import apply_patch, plan_patch

    hooks = {"trust": trust, "task": console_task()}
    if dry_run:
        wanted = plan_patch(dataset, file, **hooks)
    else:
        wanted = apply_patch(dataset, file, who=who, add_classes=add_classes, **hooks)
    data = {
        "applied": not dry_run, "relabelled": len(wanted.relabel), "removed": len(wanted.remove),
        "already": wanted.already, "found": wanted.found, "new_classes": wanted.new_classes,
        "conflicts": [each.to_dict() for each in wanted.conflicts],
        "missing": [each.to_dict() for each in wanted.missing],
    }  # fmt: skip
    will = "would be" if dry_run else "were"
    lines = [f"{len(wanted.relabel):,} samples {will} relabelled, {len(wanted.remove):,} removed; "
             f"{wanted.already:,} are so already"]  # fmt: skip
    if wanted.new_classes:
        lines.append(f"new classes: {', '.join(wanted.new_classes)}")
    for title, unfit in (("in conflict, left alone", wanted.conflicts),
                         ("not found, left alone", wanted.missing)):  # fmt: skip
        if unfit:
            lines += [f"{len(unfit):,} {title}:", *map(_unfit, unfit[:SHOWN])]
            lines += [f"  … and {len(unfit) - SHOWN:,} more"] if len(unfit) > SHOWN else []
    emit(as_json, data, "\n".join(lines))


def _unfit(unfit) -> str:
    row = unfit.to_dict()
    here = f" as {row['here'] or 'no label'}" if row["id"] is not None else ""
    return (f"  {row['sample']}: {row['before'] or 'no label'} → {row['wanted']} by {row['by']}; "
            f"{row['why']}{here}")  # fmt: skip


def _counts(patch) -> str:
    counts = patch.counts
    text = f"{counts['relabel']:,} relabelled, {counts['remove']:,} removed"
    return text + (f", {counts['keep']:,} kept" if counts["keep"] else "")
