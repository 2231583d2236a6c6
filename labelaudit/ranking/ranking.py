"""Ranks the suspects of a run, and says when its scores are out of date or worthless."""

from __future__ import annotations

import numpy as np

from ..core.errors import NotFoundError
from ..dataset.arrays import MISSING
from ..dataset.runs import Run
from ..dataset.target import Target, as_dataset, as_view
from ..dataset.view import View
from ..scores import SCORES, default_score
from ..scores.chance import no_better_than_chance
from ..scores.suspicion import SUSPICION
from ..storage import schema
from ..storage.schema import FIRST_LOOK, REMOVED

FEW = 50  # samples of the median class; below it, probabilities are rough


def suspects(dataset: Target, run: str | None = None, score: str | None = None) -> View:
    """Return the samples that a score marks as suspicious, most suspicious first.

    dataset: or its name, or a view, whose samples are ranked. run: by default that of the view, or
    the latest with predictions. score: by default the best that the run has.
    Suspects are the samples above the score's boundary (AUM above 0: another class had the higher
    logit). If it has none, they are the samples with another class predicted than the given one; a
    score that does not judge the label, hardness, ranks all samples. Suspicion takes both: the
    samples above its boundary and those with another class predicted. Exact copies under different
    labels come first if their own label is probably wrong. Removed samples are left out.
    Raises LabelAuditError for a run without predictions or without this score.
    """
    view = as_view(dataset, run)
    stored_run = as_dataset(dataset).run(view.run)
    score = check_score(stored_run, score)
    boundary = SCORES[score].boundary
    view = view.use_run(stored_run.name).exclude_tag(REMOVED)
    if score == SUSPICION:
        return ranked(view.suspicious(), score)
    view = view.above(score, -np.inf if boundary is None else boundary)
    if boundary is None and SCORES[score].judges_label:
        view = view.match(wrong=True)
    return ranked(view, score)


def ranked(view: View, score: str) -> View:
    """Return the samples of a view, most suspicious first.

    By suspicion, exact copies under different labels come first if their own label is probably
    wrong.
    """
    view = view.sort_by(score, reverse=True)
    return view.conflicts_first() if score == SUSPICION else view


def selection(
    dataset: Target,
    run: str | None = None,
    only_suspects: bool = False,
    split: str | None = None,
    tag: str | None = None,
) -> View:
    """Return the samples to export: those that meet all given conditions."""
    view = suspects(dataset, run) if only_suspects else as_view(dataset, run)
    view = view.match(split=split)
    return view if tag is None else view.match_tag(tag)


def check_score(run: Run, score: str | None) -> str:
    """Return `score`, or the best score of the run for None.

    Raises LabelAuditError if the run does not have it, or has no scores.
    """
    available = run.score_names()
    best = default_score(available)
    if best is None:
        raise NotFoundError(f"run {run.name!r} has no scores yet: score it first.")
    if score is not None and score not in available:
        raise NotFoundError(
            f"run {run.name!r} has no score {score!r}: it has {', '.join(available)}."
        )
    return score or best


def outdated(view: View) -> int:
    """Return how many samples of a view were relabelled after the run was trained or scored.

    They have no score until the run is scored again. Then they are judged by a model that was
    trained on their old label, so only new training gives them a fair score.
    """
    with view.steady():
        if not view.score_names():
            return 0
        changed = view.fields.outdated() | view.fields.unlearned()
        return int(changed[view.positions()].sum())


def not_predicted(view: View, run: Run) -> int:
    """Return how many labelled samples of a view, without removed ones, a run did not predict."""
    with view.steady():
        at = view.exclude_tag(REMOVED).positions()
        ids = view.frame.ids[at[view.frame.label[at] != MISSING]]
    return len(np.setdiff1d(ids, run.predicted_ids()))


def learned_again(run: Run) -> tuple[str, str]:
    """Return how a run learned or read its labels, and how it can do so again: ("trained", "train
    again")."""
    if run.is_imported:
        return "scored", "score it again"
    return (
        ("taken", "take the first look again") if run.is_first_look else ("trained", "train again")
    )


def weakness(view: View) -> str | None:
    """Return a warning if the view's run is hardly better than chance, else None.

    Then neither its suspects nor their absence mean anything.
    """
    with view.steady():
        labels = view.frame.label
        found = no_better_than_chance(
            view.fields.predictions(), labels, labels, len(view.fields.classes)
        )
    if found is None:
        return None
    agreement, chance = found
    look = FIRST_LOOK in (view.fields.run_or_none() or {})
    fix = "Try other features" if look else "Train for more epochs"
    return (
        f"The model agrees with {agreement:.0%} of the labels, and random guessing would agree "
        f"with {chance:.0%}. It learned almost nothing, so its suspects are meaningless, and so is "
        f"a lack of suspects. {fix}, or use another model."
    )


def confidence_note(view: View) -> str | None:
    """Return a sentence if the probabilities of a view's dataset are too rough to show, else None.

    They are if the median class has fewer than FEW labelled samples, or if the first look predicts
    no better than chance. The ranking may be useful all the same.
    """
    frame = view.frame
    with view.steady():
        labels = np.where(frame.tagged(REMOVED), MISSING, frame.label)
        sizes = np.bincount(labels[labels != MISSING], minlength=1)
        median = float(np.median(sizes[sizes > 0])) if sizes.any() else 0.0
        chance = _first_look_chance(view, labels)
    if chance is not None:
        return (
            f"The first look agrees with {chance[0]:.0%} of the labels, and random guessing would "
            f"agree with {chance[1]:.0%}, so the ranking is shown without probabilities."
        )
    if median < FEW:
        return (
            f"Half of the classes have {median:,.0f} or fewer labelled samples, which is too few "
            "for reliable probabilities, so the ranking is shown without them."
        )
    return None


def _first_look_chance(view: View, labels: np.ndarray) -> tuple[float, float] | None:
    """Return what `no_better_than_chance` says of the latest first look; None without one."""
    frame = view.frame
    for run in reversed(frame.runs):
        if FIRST_LOOK in run and frame.exists(schema.table("predictions", run["id"])):
            fields = view.use_run(run["name"]).fields
            return no_better_than_chance(fields.predictions(), labels, labels, len(fields.classes))
    return None
