"""Commands for patches: label changes as a file."""

from __future__ import annotations

import sys

import click

from ..core.plural import counted
from ..dataset.dataset import Dataset
from .base import LIST_LENGTH, console_task, emit, example, json_option, main


def patch_options(command):
    """Add the options with which `apply` reads a patch."""
    options = [
        click.option(
            "--patch",
            "patch_file",
            type=click.Path(dir_okay=False),
            help="Apply this patch instead of the verdicts.",
        ),
        click.option(
            "--trust",
            multiple=True,
            type=click.Choice(("path", "id")),
            help="With --patch: match samples by path even if their pixels differ (resized "
            "or recompressed images), or by id if neither path nor pixels are found. May "
            "be repeated.",
        ),
        click.option(
            "--add-classes", is_flag=True, help="With --patch: add the classes the dataset lacks."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command(**example("labelaudit patch digits -o digits.labels.jsonl"))
@click.argument("dataset")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False),
    help="File to write, by convention *.labels.jsonl.",
)
@click.option(
    "--source",
    type=click.Choice(("applied", "verdicts")),
    default="applied",
    help="applied: the changes since the dataset was loaded; verdicts: what the "
    "reviewers agree on, applied or not, including the labels they kept.",
)
@click.option("--by", "reviewer", help="Use only the verdicts of this reviewer.")
@json_option
def patch(dataset, output, source, reviewer, as_json) -> None:
    """Write the label changes of DATASET as a patch: one line per sample, sorted, suitable for
    git. `labelaudit apply COPY --patch FILE` applies it to another copy of the dataset."""
    from ..patch import write_patch

    options = {"source": source, "reviewer": reviewer, "task": console_task()}
    written = write_patch(Dataset(dataset), output, **options)
    data = {"file": output, "samples": len(written), **written.counts, "by": written.by}
    lines = [f"{_counts(written)} written to {output}"]
    if not len(written):
        lines.append(
            "No label has changed since the dataset was loaded."
            if source == "applied"
            else "No reviewer has decided on a label."
        )
    emit(as_json, data, "\n".join(lines))


@main.command(
    "merge-patches",
    **example("labelaudit merge-patches ann.labels.jsonl bob.labels.jsonl -o both.labels.jsonl"),
)
@click.argument("patches", nargs=-1, required=True, type=click.Path(dir_okay=False))
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False), help="File to write."
)
@click.option("--prefer", help="In a conflict, use the change of this patch.")
@json_option
def merge_patches(patches, output, prefer, as_json) -> None:
    """Merge PATCHES into one. If two of them change a sample differently, the conflicts are listed,
    nothing is written and the exit code is 1, unless --prefer names the patch to follow."""
    from ..patch import merge_patches as merge

    merged, conflicts = merge(patches, prefer)
    written = not conflicts or prefer is not None
    if written:
        merged.write(output)
    data = {
        "written": written,
        "file": output,
        "samples": len(merged),
        **merged.counts,
        "conflicts": [
            {
                "sample": c.name,
                "sides": {
                    name: {"wanted": side.words, "by": side.by} for name, side in c.sides.items()
                },
            }
            for c in conflicts
        ],
    }
    end = f"resolved in favour of {prefer}" if written else "nothing written; see --prefer"
    lines = [f"{counted(len(conflicts), 'conflict')}, {end}:"] if conflicts else []
    lines += [f"  {conflict}" for conflict in conflicts]
    lines += [f"{_counts(merged)} written to {output}"] if written else []
    emit(as_json, data, "\n".join(lines))
    if not written:
        sys.exit(1)


def apply_patch_file(dataset: Dataset, file, who, trust, add_classes, dry_run, as_json) -> None:
    """Apply or plan a patch: the command `apply --patch`."""
    from ..patch import apply_patch, plan_patch

    hooks = {"trust": trust, "task": console_task()}
    if dry_run:
        plan = plan_patch(dataset, file, **hooks)
    else:
        plan = apply_patch(dataset, file, who=who, add_classes=add_classes, **hooks)
    data = {
        "applied": not dry_run,
        "relabelled": len(plan.relabel),
        "removed": len(plan.remove),
        "already": plan.already,
        "found": plan.found,
        "new_classes": plan.new_classes,
        "conflicts": [each.to_dict() for each in plan.conflicts],
        "missing": [each.to_dict() for each in plan.missing],
    }
    will = ("would be", "would be") if dry_run else ("was", "were")
    lines = [
        f"{counted(len(plan.relabel), 'sample', *will)} relabelled, {len(plan.remove):,} removed; "
        f"already as in the patch: {plan.already:,}"
    ]
    if plan.new_classes:
        lines.append(f"new classes: {', '.join(plan.new_classes)}")
    for title, skipped in (
        (counted(len(plan.conflicts), "conflict"), plan.conflicts),
        (f"{len(plan.missing):,} not found", plan.missing),
    ):
        if skipped:
            lines += [f"{title}, not changed:", *map(_skipped_line, skipped[:LIST_LENGTH])]
            more = len(skipped) - LIST_LENGTH
            lines += [f"  … and {more:,} more"] if more > 0 else []
    emit(as_json, data, "\n".join(lines))


def _skipped_line(skipped) -> str:
    row = skipped.to_dict()
    here = f" as {row['here'] or 'no label'}" if row["id"] is not None else ""
    return (
        f"  {row['sample']}: {row['before'] or 'no label'} → {row['wanted']} by {row['by']}; "
        f"{row['why']}{here}"
    )


def _counts(patch) -> str:
    counts = patch.counts
    text = f"{counts['relabel']:,} relabelled, {counts['remove']:,} removed"
    return text + (f", {counts['keep']:,} kept" if counts["keep"] else "")
