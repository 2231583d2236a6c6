"""Scores a run, ranks its suspects, and says how well known mistakes would have been found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.errors import LabelAuditError
from ..core.progress import QUIET, Task
from ..dataset.arrays import MISSING
from ..dataset.dataset import Dataset
from ..dataset.dynamics import MEASURES, OUT_OF_SAMPLE
from ..dataset.runs import Run
from ..dataset.view import View
from ..features import neighbours
from ..predictions.numbers import no_better_than_chance
from ..scores import SCORES, default_score
from ..scores.suspicion import SUSPICION
from ..storage.schema import MISTAKE, RECORDED, REMOVED
from .logit_scores import from_logits

CURVE_POINTS = 200  # of precision against number reviewed
RANDOM = "random order"
MOST = 0.9  # of the mistakes


@dataclass(frozen=True)
class Means:
    """Who does what takes long in scoring. By default this process."""

    from_logits: Callable = from_logits
    answers: neighbours.Answers = neighbours.answered_here


def compute_scores(
    dataset: Dataset,
    run: str | None = None,
    names: Sequence[str] | None = None,
    task: Task = QUIET,
) -> list[str]:
    """Compute scores of a run and store them beside those it has. Returns their names.

    run: by default the latest with predictions. names: by default every score that the run has
    the data for. Samples without what a score needs get none (null), never a guess. A stop leaves
    the scores that were there, and raises StoppedError.
    Raises LabelAuditError for a score that does not exist, or that this run has no data for.
    """
    return compute_scores_by(Means(), dataset, run, names, task)


def compute_scores_by(
    means: Means, dataset: Dataset, run: str | None, names: Sequence[str] | None,
    task: Task,
) -> list[str]:  # fmt: skip
    """`compute_scores`, where others may do the work."""
    kept = dataset.run(run)
    for name in names or ():
        check_score_name(name)
    wanted = [SCORES[name] for name in names or SCORES]
    if kept.is_first_look:  # it knows too little to tell what is wrong from what is hard
        if names and SUSPICION in names:
            raise LabelAuditError(
                f"run {kept.name!r} was made without training, which is too little for suspicion: "
                "train, or rank it by another score."
            )
        wanted = [score for score in wanted if score.name != SUSPICION]
    frame = dataset.view().frame
    with frame.steady():
        ids, labels = frame.ids, frame.label
        counted = (labels != MISSING) & ~frame.tagged(REMOVED)
        # the model says nothing of a class that it had no sample of, only that this is another one
        told = np.where(_taught(kept, len(frame.classes))[labels], labels, MISSING)
    of_dynamics = [score for score in wanted if score.reads in MEASURES]
    in_folds = _judged_out_of_sample(kept)
    # How sure of itself a model is that was not trained here can only be fitted, whether it learned
    # these labels or not. (Digits with 20 and 5 % mistakes, linear model, forest and small net that
    # learned them: the suspicions add up to 0.95 to 1.03 times the wrong labels; treated as
    # in-sample runs of our own, to 0.00 to 0.55 times.)
    out_of_sample = in_folds or not kept.has_model
    computed, suggestions = means.from_logits(kept, wanted, ids, told, out_of_sample, task)
    if names and not kept.has_predictions():
        lacking = next((s.name for s in wanted if s.reads not in MEASURES), None)
        if lacking:
            raise LabelAuditError(
                f"{lacking} needs predictions, and run {kept.name!r} has none yet: predict first."
            )
    for score in wanted:
        if score.reads == "neighbours":
            k = neighbours.how_many(labels)
            near = neighbours.of_run(kept, ids, counted, k, task, means.answers)
            if near is not None:
                others = np.where(near[0] >= 0, labels[near[0]], MISSING)
                computed[score.name] = score.function(labels, others, near[1])
            elif names:
                raise LabelAuditError(
                    f"{score.name} needs embeddings, and run {kept.name!r} has none: "
                    + (
                        "predict with it again, which stores them."
                        if kept.has_model
                        else "give them with its predictions."
                    )
                )
    dynamics = kept.dynamics(ids) if of_dynamics else None
    if dynamics is None and names and of_dynamics:
        raise LabelAuditError(
            f"{of_dynamics[0].name} needs training dynamics, and run {kept.name!r} has none: "
            "train with LabelAudit to record them."
        )
    if dynamics is not None:
        same = dynamics.labels == told  # margins of another label say nothing of this one
        for score in of_dynamics:
            if not score.reads.startswith(OUT_OF_SAMPLE) or in_folds:
                values = score.function(getattr(dynamics, score.reads))
                computed[score.name] = np.where(same, values, np.nan)
            elif names:
                raise LabelAuditError(
                    f"{score.name} needs models that did not learn the sample, and run "
                    f"{kept.name!r} was trained without folds: train with folds=2 or more."
                )
    task.check("scoring")
    ordered = {score.name: computed[score.name] for score in wanted if score.name in computed}
    kept.write_scores(ids, labels, ordered, suggestions)
    return list(ordered)


def suspects(dataset: Dataset, run: str | None = None, score: str | None = None) -> View:
    """The samples that a score speaks against, most suspicious first.

    score: by default the best that the run has. Left out are the samples below its boundary (AUM
    above 0: the given class was behind), or, where a score of the label has none, those that are
    predicted as their given class; and those that a verdict removed. Hardness, which judges no
    label, ranks all.
    Raises LabelAuditError for a run without predictions or without this score.
    """
    kept = dataset.run(run)
    score = check_score(kept, score)
    boundary = SCORES[score].boundary
    view = dataset.view(kept.name).exclude_tag(REMOVED)
    view = view.above(score, -np.inf if boundary is None else boundary)
    if boundary is None and SCORES[score].judges_label:
        view = view.match(wrong=True)
    return view.sort_by(score, reverse=True)


def selection(
    dataset: Dataset,
    run: str | None = None,
    only_suspects: bool = False,
    split: str | None = None,
    tag: str | None = None,
) -> View:
    """What is to be exported: all samples, or those that meet every condition given."""
    view = suspects(dataset, run) if only_suspects else dataset.view(run)
    view = view.match(split=split)
    return view if tag is None else view.match_tag(tag)


def check_score_name(name: str) -> None:
    if name not in SCORES:
        raise LabelAuditError(f"{name!r} is no score: the scores are {', '.join(SCORES)}.")


def check_k(k: int | None) -> None:
    if k is not None and k < 1:
        raise LabelAuditError(f"k={k}: count at least one suspect.")


def check_score(run: Run, score: str | None) -> str:
    """`score` if the run has it; for None the best that it has."""
    available = run.score_names()
    if not available:
        raise LabelAuditError(f"run {run.name!r} has no scores yet: score it first.")
    if score is not None and score not in available:
        raise LabelAuditError(
            f"run {run.name!r} has no score {score!r}: it has {', '.join(available)}."
        )
    return score or default_score(available)


def outdated(view: View) -> int:
    """How many of a view's samples were relabelled since the run learned or scored them.

    They have no score until the run is scored again; and then they are judged by a model that
    learned their other label, so that only training again does them justice.
    """
    with view.steady():
        if not view.score_names():
            return 0
        changed = view.fields.outdated() | view.fields.unlearned()
        return int(changed[view.positions()].sum())


def weakness(view: View) -> str | None:
    """A sentence where the view's run learned next to nothing: what it suspects then means nothing,
    nor that it suspects nobody. Else None."""
    with view.steady():
        labels = view.frame.label
        found = no_better_than_chance(
            view.fields.predictions(), labels, labels, len(view.frame.classes)
        )
    return found and (
        f"The model agrees with {found[0]:.0%} of the labels, and guessing would with "
        f"{found[1]:.0%}: it learned next to nothing, so neither its suspects nor their absence "
        "mean anything. Train more epochs, or another model."
    )


def evaluate(view: View, k: int | None = None) -> pd.DataFrame | None:
    """How well each score finds the injected mistakes among a view's predicted samples.

    k: how many suspects a person would look at; by default as many as there are mistakes. One row
    a score, the best first: average_precision (0 to 1, also called area under the precision-recall
    curve; scikit-learn's definition), precision_at_k, recall_at_k, found (mistakes among the first
    k), looks_for_90 (samples to look at until 90 % of the mistakes are found), k, mistakes,
    samples. A sample that a score says nothing of comes last in its ranking.
    None where no mistake was injected. Of mistakes injected after training (`outdated` counts them)
    the model has seen the right labels: then the figures flatter it.
    """
    from sklearn.metrics import average_precision_score  # takes a second to import

    check_k(k)
    rows = []
    with view.steady():
        rankings = list(_rankings(view))
    for name, mistaken in rankings:
        total = int(mistaken.sum())
        first = min(k or total, len(mistaken))
        most = np.searchsorted(np.cumsum(mistaken), np.ceil(MOST * total)) + 1
        found = int(mistaken[:first].sum())
        rows.append(
            {
                "score": name,
                # the ranking is what is judged, so ties are in the order that a person sees
                "average_precision": average_precision_score(
                    mistaken, np.arange(len(mistaken), 0, -1)
                ),
                "precision_at_k": found / first,
                "recall_at_k": found / total,
                "found": found,
                "looks_for_90": int(most),
                "k": first,
                "mistakes": total,
                "samples": len(mistaken),
            }
        )
    if not rows:
        return None
    table = pd.DataFrame(rows).sort_values("average_precision", ascending=False, kind="stable")
    return table.reset_index(drop=True)


def precision_curves(view: View) -> pd.DataFrame | None:
    """Precision against number reviewed: columns reviewed, precision, score; for every score.

    The rows with score RANDOM are what looking without a ranking would give.
    """
    curves = []
    with view.steady():
        rankings = list(_rankings(view))
    for name, mistaken in rankings:
        # even steps, but close ones at the start, where people look
        steps = np.geomspace(1, len(mistaken), CURVE_POINTS // 2)
        steps = np.concatenate([steps, np.linspace(1, len(mistaken), CURVE_POINTS // 2)])
        reviewed = np.unique(steps.astype(int))
        precision = np.cumsum(mistaken)[reviewed - 1] / reviewed
        curves.append(pd.DataFrame({"reviewed": reviewed, "precision": precision, "score": name}))
    if not curves:
        return None
    base = curves[0].assign(score=RANDOM, precision=float(mistaken.mean()))
    return pd.concat([*curves, base], ignore_index=True)


def _rankings(view: View) -> Iterator[tuple[str, np.ndarray]]:
    """(score, whether each sample is a mistake, most suspicious first) for each score of a run.

    All scores are judged on the same samples: those of the view that the run has predicted.
    """
    mistakes = view.frame.tags.get(MISTAKE)
    if mistakes is None or not view.score_names():
        return
    predicted = view.above("confidence", 0)
    if not mistakes[predicted.positions()].any():
        return
    for name in view.score_names():
        yield name, mistakes[predicted.sort_by(name, reverse=True).positions()]


def _judged_out_of_sample(run: Run) -> bool:
    """Whether each sample was also watched by a model that did not learn it."""
    recorded = run.info.get(RECORDED)
    folds = run.info.get("config", {}).get("folds", 1)
    return recorded["out_of_sample"] if recorded else folds > 1


def _taught(run: Run, classes: int) -> np.ndarray:
    """Mask, bool (classes + 1,), of the classes that the model learned; of MISSING False."""
    untaught = set(run.info.get("untaught", []))
    taught = np.zeros(classes + 1, bool)
    taught[: len(run.classes)] = [name not in untaught for name in run.classes]
    return taught
