"""All that a report tells, gathered from what the dataset's audit has stored."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd

from .. import __version__
from ..dataset import history_log, verdict_log
from ..dataset.dataset import Dataset
from ..dataset.history import describe, list_changes
from ..features.duplicates import has_copy
from ..ranking.evaluation import evaluate, precision_curves
from ..ranking.insights import class_suspects
from ..ranking.insights import confusion as count_confusion
from ..ranking.ranking import check_score, outdated, suspects
from ..review.apply import pending_decisions, verdict_counts
from ..review.blind_controls import all_answers
from ..review.estimate import Estimate, estimate_wrong, has_suspicion
from ..review.opinions import OUT, opinions
from ..scores import SCORES
from ..storage.schema import IMPORTED, MISTAKE, RECORDED, REMOVED
from . import charts
from .suspects import top_suspects

CLASSES = 30  # in a chart; pairs, changes in a table
PAIRS = 15
CHANGES = 15
SHOWN_CLASSES = 20  # named in a row


def gather(dataset: Dataset, run: str | None, top: int) -> dict:
    """What the page's template needs. Nothing but narrow columns and the top images is read."""
    kept = dataset.run(run)
    score = check_score(kept, None)
    view = dataset.view(kept.name)
    with view.steady():  # all of it belongs together
        info = dataset.info
        estimate = _estimate(dataset, kept.name)
        cards, count = top_suspects(dataset, kept.name, score, top)
        facts = {
            "name": dataset.name,
            "made": history_log.now()[:16].replace("T", " "),
            "score": SCORES[score],
            "audited": _audited(info),
            "how": _how(kept),
            "estimate": estimate,
            "histogram": _histogram(view, score),
            "confusion": _confusion(view),
            "by_class": None if estimate else _by_class(dataset, kept.name, score),
            "rehearsal": _rehearsal(view),
            "review": _review(dataset),
            "cards": cards,
            "suspects": count,
        }
        facts["lead"], facts["tiles"] = _summary(info, facts)
    return facts


def _summary(info: dict, facts: dict) -> tuple[str, list[tuple[str, str]]]:
    """The first sentence, and the figures beside it."""
    found, review = facts["estimate"], facts["review"]
    if found:
        lead = f"An estimated {found['wrong']:,.0f} of {found['labelled']:,} labels are wrong"
        lead += f"; reviewers found {review['found']:,} of them." if review["found"] else "."
        tiles = [(f"{found['wrong']:,.0f}",
                  f"labels wrong by estimate, {found['between']} with 95 %"),
                 (f"{found['share']:.1%}", "of the labels")]  # fmt: skip
    else:
        lead = (f"{facts['suspects']:,} of {info['samples']:,} labels are suspect by "
                f"{facts['score'].title}.")  # fmt: skip
        tiles = [(f"{facts['suspects']:,}", "suspects")]
    tiles.append((f"{info['samples']:,}", f"samples, {len(info['classes']):,} classes"))
    if review["found"]:
        of = f", of {found['reviewed']:,} samples looked at" if found else ""
        tiles.append((f"{review['found']:,}", f"wrong labels found in review{of}"))
    return lead, tiles


def _audited(info: dict) -> list[tuple[str, str]]:
    classes = info["classes"]
    splits = ", ".join(f"{count:,} {name}" for name, count in info["splits"].items())
    rows = [
        ("Dataset", info["name"]),
        ("From", info["source"] or "memory"),
        ("Loaded", info["created"][:16].replace("T", " ") + " UTC"),
        ("Samples", f"{info['samples']:,}" + (f" ({splits})" if splits else "")),
        ("Classes", f"{len(classes):,}: " + ", ".join(classes[:SHOWN_CLASSES])
         + (" …" if len(classes) > SHOWN_CLASSES else "")),
    ]  # fmt: skip
    unlabelled = info["samples"] - info["labelled"]
    rows += [("Without a label", f"{unlabelled:,}")] if unlabelled else []
    removed = info["tags"].get(REMOVED, 0)
    rows += [("Removed", f"{removed:,}")] if removed else []
    skipped = info["skipped"]["count"]
    rows += [("Left out", f"{skipped:,} images that could not be read")] if skipped else []
    noise = info["noise"]
    if noise:
        rows.append(
            (
                "Rehearsal",
                f"{noise['changed']:,} labels were made wrong on purpose "
                f"({noise['kind']}, {noise['rate']:.0%}, seed {noise['seed']})",
            )
        )
    return rows  # fmt: skip


def _how(run) -> list[tuple[str, str]]:
    info = run.info
    config = info.get("config") or {}
    rows = [("Run", f"{run.name}, {info['created'][:16].replace('T', ' ')} UTC")]
    if run.is_first_look:
        rows.append(("Model", "none: each image is predicted by all the others, in a closed form"))
    elif {"model", "seed"} <= config.keys() and {"epochs", "learned", "held_out"} <= info.keys():
        folds = config.get("folds", 1)
        cut = ", stopped early" if info.get("stopped") else ""
        models = f"{folds} folds" if folds > 1 else "one model of all"
        rows += [
            ("Model", f"{config['model']}, images of {info.get('image_size', '?')} pixels"),
            ("Training", f"{info['epochs']} epochs{cut}, {models}, seed {config['seed']}"),
            ("Learned", f"{info['learned']:,} samples, {info['held_out']:,} held out"),
        ]  # fmt: skip
    elif IMPORTED in info:
        brought = info[IMPORTED]
        learned = "did not learn" if brought["out_of_sample"] else "is taken to have learned"
        rows += [
            ("Model", f"from elsewhere ({brought['source']}); it {learned} these labels"),
            ("Predictions", " ".join(info["notes"])),
        ]
    elif RECORDED in info:
        rows += [
            ("Model", "trained in a loop of its own, and watched there"),
            ("Training", f"{info['epochs']:,} epochs"),
            ("Learned", f"{info['learned']:,} samples, {info['held_out']:,} held out"),
        ]
    else:
        rows.append(("Model", "trained elsewhere"))
    if info.get("validation_accuracy") is not None:
        rows.append(("Accuracy", f"{info['validation_accuracy']:.1%} of the labels of images that "
                                 "it did not learn"))  # fmt: skip
    if info.get("seconds") is not None and IMPORTED not in info:
        what = "" if run.is_first_look else " of training"
        rows.append(("Time", f"{info['seconds']:,.0f} s{what}"))
    packages = ", ".join(f"{name} {_version(name)}" for name in ("torch", "cleanlab", "numpy"))
    rows.append(("Report by", f"LabelAudit {__version__}, Python {platform.python_version()}, "
                              f"{packages}"))  # fmt: skip
    return rows


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _estimate(dataset: Dataset, run: str) -> dict | None:
    if not has_suspicion(dataset, run):
        return None
    before, found = estimate_wrong(dataset, run, reviewed=False), estimate_wrong(dataset, run)
    classes = found.by_class
    classes = classes[classes["samples"] > 0]
    labelled = max(int(classes["samples"].sum()), 1)
    pairs = found.by_pair.head(PAIRS)
    names = {"class": "name"}
    rows = classes.head(CLASSES).rename(columns=names).to_dict("records")
    return {
        "labelled": labelled,
        "wrong": found.wrong, "share": found.wrong / labelled, "between": _between(found),
        "found": found.found, "reviewed": found.reviewed, "advice": found.advice()[1],
        "before": f"{before.wrong:,.0f} ({_between(before)})",
        "chart": charts.intervals(rows) if rows else None,
        "more_classes": max(len(classes) - CLASSES, 0),
        "pairs": [{**row, "suggested": row["suggested"] or "none of them"}
                  for row in pairs.replace({np.nan: None}).to_dict("records")],
    }  # fmt: skip


def _between(found: Estimate) -> str:
    return f"{found.low:,.0f} to {found.high:,.0f}"


def _histogram(view, score: str):
    values = view.fields.number(score)
    values = values[np.isfinite(values)]
    return charts.histogram(values, SCORES[score].boundary, SCORES[score].title.lower()) if (
        len(values)) else None  # fmt: skip


def _confusion(view) -> dict | None:
    matrix = count_confusion(view.exclude_tag(REMOVED))
    if not matrix.labelled:
        return None
    return {"chart": charts.confusion(matrix), "differ": matrix.differ, "of": matrix.labelled,
            "shown": len(matrix.classes), "classes": len(view.frame.classes)}  # fmt: skip


def _by_class(dataset: Dataset, run: str, score: str) -> list[dict]:
    table = class_suspects(dataset.view(run), suspects(dataset, run, score))
    return table.head(CLASSES).to_dict("records")


def _rehearsal(view) -> dict | None:
    table = evaluate(view)
    if table is None:
        return None
    late = outdated(view.match_tag(MISTAKE))
    rows = [{**row, "title": SCORES[row["score"]].title} for row in table.to_dict("records")]
    points = precision_curves(view)
    chart = charts.curves(points, rows[0]["mistakes"], list(table["score"]))
    return {"rows": rows, "chart": chart, "k": rows[0]["k"], "mistakes": rows[0]["mistakes"],
            "samples": rows[0]["samples"], "late": late}  # fmt: skip


def _review(dataset: Dataset) -> dict:
    counts = verdict_counts(dataset)
    counts = counts if len(counts) else pd.DataFrame(columns=["reviewer"])
    wanted = pending_decisions(dataset)
    changes = list_changes(dataset)
    said = counts[["relabel", "remove"]].to_numpy().sum() if len(counts) else 0
    return {
        "people": counts.to_dict("records"), "waiting": len(wanted),
        "disagreed": len(wanted.disagreed), "found": _found(dataset) if said else 0,
        "controls": [each.sentence(name) for name, each in all_answers(dataset).items()],
        "changes": [{"time": c.time[:16].replace("T", " "), "who": c.who, "count": c.count,
                     "what": describe(c)} for c in changes[::-1][:CHANGES]],
        "earlier": max(len(changes) - CHANGES, 0),
    }  # fmt: skip


def _found(dataset: Dataset) -> int:
    """Samples that all who are sure of them say are wrong; a duplicate that is removed is not."""
    log = verdict_log.read(dataset.view().frame)
    said = opinions(log)
    wrong = np.isin(log.verdict[said.rows], (verdict_log.RELABEL, verdict_log.REMOVE))
    any_wrong = np.bincount(said.at[wrong], minlength=len(said.samples)) > 0
    copies = (said.target == OUT) & has_copy(dataset, said.samples)
    return int((any_wrong & said.agreed & ~copies).sum())
