"""The command that lists and changes classes."""

from __future__ import annotations

import click

from ..core.errors import BadInputError
from ..core.plural import counted
from ..dataset.dataset import Dataset
from .base import emit, example, json_option, main


@main.command(**example("labelaudit classes pets --rename tabby=cat --merge puppy=dog --dry-run"))
@click.argument("dataset")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Rename a class. May be repeated.")
@click.option(
    "--merge",
    multiple=True,
    metavar="OLD=INTO",
    help="Give all samples of class OLD the class INTO. May be repeated.",
)
@click.option("--add", multiple=True, metavar="NAME", help="Add a class. May be repeated.")
@click.option(
    "--order",
    multiple=True,
    metavar="NAME",
    help="List and export this class first. May be repeated: the first one named is the first "
    "class; classes that are not named follow.",
)
@click.option("--who", help="Name recorded in the history.  [default: your user name]")
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@json_option
def classes(dataset, rename, merge, add, order, who, dry_run, as_json) -> None:
    """List the classes of DATASET, or rename, merge, add and reorder classes as one step of its
    history. Exports number the classes by their order; stored labels and runs stay as they are.
    `labelaudit history DATASET --return-to N` returns to the state before. Audit again after
    classes were merged: earlier runs still predict them."""
    from ..review.classes import change_classes, plan_classes

    opened = Dataset(dataset)
    if not (rename or merge or add or order):
        counts = opened.view().count_values("ground_truth")
        rows = {name: counts[name] for name in opened.offered_classes}
        width = max(map(len, rows), default=0)
        lines = [f"{name:{width}}  {count:9,}" for name, count in rows.items()]
        emit(as_json, rows, "\n".join(lines))
        return
    options = {"rename": _pairs("rename", rename), "merge": _pairs("merge", merge), "add": add}
    plan = plan_classes(opened, **options, order=order)
    count = 0 if dry_run else change_classes(opened, plan, who)
    data = {name: getattr(plan, name) for name in ("rename", "merge", "add", "order", "samples")}
    lines = [f"{old} renamed to {new}: {plan.samples[old]:,}" for old, new in plan.rename.items()]
    lines += [f"{old} merged into {new}: {plan.samples[old]:,}" for old, new in plan.merge.items()]
    lines += [f"{name} added" for name in plan.add]
    lines += [f"new order: {', '.join(plan.order)}"] if plan.order else []
    lines.append(
        "Nothing was changed (--dry-run)." if dry_run else f"{counted(count, 'label')} changed"
    )
    emit(as_json, data | {"changed": count, "classes": plan.after.names}, "\n".join(lines))


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    """Return OLD=NEW texts as a mapping. Raises BadInputError for another text, and for the same
    OLD twice."""
    found: dict[str, str] = {}
    for text in given:
        old, sign, new = text.partition("=")
        if not (old and sign and new):
            raise BadInputError(f"--{option} {text!r}: write OLD=NEW, two class names.")
        if old in found:
            raise BadInputError(f"--{option} names class {old!r} twice: name it once.")
        found[old] = new
    return found
