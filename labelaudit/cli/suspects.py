"""Commands over suspects, verdicts, and what they do to the labels."""

from __future__ import annotations

import json

import click

from ..dataset.dataset import Dataset
from ..scores import SCORES
from ..sources import load_dataset
from .base import SHOWN, console_task, emit, example, json_option, main, run_option, split_option
from .patches import patch_options, put_patch


@main.command(
    short_help="List the samples that are most likely labelled wrong.",
    **example("labelaudit suspects digits --given 3 --predicted 8 --csv suspects.csv"),
)
@click.argument("dataset")
@run_option
@click.option("--score", "by", type=click.Choice(list(SCORES)),
              help="What ranks them.  [default: the best that the run has]")  # fmt: skip
@click.option("--given", help="Only samples that are labelled as this class.")
@click.option("--predicted", help="Only samples that are predicted as this class.")
@click.option("--tag", help="Only samples with this tag.")
@split_option
@click.option("--limit", default=SHOWN, help="How many suspects to print.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False),
    help="Write all suspects to this file, not only those printed.",
)
@json_option
def suspects(dataset, run, by, given, predicted, tag, split, limit, csv_file, as_json) -> None:
    """List the samples of DATASET whose label a score speaks against, most suspicious first."""
    from ..export import write_suspects
    from ..ranking.ranking import outdated
    from ..ranking.ranking import suspects as ranked

    opened = load_dataset(dataset)
    view = ranked(opened, run, by)
    view = view.match(label=given, prediction=predicted, split=split)
    view = view.match_tag(tag) if tag else view
    table = view.limit(limit).to_pandas().drop(columns="original_label")
    data = {"suspects": len(view), "top": json.loads(table.to_json(orient="records"))}
    lines = [f"{len(view):,} suspects"]
    if stale := outdated(opened.view(run)):
        data["outdated"] = stale
        brought = opened.run(run).is_brought
        lines.append(
            f"{stale:,} labels changed since this run "
            + ("was scored: score it again" if brought else "learned: train again to judge them")
        )
    if len(view):
        shown = table.assign(tags=table["tags"].map(" ".join))
        lines.append(shown.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    if csv_file:
        data["csv"] = csv_file
        lines.append(f"{write_suspects(view, csv_file):,} written to {csv_file}")
    emit(as_json, data, "\n".join(lines))


@main.command(
    short_help="Find pictures that are there twice, and those with two labels.",
    **example("labelaudit duplicates digits --csv duplicates.csv"),
)
@click.argument("dataset")
@click.option("--limit", default=SHOWN, help="How many groups to print.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False),
    help="Write all groups to this file, not only those printed.",
)
@json_option
def duplicates(dataset, limit, csv_file, as_json) -> None:
    """Find exact and near duplicates in DATASET. Groups with different labels come first: of exact
    copies one label is certainly wrong. Then those that lie in different splits.

    Samples are compared again only where some were added since, or could not be read.
    """
    from ..features import duplicates as room

    opened = load_dataset(dataset)
    found = room.ensure_duplicates(opened, console_task())
    lists = {which: room.list_groups(opened, which) for which in room.WHICH}
    data = {"searched": found.searched, "left_out": len(opened) - found.searched,
            "in_groups": len(found.ids), "certain": int(lists[room.CONFLICTS].exact.sum()),
            **{which: len(groups) for which, groups in lists.items()}}  # fmt: skip
    lines = [
        f"{data['in_groups']:,} of {found.searched:,} samples have a duplicate",
        f"{data['conflicts']:,} groups with different labels, {data['certain']:,} of them exact "
        "copies",
        f"{data['splits']:,} groups in different splits",
        f"{data['others']:,} other groups",
    ]
    if data["left_out"]:
        lines.append(f"{data['left_out']:,} images could not be read, and were left out")
    for which in (room.CONFLICTS, room.SPLITS):
        table = lists[which].table(0, limit)
        data[f"top_{which}"] = table.to_dict("records")
        if len(table):
            lines += ["", which + ":", *map(_group, table.to_dict("records"))]
    if csv_file:
        data["csv"] = csv_file
        lines.append(f"{room.write_duplicates(opened, csv_file):,} written to {csv_file}")
    emit(as_json, data, "\n".join(lines))


def _group(row: dict) -> str:
    """A group of duplicates as a line: kind, and each sample's id, label and split."""
    samples = zip(row["ids"], row["labels"], row["splits"], strict=True)
    words = (f"{i} {label or 'no label'}{f' ({split})' if split else ''}"
             for i, label, split in samples)  # fmt: skip
    return f"  {row['kind']:5}  " + ", ".join(words)


@main.command(
    short_help="Estimate how many labels are wrong, and when to stop.",
    **example("labelaudit estimate digits --run run-1"),
)
@click.argument("dataset")
@run_option
@json_option
def estimate(dataset, run, as_json) -> None:
    """Estimate how many labels of DATASET are wrong, with an interval of 95 %: before any review
    and by now, by class and by class pair; and whether to go on."""
    from ..review.blind_controls import all_answers
    from ..review.estimate import estimate_wrong

    opened = Dataset(dataset)
    before, found = estimate_wrong(opened, run, reviewed=False), estimate_wrong(opened, run)
    stop, advice = found.advice()
    controls = all_answers(opened)
    by_class, by_pair = found.by_class, found.by_pair
    names = ("found", "reviewed", "open", "wrong", "low", "high")
    data = {
        **{name: getattr(found, name) for name in names},
        "next_50": found.next(), "until_95_percent": found.until(), "stop": stop, "advice": advice,
        "before_review": {key: getattr(before, key) for key in ("wrong", "low", "high")},
        "by_class": by_class.to_dict("records"), "by_pair": by_pair.to_dict("records"),
        "controls": {name: vars(each) for name, each in controls.items()},
    }  # fmt: skip
    tables = [table.head(SHOWN).to_string(index=False, float_format=lambda value: f"{value:.0f}")
              for table in (by_class, by_pair.fillna("none"))]  # fmt: skip
    lines = [f"{found.sentence(who='Reviewers have')} {advice}"]
    if found.reviewed:
        lines.append(f"Before any review: {before.wrong:,.0f} "
                     f"({before.low:,.0f} to {before.high:,.0f}).")  # fmt: skip
    lines += [each.sentence(name) for name, each in controls.items()]
    emit(as_json, data, "\n\n".join(["\n".join(lines), *tables]))


by_option = click.option(
    "--by", "reviewers", multiple=True, help="Only verdicts of this reviewer; may be repeated."
)
who_option = click.option("--who", help="Who does it, for the history.  [default: your user name]")


@main.command(
    short_help="List what reviewers decided, and what it would change.",
    **example("labelaudit verdicts digits --by ann"),
)
@click.argument("dataset")
@by_option
@json_option
def verdicts(dataset, reviewers, as_json) -> None:
    """List who decided how much on DATASET, and what `apply` would change."""
    from ..review.apply import class_pair_counts, pending_decisions, verdict_counts

    opened = Dataset(dataset)
    counts = verdict_counts(opened)
    wanted = pending_decisions(opened, reviewers or None)
    pairs = class_pair_counts(opened, wanted)
    data = {"reviewers": counts.to_dict("records"), "relabel": pairs.to_dict("records"),
            **_numbers(wanted)}  # fmt: skip
    lines = [counts.to_string(index=False) if len(counts) else "no verdicts yet", ""]
    lines += [pairs.to_string(index=False), ""] if len(pairs) else []
    emit(as_json, data, "\n".join([*lines, _sentence(wanted)]))


@main.command(
    short_help="Turn verdicts, or a patch, into labels and tags.",
    **example("labelaudit apply digits --by ann --dry-run"),
)
@click.argument("dataset")
@by_option
@who_option
@patch_options
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@json_option
def apply(dataset, reviewers, who, patch_file, trust, add_classes, dry_run, as_json) -> None:
    """Relabel the samples of DATASET as reviewers decided, and tag those `removed` that they took
    out. Where reviewers disagree nothing is done. `history --return-to` takes it back.

    --patch: do what a patch says instead, which `labelaudit patch` wrote on another copy. A sample
    that is labelled neither as before nor as after a change is listed and left alone."""
    from ..review.apply import apply_verdicts, pending_decisions

    opened = Dataset(dataset)
    if patch_file:
        if reviewers:
            raise click.UsageError("--by chooses verdicts, and --patch has none: give one of them")
        put_patch(opened, patch_file, who, trust, add_classes, dry_run, as_json)
        return
    if trust or add_classes:
        raise click.UsageError(f"{'--trust' if trust else '--add-classes'} goes with --patch.")
    if dry_run:
        wanted = pending_decisions(opened, reviewers or None)
    else:
        wanted = apply_verdicts(opened, reviewers or None, who)
    emit(as_json, {"applied": not dry_run, **_numbers(wanted)}, _sentence(wanted, not dry_run))


@main.command(
    short_help="List the changes of labels, or return to one.",
    **example("labelaudit history digits --return-to 2"),
)
@click.argument("dataset")
@click.option("--return-to", "target", type=click.IntRange(min=0),
              help="Bring labels and tags back to what they were after this change; 0: as loaded."
              )  # fmt: skip
@who_option
@json_option
def history(dataset, target, who, as_json) -> None:
    """List every change of the labels and tags of DATASET: who, when, what, how many samples."""
    from ..dataset.history import describe, list_changes, return_to

    opened = Dataset(dataset)
    if target is not None:
        count = return_to(opened, target, who)
        state = f"after change {target}" if target else "loaded"
        emit(as_json, {"changed": count}, f"{count:,} samples are as they were {state}")
        return
    changes = list_changes(opened)
    lines = [
        f"{c.id:4}  {c.time[:16].replace('T', ' ')}  {c.who:12}  {c.count:9,}  {describe(c)}"
        for c in changes
    ]
    emit(as_json, [vars(c) for c in changes], "\n".join(lines) or "no change yet")


def _numbers(wanted) -> dict:
    return {
        "relabelled": len(wanted.relabel), "removed": len(wanted.remove),
        "put_back": len(wanted.put_back), "done": wanted.done,
        "disagreed": wanted.disagreed.tolist(), "outdated": wanted.outdated.tolist(),
    }  # fmt: skip


def _sentence(wanted, applied: bool = False) -> str:
    will = "were" if applied else "would be"
    text = f"{len(wanted.relabel):,} samples {will} relabelled, {len(wanted.remove):,} removed"
    if len(wanted.put_back):
        text += f", {len(wanted.put_back):,} put back"
    if len(wanted.disagreed):
        text += f"; reviewers disagree on {len(wanted.disagreed):,}"
    if len(wanted.outdated):
        text += f"; {len(wanted.outdated):,} were relabelled otherwise since"
    return text
