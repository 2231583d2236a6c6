"""The kinds of jobs: one entry of KINDS each, with all that the rest of the code needs.

A kind's function takes the dataset's name, the task that it reports to, and the job's options. It
returns the job's result. Options and result are JSON values. Functions import what they use when
they run, so that the list of kinds is cheap to import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..cluster import HERE, steps
from ..core.errors import BadInputError, NotFoundError
from ..core.progress import Task
from ..storage.schema import IMPORTED

LISTED = 1000  # rows of each list of a sync's result
COMPARED = 100  # first suspects that are compared before and after training


@dataclass(frozen=True)
class JobKind:
    """action: what it does, to be followed by the dataset's name: "train". summary: how it ended,
    a format string over the function's result and `planned`, the planned epochs. There,
    "{samples:sample}" is a number with its noun."""

    function: Callable[..., dict]
    action: str
    summary: str


def _load(dataset: str, task: Task, **options) -> dict:
    from ..sources import load_dataset

    loaded = load_dataset(dataset, task=task, **options)
    return {"dataset": loaded.name, "samples": len(loaded)}


def _train(
    dataset: str,
    task: Task,
    run: str | None,
    split: str | None,
    config: dict,
    resumed: dict | None = None,
    on: str = HERE,
) -> dict:
    """resumed: the run that an earlier job was training, as `Run.marks`."""
    from ..dataset.dataset import Dataset
    from ..learn.config import TrainConfig
    from ..learn.train import resume

    data = Dataset(dataset)
    if resumed is not None:
        info = resume(data, _find_run(data, resumed), task).info
    else:
        target = data if split is None else data.view().match(split=split)
        info = steps(on).train(target, run, TrainConfig.from_dict(config), task).info
    return {"run": info["name"], "stopped": info["stopped"], "epochs": info["epochs"]}


def _look(dataset: str, task: Task, features: str = "auto") -> dict:
    from ..dataset.dataset import Dataset
    from ..pipeline import take_first_look

    return take_first_look(Dataset(dataset), task=task, features=features)


def _predict(
    dataset: str,
    task: Task,
    run: str | None,
    split: str | None,
    augment: bool = True,
    on: str = HERE,
) -> dict:
    from ..dataset.dataset import Dataset

    data, place = Dataset(dataset), steps(on)
    target = data if split is None else data.view().match(split=split)
    with place.session():
        count = place.predict(target, run, task=task, augment=augment)
        scores = place.compute_scores(data, run, task=task)
    return {"run": data.run(run).name, "predicted": count, "scores": scores}


def _import(
    dataset: str,
    task: Task,
    source: str,
    run: str,
    numbers: str | None = None,
    by: str | None = None,
    out_of_sample: bool = False,
    remove: bool = False,
) -> dict:
    """numbers: "logits" or "probabilities"; detected if None. remove: delete the file and its
    folder afterwards; the folder must hold nothing else."""
    from ..dataset.dataset import Dataset
    from ..predictions import import_predictions
    from ..ranking.ranking import suspects
    from ..ranking.scoring import compute_scores

    data = Dataset(dataset)
    imported = import_predictions(
        data,
        source,
        run,
        kind=numbers,
        by=by,
        out_of_sample=out_of_sample,
        task=task,
    )
    scores = compute_scores(data, run, task=task)
    if remove:
        Path(source).unlink(missing_ok=True)
        Path(source).parent.rmdir()
    return {
        "run": run,
        "predicted": imported.info[IMPORTED]["rows"],
        "scores": scores,
        "suspects": len(suspects(data, run)),
    }


def _score(dataset: str, task: Task, run: str | None, on: str = HERE) -> dict:
    from ..dataset.dataset import Dataset

    data = Dataset(dataset)
    scores = steps(on).compute_scores(data, run, task=task)
    return {"run": data.run(run).name, "scores": scores}


def _audit(
    dataset: str,
    task: Task,
    config: dict | None = None,
    resumed: dict | None = None,
    **options,
) -> dict:
    """config: of the training; None for the defaults. resumed: the run that an earlier job was
    training, as `Run.marks`. The result has `changed` if a first look was followed by training."""
    from ..dataset.dataset import Dataset
    from ..learn.config import TrainConfig
    from ..pipeline import audit, resume_audit

    # A stop ends the whole job: predicting and scoring what was trained could take minutes.
    hooks = {"task": task, "keep_going": False}
    if resumed is None:
        training = None if config is None else TrainConfig.from_dict(config)
        result = audit(dataset, config=training, **hooks, **options)
    else:
        data = Dataset(dataset)
        ranking = {name: options[name] for name in ("score", "k", "on") if name in options}
        result = resume_audit(data, _find_run(data, resumed), **hooks, **ranking)
    return {**result.to_dict(), "changed": _changed_by_training(result.dataset, result.run)}


def _changed_by_training(dataset, run: str) -> dict | None:
    """Return how many of the first suspects are new (`new`) and how many were compared (`of`).

    None without a scored first look, or if the run is the first look.
    """
    from ..learn.config import FIRST_LOOK_RUN
    from ..ranking.ranking import suspects

    if run == FIRST_LOOK_RUN or FIRST_LOOK_RUN not in dataset.runs:
        return None
    if not dataset.run(FIRST_LOOK_RUN).score_names():
        return None
    before = suspects(dataset, FIRST_LOOK_RUN).limit(COMPARED).ids.tolist()
    after = suspects(dataset, run).limit(COMPARED).ids.tolist()
    return {"new": len(set(after) - set(before)), "of": len(after)} if before and after else None


def _compare(dataset: str, task: Task) -> dict:
    from ..dataset.dataset import Dataset
    from ..features.duplicates import find_duplicates

    found = find_duplicates(Dataset(dataset), task)
    return {"samples": len(found.ids), "searched": found.searched}


def _sync(
    dataset: str,
    task: Task,
    source: str | None = None,
    every_file: bool = False,
    within: list[str] | None = None,
    seen: str | None = None,
    prefer: dict[str, str] | None = None,
    who: str | None = None,
) -> dict:
    """seen: digest of the plan to take over; None takes nothing over. prefer: end that wins, by the
    id of the sample. The lists of the result are cut,
    but not the one of conflicts."""
    from ..dataset.history import list_changes, sync_words
    from ..living import apply_sync, plan_sync

    plan = plan_sync(dataset, source=source, every_file=every_file, within=within, task=task)
    words = plan.words
    if seen is not None:
        if plan.digest != seen:
            raise BadInputError(
                f"the source or the labels of dataset {dataset!r} changed since the list of "
                "changes was made: read the source again."
            )
        decided = {int(sample): end for sample, end in (prefer or {}).items()}
        apply_sync(dataset, plan, prefer=decided, who=who)
        words = sync_words(**list_changes(dataset)[-1].info) if len(plan) else []
    data = plan.to_dict()
    lists = {name: rows[:LISTED] for name, rows in data.items() if isinstance(rows, list)}
    lists["conflicts"] = data["conflicts"]  # a person decides each of them
    text = "; ".join(words) or "nothing changed in the source"
    return {
        **data,
        **lists,
        "digest": plan.digest,
        "applied": seen is not None,
        "options": {"source": source, "every_file": every_file},
        "message": text if seen is None else f"taken over: {text}",
    }


def _export(
    dataset: str,
    task: Task,
    target: str,
    only_suspects: bool = False,
    of_run: str | None = None,
    split: str | None = None,
    tag: str | None = None,
    **options,
) -> dict:
    from ..dataset.dataset import Dataset
    from ..export import export_dataset
    from ..ranking.ranking import selection

    view = selection(Dataset(dataset), of_run, only_suspects, split, tag)
    exported = export_dataset(view, target, task=task, **options)
    return {**exported.to_dict(), "message": str(exported)}


def _find_run(data, marks: dict):
    """The run that an earlier job was writing. Raises LabelAuditError if it does not exist."""
    run = data.find_run(marks)
    if run is None:
        raise NotFoundError(
            f"run {marks['name']!r} of dataset {data.name!r} was deleted: start the job again."
        )
    return run


# A kind can be resumed if its function takes `resumed`.
KINDS: dict[str, JobKind] = {
    "load": JobKind(_load, "load", "{samples:sample}"),
    "look": JobKind(_look, "take a first look at", "{run}: {suspects:suspect}"),
    "train": JobKind(_train, "train", "{run}: {epochs} of {planned:epoch}"),
    "predict": JobKind(_predict, "predict", "{run}: {predicted:sample} predicted"),
    "import": JobKind(
        _import,
        "import predictions of",
        "{run}: {predicted:prediction}, {suspects:suspect}",
    ),
    "score": JobKind(_score, "score", "{run}: scored"),
    "audit": JobKind(_audit, "audit", "{run}: {suspects:suspect}"),
    "compare": JobKind(
        _compare,
        "look for duplicates in",
        "with a duplicate: {samples:,} of {searched:sample}",
    ),
    "sync": JobKind(_sync, "read the source of", "{message}"),
    "export": JobKind(_export, "export", "{samples:sample} written to {target}"),
}
