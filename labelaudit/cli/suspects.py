"""Commands that list suspects and verdicts, and apply verdicts to the labels."""

from __future__ import annotations

import json

import click

from ..core.plural import counted
from ..dataset.dataset import Dataset
from ..scores import SCORES
from ..sources import load_dataset
from ..storage.schema import NEW
from .base import (
    BOM_HELP,
    LIST_LENGTH,
    console_task,
    csv_option,
    emit,
    example,
    json_option,
    main,
    run_option,
    split_option,
)
from .patches import apply_patch_file, patch_options


@main.command(**example("labelaudit suspects digits --given 3 --predicted 8 --csv suspects.csv"))
@click.argument("dataset")
@run_option
@click.option(
    "--score",
    "by",
    type=click.Choice(list(SCORES)),
    help="Score to rank by.  [default: the best score the run has]",
)
@click.option("--given", help="List only samples labelled as this class.")
@click.option("--predicted", help="List only samples predicted as this class.")
@click.option("--tag", help="List only samples with this tag.")
@click.option(
    "--new", "only_new", is_flag=True, help="List only samples that the latest sync added."
)
@click.option("--since", help="List only samples that syncs added since this date (2026-11-30).")
@split_option
@click.option("--limit", default=LIST_LENGTH, help="Number of suspects to print.")
@csv_option("Write all suspects to this CSV file, not only those printed.")
@click.option("--bom", is_flag=True, help=BOM_HELP)
@json_option
def suspects(
    dataset, run, by, given, predicted, tag, only_new, since, split, limit, csv_file, bom, as_json
) -> None:
    """List the samples of DATASET with labels that are probably wrong, most suspicious first."""
    from ..export import write_suspects
    from ..ranking.ranking import confidence_note, learned_again, not_predicted, outdated
    from ..ranking.ranking import suspects as ranked

    opened = load_dataset(dataset)
    view = ranked(opened, run, by)
    view = view.match(label=given, prediction=predicted, split=split)
    view = view.match_tag(tag) if tag else view
    new = opened.view() if only_new or since else None
    if new is not None:
        from ..living import added_since

        new = new.match_tag(NEW) if only_new else new
        new = new.select(added_since(opened, since)) if since else new
        view = view.select(new.ids)
    table = view.limit(limit).to_pandas().drop(columns="original_label")
    data = {"suspects": len(view), "top": json.loads(table.to_json(orient="records"))}
    note = confidence_note(opened.view(run))
    data["note"] = note
    lines = [counted(len(view), "suspect"), *([note] if note else [])]
    if stale := outdated(opened.view(run)):
        data["outdated"] = stale
        since, again = learned_again(opened.run(run))
        lines.append(
            f"{counted(stale, 'label')} changed since this run was {since}; {again} to judge "
            f"{'it' if stale == 1 else 'them'}"
        )
    if new is not None and (missing := not_predicted(new, opened.run(run))):
        data["not_predicted"] = missing
        lines.append(
            f"{counted(missing, 'new sample')} without a prediction in this run; `labelaudit audit "
            f"{dataset}` judges {'it' if missing == 1 else 'them'}"
        )
    if len(view):
        shown = table.assign(tags=table["tags"].map(" ".join))
        if note:
            hidden = ["confidence", "suggested_p", *view.score_names()]
            shown = shown.drop(columns=hidden, errors="ignore")
        lines.append(shown.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    if csv_file:
        data["csv"] = csv_file
        lines.append(f"{write_suspects(view, csv_file, bom=bom):,} written to {csv_file}")
    emit(as_json, data, "\n".join(lines))


@main.command(**example("labelaudit duplicates digits --csv duplicates.csv"))
@click.argument("dataset")
@click.option("--limit", default=LIST_LENGTH, help="Number of groups to print.")
@csv_option("Write all groups to this CSV file, not only those printed.")
@json_option
def duplicates(dataset, limit, csv_file, as_json) -> None:
    """Find exact and near duplicates in DATASET. Groups with different labels come first: if the
    copies are exact, at least one label is wrong. Groups across splits come next.

    Repeated calls compare only samples that were added since or could not be read.
    """
    from ..features import duplicates as finder

    opened = load_dataset(dataset)
    found = finder.ensure_duplicates(opened, console_task())
    lists = {which: finder.list_groups(opened, which) for which in finder.WHICH}
    data = {
        "searched": found.searched,
        "left_out": len(opened) - found.searched,
        "in_groups": len(found.ids),
        "certain": int(lists[finder.CONFLICTS].exact.sum()),
        **{which: len(groups) for which, groups in lists.items()},
    }
    lines = [
        f"with a duplicate: {data['in_groups']:,} of {counted(found.searched, 'sample')}",
        f"{counted(data['conflicts'], 'group')} with different labels; {data['certain']:,} of "
        "exact copies",
        f"{counted(data['splits'], 'group')} in different splits",
        counted(data["others"], "other group"),
    ]
    if data["left_out"]:
        skipped = counted(data["left_out"], "image", "was skipped", "were skipped")
        lines.append(f"{skipped}: unreadable")
    for which in (finder.CONFLICTS, finder.SPLITS):
        table = lists[which].table(0, limit)
        data[f"top_{which}"] = table.to_dict("records")
        if len(table):
            lines += ["", which + ":", *map(_group, table.to_dict("records"))]
    if csv_file:
        data["csv"] = csv_file
        lines.append(f"{finder.write_duplicates(opened, csv_file):,} written to {csv_file}")
    emit(as_json, data, "\n".join(lines))


def _group(row: dict) -> str:
    """Describe a group of duplicates in a line: its kind, and each sample's id, label and split."""
    samples = zip(row["ids"], row["labels"], row["splits"], strict=True)
    words = (
        f"{i} {label or 'no label'}{f' ({split})' if split else ''}" for i, label, split in samples
    )
    return f"  {row['kind']:5}  " + ", ".join(words)


@main.command(**example("labelaudit estimate digits --run run-1"))
@click.argument("dataset")
@run_option
@json_option
def estimate(dataset, run, as_json) -> None:
    """Estimate how many labels of DATASET are wrong, with a 95% interval: before any review and
    now, by class and by class pair. Also says what the random checks of the review prove, and
    whether to continue."""
    from ..ranking.ranking import confidence_note
    from ..review.blind_controls import all_answers
    from ..review.estimate import estimate_wrong

    opened = Dataset(dataset)
    before, found = estimate_wrong(opened, run, reviewed=False), estimate_wrong(opened, run)
    stop, advice = found.advice()
    controls = all_answers(opened)
    by_class, by_pair = found.by_class, found.by_pair
    names = ("found", "reviewed", "open", "wrong", "low", "high", "checks", "certain", "missing")
    names = (*names, "warning")
    data = {
        **{name: getattr(found, name) for name in names},
        "headline": found.headline(),
        "note": confidence_note(opened.view(run)),
        "at_most": found.proof.most,
        "found_at_least": found.proof.share,
        "stop": stop,
        "advice": advice,
        "before_review": {key: getattr(before, key) for key in ("wrong", "low", "high")},
        "by_class": by_class.to_dict("records"),
        "by_pair": by_pair.to_dict("records"),
        "controls": {name: vars(each) for name, each in controls.items()},
    }
    if note := data["note"]:
        reviewed = counted(found.reviewed, "sample")
        text = (
            f"{note} The number of wrong labels cannot be estimated either: review the samples in "
            f"the order of the ranking.\nFound so far: {counted(found.found, 'wrong label')} in "
            f"{reviewed} with a verdict, of {found.samples:,}."
        )
        emit(as_json, data, text)
        return
    tables = [
        table.head(LIST_LENGTH).to_string(index=False, float_format=lambda value: f"{value:.0f}")
        for table in (by_class, by_pair.fillna("none"))
    ]
    lines = [found.headline(), advice, *([found.warning] if found.warning else [])]
    lines += ["", "How is this counted?", *(f"- {line}" for line in found.explanation())]
    if found.reviewed:
        lines.append(
            f"- Before any review: {before.wrong:,.0f} ({before.low:,.0f} to {before.high:,.0f})."
        )
    lines += [f"- {each.sentence(name)}" for name, each in controls.items()]
    emit(as_json, data, "\n\n".join(["\n".join(lines), *tables]))


by_option = click.option(
    "--by",
    "reviewers",
    multiple=True,
    help="Use only the verdicts of this reviewer; may be repeated.",
)
rule_option = click.option(
    "--rule",
    type=click.Choice(["unanimous", "majority", "latest"]),
    default="unanimous",
    help="How several verdicts on a sample are decided: all say the same, more than half do, or "
    "the latest counts.  [default: unanimous]",
)
who_option = click.option("--who", help="Name recorded in the history.  [default: your user name]")


@main.command(**example("labelaudit verdicts digits --by ann"))
@click.argument("dataset")
@by_option
@rule_option
@json_option
def verdicts(dataset, reviewers, rule, as_json) -> None:
    """List the verdicts on DATASET by reviewer, how far reviewers agree, and what `apply` would
    change."""
    from ..review.agreement import agreement_of_all, reviewer_agreement
    from ..review.apply import class_pair_counts, pending_decisions, verdict_counts

    opened = Dataset(dataset)
    counts = verdict_counts(opened)
    decisions = pending_decisions(opened, reviewers or None, rule)
    pairs = class_pair_counts(opened, decisions)
    data = {
        "reviewers": counts.to_dict("records"),
        "relabel": pairs.to_dict("records"),
        **_numbers(decisions),
    }
    agreement = reviewer_agreement(opened)
    data["agreement"] = json.loads(agreement.to_json(orient="records"))
    lines = [
        counts.to_string(index=False)
        if len(counts)
        else "no verdicts yet; review in the app, `labelaudit app`",
        "",
    ]
    if len(agreement):
        lines += [agreement.round({"agree": 3, "kappa": 3}).to_string(index=False), ""]
    if len(counts) > 2 and len(agreement):
        found = agreement_of_all(opened)
        data["alpha"] = found.alpha if found.alpha == found.alpha else None
        lines += [found.sentence(), ""]
    lines += [pairs.to_string(index=False), ""] if len(pairs) else []
    emit(as_json, data, "\n".join([*lines, _sentence(decisions)]))


@main.command(**example("labelaudit apply digits --by ann --dry-run"))
@click.argument("dataset")
@by_option
@rule_option
@who_option
@patch_options
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@json_option
def apply(dataset, reviewers, rule, who, patch_file, trust, add_classes, dry_run, as_json) -> None:
    """Relabel the samples of DATASET as the reviewers decided, and tag the samples they removed
    with `removed`. Samples that --rule does not decide are not changed. `labelaudit history DATASET
    --return-to` undoes it.

    --patch applies a patch instead, written by `labelaudit patch` on another copy. If a sample has
    neither the label before the change nor the one after it, it is listed and not changed."""
    from ..review.apply import apply_verdicts, pending_decisions

    opened = Dataset(dataset)
    if patch_file:
        if reviewers or rule != "unanimous":
            option = "--by selects" if reviewers else "--rule decides between"
            raise click.UsageError(
                f"{option} verdicts and --patch replaces them: give only one of them"
            )
        apply_patch_file(opened, patch_file, who, trust, add_classes, dry_run, as_json)
        return
    if trust or add_classes:
        raise click.UsageError(f"{'--trust' if trust else '--add-classes'} needs --patch.")
    if dry_run:
        decisions = pending_decisions(opened, reviewers or None, rule)
    else:
        decisions = apply_verdicts(opened, reviewers or None, who, rule=rule)
    emit(
        as_json, {"applied": not dry_run, **_numbers(decisions)}, _sentence(decisions, not dry_run)
    )


@main.command(**example("labelaudit history digits --return-to 2"))
@click.argument("dataset")
@click.option(
    "--return-to",
    "target",
    type=click.IntRange(min=0),
    help="Restore labels and tags to their state after this change; 0: as loaded.",
)
@who_option
@json_option
def history(dataset, target, who, as_json) -> None:
    """List every change to the labels and tags of DATASET: who, when, what, how many samples."""
    from ..dataset.history import describe, list_changes, return_to

    opened = Dataset(dataset)
    if target is not None:
        count = return_to(opened, target, who)
        state = f"their state after change {target}" if target else "their state when loaded"
        emit(as_json, {"changed": count}, f"{counted(count, 'sample')} restored to {state}")
        return
    changes = list_changes(opened)
    lines = [
        f"{c.id:4}  {c.time[:16].replace('T', ' ')}  {c.who:12}  {c.count:9,}  {describe(c)}"
        for c in changes
    ]
    emit(as_json, [vars(c) for c in changes], "\n".join(lines) or "no changes yet")


def _numbers(decisions) -> dict:
    return {
        "relabelled": len(decisions.relabel),
        "removed": len(decisions.remove),
        "put_back": len(decisions.put_back),
        "done": decisions.done,
        "disagreed": decisions.disagreed.tolist(),
        "outdated": decisions.outdated.tolist(),
    }


def _sentence(decisions, applied: bool = False) -> str:
    will = ("was", "were") if applied else ("would be", "would be")
    relabelled = counted(len(decisions.relabel), "sample", *will)
    text = f"{relabelled} relabelled, {len(decisions.remove):,} removed"
    if len(decisions.put_back):
        text += f", {len(decisions.put_back):,} restored"
    if len(decisions.disagreed):
        text += f"; reviewers disagree on {len(decisions.disagreed):,}"
    if len(decisions.outdated):
        text += f"; relabelled since their verdict: {len(decisions.outdated):,}"
    return text
