"""The card of an exported dataset: what was audited, with which model, and by whom."""

from __future__ import annotations

import json

import numpy as np

from .. import __version__
from ..core.plural import counted
from ..dataset import history_log, verdict_log
from ..dataset.arrays import MISSING
from ..storage.schema import FIRST_LOOK, IMPORTED
from .provenance import as_line
from .samples import Samples

SHOWN_CLASSES = 50  # further classes are only counted
SHOWN_CHANGES = 20


def dataset_card(samples: Samples, splits: dict[str | None, str]) -> str:
    """Return the text of README.md: metadata that Hugging Face reads, and a summary of the audit.

    splits: the name of each split in the file names.
    """
    parts = [
        _head(len(samples), splits),
        f"<!-- {as_line(samples.provenance())} -->\n",
        f"# {samples.frame.name}\n",
        "Images with labels, audited and exported with LabelAudit "
        f"{__version__} on {history_log.now()[:10]}. State of images and labels: "
        f"`{samples.fingerprint or 'unknown'}`.\n",
        _counts(samples),
        _columns(),
        _classes(samples),
        _run(samples),
        _review(samples),
        _changes(samples),
    ]
    return "\n".join(part for part in parts if part)


def _head(count: int, splits: dict[str | None, str]) -> str:
    names = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>10M")
    size = names[sum(count >= bound for bound in (1e3, 1e4, 1e5, 1e6, 1e7))]
    files = "".join(
        f"  - split: {name}\n    path: {json.dumps(f'data/{name}-*')}\n" for name in splits.values()
    )
    return (
        "---\ntask_categories:\n- image-classification\n"
        f"size_categories:\n- {size}\n"
        f"configs:\n- config_name: default\n  data_files:\n{files}---\n"
    )


def _counts(samples: Samples) -> str:
    rows = [
        ("samples", len(samples)),
        ("with a label", len(samples) - samples.unlabelled),
        ("with a label that differs from the loaded one", samples.relabelled),
        ("removed in the audit, and not included", samples.removed),
    ]
    lines = [f"| {words} | {count:,} |" for words, count in rows]
    return "\n".join(["| | |", "| --- | ---: |", *lines, ""])


def _columns() -> str:
    return (
        "`label` is the corrected label, `original_label` the label that was loaded. `id` and "
        "`tags` are those in LabelAudit.\n"
    )


def _classes(samples: Samples) -> str:
    counts = np.bincount(samples.labels[samples.labels != MISSING], minlength=len(samples.classes))
    shown = list(zip(samples.classes, counts.tolist(), strict=True))[:SHOWN_CLASSES]
    lines = [f"| {_cell(name)} | {count:,} |" for name, count in shown]
    more = len(samples.classes) - SHOWN_CLASSES
    lines += [f"| … and {more:,} more | |"] if more > 0 else []
    return "\n".join(["## Classes\n", "| class | samples |", "| --- | ---: |", *lines, ""])


def _run(samples: Samples) -> str:
    run = samples.run
    if run is None:
        return "## Model\n\nNo model was used.\n"
    if FIRST_LOOK in run:
        sentences = [
            f"Run `{run['name']}`: each image was predicted from all others, without training."
        ]
    elif IMPORTED in run:
        source = _cell(run[IMPORTED]["source"])
        sentences = [
            f"Run `{run['name']}` of {run['created'][:10]}: imported predictions ({source})."
        ]
    else:
        config = run.get("config") or {}
        facts = [f"{key} {config[key]}" for key in ("model", "seed", "folds") if key in config]
        facts += [counted(run["epochs"], "epoch")] if "epochs" in run else []
        details = f" ({', '.join(facts)})" if facts else ""
        sentences = [f"Run `{run['name']}` of {run['created'][:10]}{details}."]
    accuracy = run.get("validation_accuracy")
    if accuracy is not None:
        sentences.append(
            f"On images it was not trained on, it agrees with {accuracy:.1%} of the labels at that "
            "time."
        )
    names = samples.view.score_names()
    if names:
        sentences.append(f"Scores: {', '.join(names)}; higher is more suspicious.")
    return "## Model\n\n" + " ".join(sentences) + "\n"


def _review(samples: Samples) -> str:
    log = verdict_log.read(samples.frame)
    rows = log.current
    if not len(rows):
        return "## Review\n\nThese labels were not reviewed.\n"
    table = np.zeros((len(log.reviewers), len(verdict_log.VERDICTS)), int)
    np.add.at(table, (log.reviewer[rows], log.verdict[rows]), 1)
    lines = [
        f"| {_cell(name)} | " + " | ".join(f"{count:,}" for count in counts) + " |"
        for name, counts in zip(log.reviewers, table.tolist(), strict=True)
    ]
    head = "| reviewer | " + " | ".join(verdict_log.VERDICTS) + " |"
    rule = "| --- |" + " ---: |" * len(verdict_log.VERDICTS)
    return "\n".join(["## Review\n", head, rule, *lines, ""])


def _changes(samples: Samples) -> str:
    lines = history_log.entries(samples.frame)
    if not lines:
        return ""
    shown = [
        f"- {line.time[:10]}, {_cell(line.who)}: {line.kind}, {counted(line.count, 'sample')}"
        for line in lines[-SHOWN_CHANGES:]
    ]
    more = len(lines) - SHOWN_CHANGES
    shown = [f"- {counted(more, 'earlier change')}", *shown] if more > 0 else shown
    noise = history_log.noise_report(samples.frame)
    planted = []
    if noise:
        planted = [
            f"\n**{counted(noise['changed'], 'label')} made wrong on purpose for a rehearsal "
            f"({noise['kind']}, {noise['rate']:.0%}, seed {noise['seed']}), and are not restored.**"
        ]
    return "\n".join(["## Changes of labels and tags\n", *shown, *planted, ""])


def _cell(text: str) -> str:
    """Return a text for a cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split()) or "(blank)"
