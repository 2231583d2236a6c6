"""The content of the report, section by section."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd

from .. import __version__
from ..core.plural import counted
from ..dataset import history_log
from ..dataset.dataset import Dataset
from ..dataset.history import describe, list_changes
from ..dataset.state_fingerprint import dataset_fingerprint
from ..export.provenance import REPORT, as_line, provenance
from ..ranking.evaluation import evaluate, precision_curves
from ..ranking.insights import class_suspects
from ..ranking.insights import confusion as count_confusion
from ..ranking.ranking import check_score, outdated, suspects
from ..review.apply import pending_decisions, verdict_counts
from ..review.blind_controls import all_answers
from ..review.estimate import Estimate, estimate_wrong, has_suspicion
from ..review.estimate_data import wrong_labels_found
from ..scores import SCORES
from ..storage.schema import IMPORTED, MISTAKE, RECORDED, REMOVED
from . import charts
from .suspects import top_suspects

CLASSES = 30  # in a chart
PAIRS = 15  # in a table
CHANGES = 15  # in a table
NAMED_CLASSES = 20  # in a sentence


def report_sections(dataset: Dataset, run: str | None, top: int) -> dict:
    """Return the variables of the template page.html.

    Only narrow columns and the images of the top suspects are read.
    """
    chosen = dataset.run(run)
    score = check_score(chosen, None)
    view = dataset.view(chosen.name)
    with view.steady():  # all sections describe the same state
        info = dataset.info
        estimate = _estimate(dataset, chosen.name)
        cards, count = top_suspects(dataset, chosen.name, score, top)
        sections = {
            "name": dataset.name,
            "made": history_log.now()[:16].replace("T", " "),
            "fingerprint": dataset_fingerprint(view.frame),
            "origin": as_line(provenance(view, REPORT)),
            "score": SCORES[score],
            "audited": _audited(info),
            "how": _how(chosen),
            "estimate": estimate,
            "histogram": _histogram(view, score),
            "confusion": _confusion(view),
            "by_class": None if estimate else _by_class(dataset, chosen.name, score),
            "rehearsal": _rehearsal(view),
            "review": _review(dataset),
            "cards": cards,
            "suspects": count,
        }
        sections["lead"], sections["tiles"] = _summary(info, sections)
    return sections


def _summary(info: dict, sections: dict) -> tuple[str, list[tuple[str, str]]]:
    """Return the first sentence, and the most important figures with their captions."""
    found, review, suspects = sections["estimate"], sections["review"], sections["suspects"]
    if found:
        lead = found["headline"]
        tiles = [(f"{found['share']:.1%}", "of the labels")]
    else:
        title = sections["score"].title
        lead = f"{suspects:,} of {counted(info['samples'], 'label')} suspect by {title}."
        tiles = [(f"{suspects:,}", "suspects")]
    tiles.append((f"{info['samples']:,}", f"samples, {len(info['classes']):,} classes"))
    if review["found"]:
        reviewed = f", among {found['reviewed']:,} reviewed samples" if found else ""
        tiles.append((f"{review['found']:,}", f"wrong labels found in review{reviewed}"))
    return lead, tiles


def _audited(info: dict) -> list[tuple[str, str]]:
    classes = info["classes"]
    splits = ", ".join(f"{count:,} {name}" for name, count in info["splits"].items())
    names = ", ".join(classes[:NAMED_CLASSES]) + (" …" if len(classes) > NAMED_CLASSES else "")
    rows = [
        ("Dataset", info["name"]),
        ("Source", info["source"] or "memory"),
        ("Loaded", info["created"][:16].replace("T", " ") + " UTC"),
        ("Samples", f"{info['samples']:,}" + (f" ({splits})" if splits else "")),
        ("Classes", f"{len(classes):,}: {names}"),
    ]
    unlabelled = info["samples"] - info["labelled"]
    rows += [("Without a label", f"{unlabelled:,}")] if unlabelled else []
    removed = info["tags"].get(REMOVED, 0)
    rows += [("Removed", f"{removed:,}")] if removed else []
    skipped = info["skipped"]["count"]
    rows += [("Skipped", f"{counted(skipped, 'image')} that could not be read")] if skipped else []
    noise = info["noise"]
    if noise:
        text = (
            f"{counted(noise['changed'], 'label')} made wrong on purpose "
            f"({noise['kind']}, {noise['rate']:.0%}, seed {noise['seed']})"
        )
        rows.append(("Rehearsal", text))
    return rows


def _how(run) -> list[tuple[str, str]]:
    info = run.info
    rows = [("Run", f"{run.name}, {info['created'][:16].replace('T', ' ')} UTC"), *_model(run)]
    if info.get("validation_accuracy") is not None:
        accuracy = f"{info['validation_accuracy']:.1%} of the labels of images not used in training"
        rows.append(("Accuracy", accuracy))
    if info.get("seconds") is not None and IMPORTED not in info:
        what = "" if run.is_first_look else " of training"
        rows.append(("Time", f"{info['seconds']:,.0f} s{what}"))
    packages = ", ".join(f"{name} {_version(name)}" for name in ("torch", "cleanlab", "numpy"))
    python = f"Python {platform.python_version()}"
    rows.append(("Report by", f"LabelAudit {__version__}, {python}, {packages}"))
    return rows


def _model(run) -> list[tuple[str, str]]:
    """Describe where the predictions of a run come from."""
    info = run.info
    config = info.get("config") or {}
    if run.is_first_look:
        return [("Model", "none: each image is predicted from all others in closed form")]
    if {"model", "seed"} <= config.keys() and {"epochs", "learned", "held_out"} <= info.keys():
        folds = config.get("folds", 1)
        early = ", stopped early" if info.get("stopped") else ""
        epochs = counted(info["epochs"], "epoch")
        models = f"{folds} folds" if folds > 1 else "one model for all samples"
        return [
            ("Model", f"{config['model']}, images of {info.get('image_size', '?')} pixels"),
            (
                "Training",
                f"{epochs}{early}, {models}, seed {config['seed']}",
            ),
            _training_samples(info),
        ]
    if IMPORTED in info:
        imported = info[IMPORTED]
        trained = "was not" if imported["out_of_sample"] else "is assumed to be"
        return [
            ("Model", f"external ({imported['source']}); it {trained} trained on these labels"),
            ("Predictions", " ".join(info["notes"])),
        ]
    if RECORDED in info:
        return [
            ("Model", "trained and recorded in the user's own training loop"),
            ("Training", counted(info["epochs"], "epoch")),
            _training_samples(info),
        ]
    return [("Model", "external")]


def _training_samples(info: dict) -> tuple[str, str]:
    return "Trained on", f"{counted(info['learned'], 'sample')}, {info['held_out']:,} held out"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _estimate(dataset: Dataset, run: str) -> dict | None:
    if not has_suspicion(dataset, run):
        return None
    before, now = estimate_wrong(dataset, run, reviewed=False), estimate_wrong(dataset, run)
    classes = now.by_class
    classes = classes[classes["samples"] > 0]
    labelled = max(int(classes["samples"].sum()), 1)
    bars = classes.head(CLASSES).rename(columns={"class": "name"}).to_dict("records")
    pairs = now.by_pair.head(PAIRS).replace({np.nan: None}).to_dict("records")
    return {
        "labelled": labelled,
        "wrong": now.wrong,
        "share": now.wrong / labelled,
        "headline": now.headline(),
        "how": now.explanation(),
        "warning": now.warning,
        "found": now.found,
        "reviewed": now.reviewed,
        "advice": now.advice()[1],
        "before": f"{before.wrong:,.0f} ({_interval(before)})",
        "chart": charts.intervals(bars) if bars else None,
        "more_classes": max(len(classes) - CLASSES, 0),
        "pairs": [{**row, "suggested": row["suggested"] or "none of them"} for row in pairs],
    }


def _interval(estimate: Estimate) -> str:
    return f"{estimate.low:,.0f} to {estimate.high:,.0f}"


def _histogram(view, score: str):
    values = view.fields.number(score)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return charts.histogram(values, SCORES[score].boundary, SCORES[score].title.lower())


def _confusion(view) -> dict | None:
    matrix = count_confusion(view.exclude_tag(REMOVED))
    if not matrix.labelled:
        return None
    return {
        "chart": charts.confusion(matrix),
        "differ": matrix.differ,
        "of": matrix.labelled,
        "shown": len(matrix.classes),
        "classes": len(view.fields.classes),
    }


def _by_class(dataset: Dataset, run: str, score: str) -> list[dict]:
    table = class_suspects(dataset.view(run), suspects(dataset, run, score))
    return table.head(CLASSES).to_dict("records")


def _rehearsal(view) -> dict | None:
    table = evaluate(view)
    if table is None:
        return None
    rows = [{**row, "title": SCORES[row["score"]].title} for row in table.to_dict("records")]
    best = rows[0]
    return {
        "rows": rows,
        "chart": charts.curves(precision_curves(view), best["mistakes"], list(table["score"])),
        "k": best["k"],
        "mistakes": best["mistakes"],
        "samples": best["samples"],
        "late": outdated(view.match_tag(MISTAKE)),
    }


def _review(dataset: Dataset) -> dict:
    counts = verdict_counts(dataset)
    counts = counts if len(counts) else pd.DataFrame(columns=["reviewer"])
    pending = pending_decisions(dataset)
    changes = list_changes(dataset)
    has_findings = len(counts) and counts[["relabel", "remove"]].to_numpy().sum()
    return {
        "people": counts.to_dict("records"),
        "waiting": len(pending),
        "disagreed": len(pending.disagreed),
        "found": wrong_labels_found(dataset) if has_findings else 0,
        "controls": [each.sentence(name) for name, each in all_answers(dataset).items()],
        "changes": [_change_row(change) for change in changes[::-1][:CHANGES]],
        "earlier": max(len(changes) - CHANGES, 0),
    }


def _change_row(change) -> dict:
    return {
        "time": change.time[:16].replace("T", " "),
        "who": change.who,
        "count": change.count,
        "what": describe(change),
    }
