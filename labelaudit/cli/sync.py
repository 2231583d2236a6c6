"""The command that follows a dataset's source."""

from __future__ import annotations

import click

from ..core.plural import counted
from ..dataset.dataset import Dataset
from .base import LIST_LENGTH, NO_LABEL, console_task, emit, example, json_option, main, one_line
from .suspects import who_option


@main.command(**example("labelaudit sync pets --apply"))
@click.argument("dataset")
@click.option("--apply", "applies", is_flag=True, help="Take the changes over.")
@click.option(
    "--prefer",
    type=click.Choice(["source", "labelaudit"]),
    help="Which label wins in a conflict.  [default: none; it stays a conflict]",
)
@click.option("--source", help="Where the source is now, if it was moved.")
@click.option(
    "--every-file",
    is_flag=True,
    help="Compare the content of all files, also of those with the same size and time of change.",
)
@who_option
@json_option
def sync(dataset, applies, prefer, source, every_file, who, as_json) -> None:
    """Read the source of DATASET again, and list the images that were added, replaced, moved or
    deleted, changed labels, and new and renamed classes. --apply takes them over as one step of the
    history: what people did on other samples stays.

    A label that was changed at the source and here is a conflict. It is listed, and not changed
    without --prefer."""
    from ..living import apply_sync, plan_sync

    if prefer and not applies:
        raise click.UsageError("--prefer needs --apply")
    opened = Dataset(dataset)
    plan = plan_sync(opened, source=source, every_file=every_file, task=console_task())
    if applies:
        apply_sync(opened, plan, prefer=prefer, who=who)
    data = {"applied": applies, **plan.to_dict()}
    emit(as_json, data, "\n".join([*_lines(plan), _last_line(plan, applies, prefer)]))


def _lines(plan) -> list[str]:
    lines, replaced = list(plan.words), {path for _, path in plan.replaced}
    lines += [f"class {name} has no image in the source any more" for name in plan.empty_classes]
    lines += _listed("added", [path for path in plan.added if path not in replaced])
    lines += _listed("gone", [path for _, path in plan.gone])
    lines += _listed("replaced", [path for _, path in plan.replaced])
    lines += _listed("moved", [f"{old} → {new}" for _, old, new in plan.moved])
    lines += _listed("returned", [path for _, path in plan.returned])
    lines += _listed(
        "relabelled",
        [f"{path}: {a or NO_LABEL} → {b or NO_LABEL}" for _, path, a, b in plan.relabelled],
    )
    lines += _listed(
        "conflicts",
        [
            f"{i} {path}: {a or NO_LABEL} → {b or NO_LABEL} in the source, {here or NO_LABEL} here "
            f"({why})"
            for i, path, a, b, here, why in plan.conflicts
        ],
    )
    skipped = [f"{file['file']}: {file['why']}" for file in plan.skipped["files"]]
    return lines + _listed("not loaded", skipped, plan.skipped["count"])


def _listed(title: str, rows: list[str], total: int | None = None) -> list[str]:
    """Return the lines of a list. total: the number of rows, if `rows` has only some."""
    if not rows:
        return []
    more = (total or len(rows)) - LIST_LENGTH
    shown = [f"  {one_line(row)}" for row in rows[:LIST_LENGTH]]
    return ["", f"{title}:", *shown, *([f"  and {more:,} more"] if more > 0 else [])]


def _last_line(plan, applied: bool, prefer: str | None) -> str:
    if not len(plan):
        listed = plan.empty_classes or plan.skipped["files"]
        return ("\n" if listed else "") + "nothing changed in the source"
    if not applied:
        return "\nnothing was changed; --apply takes this over"
    left = 0 if prefer else plan.counts["conflicts"]
    undecided = counted(left, "conflict", "is left", "are left")
    conflicts = f"; {undecided}, to be decided with --prefer" if left else ""
    new = plan.counts["added"] + plan.counts["replaced"]
    audit = "; run `labelaudit audit` for the new images" if new else ""
    return f"\ntaken over, as one step of the history{conflicts}{audit}"
