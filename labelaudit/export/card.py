"""The card of an exported dataset: what was audited, by what and by whom."""

from __future__ import annotations

import json

import numpy as np

from .. import __version__
from ..dataset import history_log, verdict_log
from ..dataset.arrays import MISSING
from ..storage.schema import FIRST_LOOK, IMPORTED
from .content import Content

SHOWN_CLASSES = 50  # further ones are counted only
SHOWN_CHANGES = 20


def dataset_card(content: Content, splits: dict[str | None, str]) -> str:
    """README.md: a head that Hugging Face reads (which files are which split), and the account.

    splits: what each split is called in the files' names.
    """
    parts = [
        _head(len(content), splits),
        f"# {content.frame.name}\n",
        "Images with labels, audited and exported with LabelAudit "
        f"{__version__} on {history_log.now()[:10]}.\n",
        _counts(content),
        _columns(),
        _classes(content),
        _run(content),
        _review(content),
        _changes(content),
    ]
    return "\n".join(part for part in parts if part)


def _head(count: int, splits: dict[str | None, str]) -> str:
    bounds = [(1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"),
              (1e7, "1M<n<10M")]  # fmt: skip
    size = next((words for bound, words in bounds if count < bound), "n>10M")
    files = "".join(
        f"  - split: {name}\n    path: {json.dumps(f'data/{name}-*')}\n" for name in splits.values()
    )
    return (
        "---\ntask_categories:\n- image-classification\n"
        f"size_categories:\n- {size}\n"
        f"configs:\n- config_name: default\n  data_files:\n{files}---\n"
    )


def _counts(content: Content) -> str:
    rows = [
        ("samples", len(content)),
        ("with a label", len(content) - content.unlabelled),
        ("whose label is not the one that was loaded", content.relabelled),
        ("removed in the audit, and not here", content.removed),
    ]
    lines = [f"| {words} | {count:,} |" for words, count in rows]
    return "\n".join(["| | |", "| --- | ---: |", *lines, ""])


def _columns() -> str:
    return (
        "`label` is the corrected label, `original_label` the one that was loaded; `id` and `tags` "
        "are LabelAudit's.\n"
    )


def _classes(content: Content) -> str:
    counts = np.bincount(content.labels[content.labels != MISSING], minlength=len(content.classes))
    shown = list(zip(content.classes, counts.tolist(), strict=True))[:SHOWN_CLASSES]
    lines = [f"| {_cell(name)} | {count:,} |" for name, count in shown]
    more = len(content.classes) - SHOWN_CLASSES
    lines += [f"| … and {more:,} more | |"] if more > 0 else []
    return "\n".join(["## Classes\n", "| class | samples |", "| --- | ---: |", *lines, ""])


def _run(content: Content) -> str:
    run = content.run
    if run is None:
        return "## Model\n\nNo model has judged these labels.\n"
    if FIRST_LOOK in run:
        told = [f"Run `{run['name']}`: each image predicted by all the others, without training."]
    elif IMPORTED in run:
        told = [f"Run `{run['name']}` of {run['created'][:10]}: predictions of a model from "
                f"elsewhere ({_cell(run[IMPORTED]['source'])})."]  # fmt: skip
    else:
        config = run.get("config") or {}
        facts = [f"{key} {config[key]}" for key in ("model", "seed", "folds") if key in config]
        facts += [f"{run['epochs']} epochs"] if "epochs" in run else []
        told = [f"Run `{run['name']}` of {run['created'][:10]}"
                + (f" ({', '.join(facts)})." if facts else ".")]  # fmt: skip
    accuracy = run.get("validation_accuracy")
    if accuracy is not None:
        told.append(
            f"It agrees with {accuracy:.1%} of the labels, as they were then, of images that it "
            "did not learn."
        )
    names = content.view.score_names()
    if names:
        told.append(f"Scores: {', '.join(names)}; higher is more suspicious.")
    return "## Model\n\n" + " ".join(told) + "\n"


def _review(content: Content) -> str:
    log = verdict_log.read(content.frame)
    rows = log.current
    if not len(rows):
        return "## Review\n\nNobody has reviewed these labels.\n"
    table = np.zeros((len(log.reviewers), len(verdict_log.VERDICTS)), int)
    np.add.at(table, (log.reviewer[rows], log.verdict[rows]), 1)
    lines = [
        f"| {_cell(name)} | " + " | ".join(f"{count:,}" for count in counts) + " |"
        for name, counts in zip(log.reviewers, table.tolist(), strict=True)
    ]
    head = "| reviewer | " + " | ".join(verdict_log.VERDICTS) + " |"
    rule = "| --- |" + " ---: |" * len(verdict_log.VERDICTS)
    return "\n".join(["## Review\n", head, rule, *lines, ""])


def _changes(content: Content) -> str:
    lines = history_log.entries(content.frame)
    if not lines:
        return ""
    shown = [f"- {line.time[:10]}, {_cell(line.who)}: {line.kind}, {line.count:,} samples"
             for line in lines[-SHOWN_CHANGES:]]  # fmt: skip
    more = len(lines) - SHOWN_CHANGES
    shown = [f"- {more:,} earlier ones", *shown] if more > 0 else shown
    noise = history_log.noise_report(content.frame)
    planted = []
    if noise:
        planted = [f"\n**{noise['changed']:,} labels were made wrong on purpose, to rehearse "
                   f"({noise['kind']}, {noise['rate']:.0%}, seed {noise['seed']}), and are not "
                   "taken back.**"]  # fmt: skip
    return "\n".join(["## Changes of labels and tags\n", *shown, *planted, ""])


def _cell(text: str) -> str:
    """In a table of Markdown, on one line."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split()) or "(blank)"
