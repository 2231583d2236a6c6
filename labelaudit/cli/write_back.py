"""The command that writes corrected labels into the source."""

from __future__ import annotations

import click

from ..core.plural import counted
from ..dataset.dataset import Dataset
from .base import LIST_LENGTH, NO_LABEL, console_task, emit, example, json_option, main, one_line


@main.command("write-back", **example("labelaudit write-back pets --in-place --dry-run"))
@click.argument("dataset")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="File to write; a folder, if several files list the images.",
)
@click.option(
    "--in-place",
    is_flag=True,
    help="Replace the source's own file, after a backup (labels.csv.bak). In class folders, move "
    "the images.",
)
@click.option("--undo", is_flag=True, help="Move images back that the last --in-place moved.")
@click.option("--dry-run", is_flag=True, help="Print every change, and write nothing.")
@json_option
def write_back_command(dataset, output, in_place, undo, dry_run, as_json) -> None:
    """Write the current labels of DATASET into a copy of the file that they came from (CSV, TSV,
    Parquet, JSON, JSON lines, COCO, Label Studio), or into the file itself. All else in the file
    stays as it is. Images in class folders are moved to the folder of their label.

    Samples that are removed stay in the source."""
    from ..living.write_back import plan_write_back, undo_moves, write_back

    opened = Dataset(dataset)
    if undo:
        if output or in_place or dry_run:
            raise click.UsageError("--undo stands alone")
        moves = undo_moves(opened)
        emit(as_json, {"moved": len(moves)}, f"{counted(len(moves), 'image')} moved back")
        return
    if dry_run:
        plan = plan_write_back(opened, console_task())
    else:
        if bool(output) == in_place:
            raise click.UsageError("give --output or --in-place")
        plan = write_back(opened, output, in_place=in_place, task=console_task())
    emit(as_json, {**plan.to_dict(), "dry_run": dry_run}, "\n".join(_lines(plan, dry_run)))


def _lines(plan, dry_run: bool) -> list[str]:
    verb = "would be " if dry_run else ""
    shown = [f"  {path}: {a or NO_LABEL} → {b or NO_LABEL}" for path, a, b in plan.rows]
    left = [f"{path} {verb or 'was '}left: it {why}" for path, why in plan.left]
    length = len(shown) + len(left) if dry_run else LIST_LENGTH
    lines = [f"{counted(len(plan.rows), 'label')} {verb}changed", *_first(shown, length)]
    if plan.moves:
        lines.append(f"{counted(len(plan.moves), 'image')} {verb}moved to another class folder")
    lines += _first(left, length)
    if plan.removed:
        lines.append(counted(plan.removed, "removed sample", "stays", "stay") + " in the source")
    lines += [f"written to {path}" for path in plan.written]
    lines += [f"the earlier file is {path}" for path in plan.backups]
    return lines


def _first(lines: list[str], length: int) -> list[str]:
    more = len(lines) - length
    return [*map(one_line, lines[:length]), *([f"  and {more:,} more"] if more > 0 else [])]
