"""Computes and stores the scores of a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..annotators.consensus import NO_LABELS, consensus, has_labels, is_independent
from ..core.errors import BadInputError, NotFoundError, PluginError, PluginWarning
from ..core.progress import QUIET, Task
from ..dataset.arrays import MISSING, find
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..dataset.target import Target, as_dataset, as_view
from ..features import neighbours
from ..features.duplicates import duplicates
from ..scores import SCORES, Score
from ..scores.base import (
    ANNOTATORS,
    LOGITS,
    NEIGHBOURS,
    AnnotatorScore,
    DynamicsScore,
    NeighbourScore,
)
from ..scores.suspicion import SUSPICION
from ..storage.schema import RECORDED, REMOVED
from .copies import weigh_copies
from .logit_scores import Suggestions, from_logits

WITNESS_BYTES = 1 << 29  # of a first look's logits in memory
UNKNOWN_LOGIT = -3.0  # of all classes together that a first look does not know
LEAST_LOGIT = -1e4  # below the largest of the row; half precision ends at -65,504


@dataclass(frozen=True)
class Backend:
    """Who does the slow steps of scoring. By default this process."""

    from_logits: Callable = from_logits
    search: neighbours.Search = neighbours.search_here


def compute_scores(
    dataset: Target,
    run: str | None = None,
    names: Sequence[str] | None = None,
    task: Task = QUIET,
) -> list[str]:
    """Compute scores of a run and store them with its other scores. Returns their names.

    dataset: or its name, or a view: then only its samples get new values, and the others keep
    theirs. Fitted scores such as suspicion are fitted to all samples in either case. run: by
    default that of the view, or the latest with predictions. names: by default all scores for which
    the run has the data. A sample without the data for a score gets no value (null). If the task is
    stopped, StoppedError is raised and the stored scores are unchanged.
    Raises LabelAuditError for an unknown score, and for a named one for which the run has no data.
    The score of a plugin that fails is left out with a warning; a named one raises PluginError.
    """
    return compute_scores_by(Backend(), dataset, run, names, task)


def compute_scores_by(
    backend: Backend,
    dataset: Target,
    run: str | None,
    names: Sequence[str] | None,
    task: Task,
) -> list[str]:
    """Do the same as `compute_scores` with another backend."""
    for name in names or ():
        check_score_name(name)
    wanted = [SCORES[name] for name in names or SCORES]
    while True:
        try:
            return _compute(backend, dataset, run, wanted, names, task)
        except PluginError as error:
            rest = [score for score in wanted if score.name != error.plugin]
            if names or len(rest) == len(wanted):
                raise
            warnings.warn(f"Not computed: {error}", PluginWarning, stacklevel=3)
            wanted = rest


def _compute(
    backend: Backend,
    target: Target,
    run: str | None,
    wanted: Sequence[Score],
    names: Sequence[str] | None,
    task: Task,
) -> list[str]:
    view, dataset = as_view(target, run), as_dataset(target)
    stored_run = dataset.run(view.run)
    samples = _Samples.read(dataset, stored_run)
    out_of_sample = _out_of_sample(stored_run)
    witness = _witness(dataset, stored_run, samples.ids)
    computed, suggestions, self_test = backend.from_logits(
        stored_run, wanted, samples.ids, samples.known_labels, out_of_sample, task, witness
    )
    if SUSPICION in computed:
        suggestions = _weigh_copies(dataset, stored_run, samples, computed, suggestions)
    computed |= _from_neighbours(stored_run, wanted, samples, backend, task)
    computed |= _from_dynamics(stored_run, wanted, samples)
    computed |= _from_annotators(dataset, stored_run, wanted, samples)
    for score in wanted if names else ():
        if score.name not in computed:
            raise NotFoundError(_missing_data(stored_run, score, samples.ids))
    task.check("scoring")
    ordered = {score.name: computed[score.name] for score in wanted if score.name in computed}
    only = np.isin(samples.ids, view.ids) if view.steps else None
    with dataset.transaction():
        stored_run.write_scores(samples.ids, samples.labels, ordered, suggestions, only)
        if SUSPICION in ordered:
            stored_run.write_self_test(self_test)
    return list(ordered)


def check_score_name(name: str) -> None:
    """Raise LabelAuditError if there is no such score."""
    if name not in SCORES:
        raise BadInputError(f"there is no score {name!r}: choose one of {', '.join(SCORES)}.")


@dataclass(frozen=True)
class _Samples:
    """All samples of a dataset. Arrays (n,); labels are class indices, MISSING for none."""

    ids: np.ndarray
    labels: np.ndarray
    known_labels: np.ndarray  # MISSING also for classes that the model was not trained on
    counted: np.ndarray  # bool: labelled and not removed

    @classmethod
    def read(cls, dataset: Dataset, run: Run) -> _Samples:
        frame = dataset.view().frame
        with frame.steady():
            ids, labels = frame.ids, frame.label
            counted = (labels != MISSING) & ~frame.tagged(REMOVED)
            # A model rejects every sample of a class that it was not trained on.
            known = _columns(run, frame.classes)[labels]
        return cls(ids, labels, known, counted)


def _columns(run: Run, classes: list[str]) -> np.ndarray:
    """Return the column of the run's logits for each class of the dataset, int32 (C + 1,).

    It is MISSING for a class that the model was not trained on. The last element, which MISSING
    selects, is MISSING.
    """
    untaught = set(run.info.get("untaught", []))
    column = {name: i for i, name in enumerate(run.classes) if name not in untaught}
    return np.array([*(column.get(name, MISSING) for name in classes), MISSING], np.int32)


def _has_folds(run: Run) -> bool:
    """Whether each sample was also recorded by a model that was not trained on it."""
    recorded = run.info.get(RECORDED)
    folds = run.info.get("config", {}).get("folds", 1)
    return recorded["out_of_sample"] if recorded else folds > 1


def _out_of_sample(run: Run) -> bool:
    """Whether the noise model must fit how confident the run's predictions are.

    That of a model trained elsewhere is unknown, even if it was trained on these labels. (Digits
    with 20 and 5 % mistakes; a linear model, a forest and a small net trained on them: the
    suspicions add up to 0.95 to 1.03 times the wrong labels. Treated as in-sample runs of
    LabelAudit they would add up to 0.00 to 0.55 times.)
    """
    return _has_folds(run) or not run.has_model


def _witness(dataset: Dataset, run: Run, ids: np.ndarray) -> np.ndarray | None:
    """Return the logits, float16 (n, C), of the dataset's first look, zeros without a prediction.

    None if there is none, if its classes are others, if `run` is a first look itself, or if the
    logits would take more than WITNESS_BYTES.
    """
    if run.is_first_look or 2 * len(ids) * len(run.classes) > WITNESS_BYTES:
        return None
    looks = (dataset.run(name) for name in reversed(dataset.runs))
    look = next((look for look in looks if look.is_first_look and look.has_predictions()), None)
    known = len(run.classes) - len(run.unknown_classes)
    if look is None or look.classes != run.classes[:known]:
        return None
    # It says little of classes that it does not know: together they are this far below the best.
    unknown = len(run.unknown_classes)
    logits = np.zeros((len(ids), len(run.classes)), np.float16)
    for predicted, values in look.logits():
        places, found = find(ids, predicted)
        values = values - values.max(axis=1, keepdims=True)
        logits[places[found], :known] = np.maximum(values[found], LEAST_LOGIT)
        if unknown:
            logits[places[found], known:] = UNKNOWN_LOGIT - np.log(unknown)
    return logits


def _weigh_copies(
    dataset: Dataset,
    run: Run,
    samples: _Samples,
    computed: dict[str, np.ndarray],
    suggestions: Suggestions,
) -> Suggestions:
    """Correct the suspicion of exact copies under different labels; return the suggestions."""
    known = duplicates(dataset)
    if known is None:
        return suggestions
    copy_of = np.where(samples.counted, known.exact_copies(samples.ids), MISSING)
    found = weigh_copies(copy_of, samples.labels, computed[SUSPICION])
    p_wrong, codes, p = (np.array(values) for values in (computed[SUSPICION], *suggestions))
    suggested = found.suggested
    if run.unknown_classes:  # stored as columns of its logits
        suggested = _columns(run, dataset.classes)[suggested]
    p_wrong[found.places], codes[found.places] = found.p_wrong, suggested
    p[found.places] = found.suggested_p
    computed[SUSPICION] = p_wrong
    return codes, p


def _from_neighbours(
    run: Run, wanted: Sequence[Score], samples: _Samples, backend: Backend, task: Task
) -> dict[str, np.ndarray]:
    scores = [score for score in wanted if isinstance(score, NeighbourScore)]
    if not scores:
        return {}
    k = neighbours.how_many(samples.labels)
    near = neighbours.of_run(run, samples.ids, samples.counted, k, task, backend.search)
    if near is None:
        return {}
    labels = np.where(near.places >= 0, samples.labels[near.places], MISSING)
    return {
        score.name: score.function(
            samples.labels, labels, near.distances if score.by_distance else near.cosines
        )
        for score in scores
    }


def _from_dynamics(run: Run, wanted: Sequence[Score], samples: _Samples) -> dict[str, np.ndarray]:
    scores = [score for score in wanted if isinstance(score, DynamicsScore)]
    dynamics = run.dynamics(samples.ids) if scores else None
    if dynamics is None:
        return {}
    # Dynamics were recorded for the label at training time; it may have changed.
    same = dynamics.labels == samples.known_labels
    return {
        score.name: np.where(same, score.function(getattr(dynamics, score.measure)), np.nan)
        for score in scores
        if not score.out_of_sample or _has_folds(run)
    }


def _from_annotators(
    dataset: Dataset, run: Run, wanted: Sequence[Score], samples: _Samples
) -> dict[str, np.ndarray]:
    scores = [score for score in wanted if isinstance(score, AnnotatorScore)]
    if not scores or not has_labels(dataset.view().frame):
        return {}
    own = run.name if run.has_predictions() and is_independent(run) else None
    p_label = consensus(dataset, own).p_label(samples.ids, samples.labels)
    return {score.name: score.function(p_label) for score in scores}


def _missing_data(run: Run, score: Score, ids: np.ndarray) -> str:
    """Return an error message: which data the score needs, and how to get them."""
    if score.needs == ANNOTATORS:
        return f"{score.name}: the dataset {NO_LABELS}."
    if score.needs in (LOGITS, NEIGHBOURS) and not run.has_predictions():
        return f"{score.name} needs predictions, and run {run.name!r} has none: predict first."
    if score.needs == NEIGHBOURS:
        fix = "predict with it again" if run.has_model else "import them with its predictions"
        return f"{score.name} needs embeddings, and run {run.name!r} has none: {fix}."
    out_of_sample = isinstance(score, DynamicsScore) and score.out_of_sample
    if out_of_sample and run.dynamics(ids) is not None:
        return (
            f"{score.name} needs models that were not trained on the sample, and run "
            f"{run.name!r} was trained without folds: train with folds=2 or more."
        )
    return (
        f"{score.name} needs training dynamics, and run {run.name!r} has none: train with "
        "LabelAudit to record them."
    )
