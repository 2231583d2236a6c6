"""The whole audit in one call: load, inject mistakes, train, predict, score, rank."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import cluster
from .core.errors import BadInputError, StoppedError
from .core.progress import QUIET, Task, never
from .core.step_timer import StepTimer
from .dataset import noise as noise_module
from .dataset.dataset import Dataset
from .dataset.label_copy import with_label_field
from .dataset.runs import Run
from .dataset.target import Target, as_dataset, as_view, opened
from .dataset.view import View
from .features.duplicates import CONFLICTS, duplicates, ensure_duplicates, list_groups
from .features.extractors import AUTO
from .learn.config import FIRST_LOOK_RUN, TrainConfig
from .learn.earlier_runs import EarlierRun, earlier_first_look, earlier_training
from .learn.plan import Plan, make_plan
from .ranking.audit_result import AuditResult
from .ranking.evaluation import check_k, evaluate
from .ranking.ranking import check_score, suspects, weakness
from .ranking.scoring import check_score_name, compute_scores
from .sources import load_dataset
from .storage.paths import check_name
from .storage.schema import FINISHED, REMOVED

FIRST_LOOK_SAMPLES = 100_000  # with more, training begins at once
DUPLICATE_SAMPLES = 200_000  # with more, duplicates are only searched for on request
PREVIEW_FROM, PREVIEW_SAMPLES = 2_500, 1_000  # of photographs: some are looked at before all
NO_IDS = np.empty(0, np.int64)


def audit(
    dataset: Target,
    *,
    noise: float | None = None,
    noise_kind: str = "uniform",
    seed: int = 0,
    run: str | None = None,
    config: TrainConfig | None = None,
    score: str | None = None,
    k: int | None = None,
    first_look: bool = True,
    features: str = AUTO,
    train: bool | None = None,
    on: str = "here",
    label_field: str | None = None,
    task: Task = QUIET,
    keep_going: bool = True,
) -> AuditResult:
    """Find the wrong labels of a dataset or, with `noise`, rehearse on injected mistakes.

    First, each image is predicted from the features of all others (see `first_look`). Its suspects
    can be reviewed while a model trains, where training adds something: then suspicion combines
    both. Duplicates are searched for in up to 200,000 samples, because copies of one picture under
    different labels are certain errors, and the quality of the images is measured.

    dataset: a Dataset, its name, or the name of a dataset in the zoo; or a view, whose samples
    alone are learned from, predicted and ranked. noise: share of labels to make wrong first (0 to
    1). None audits the labels as they are; mistakes that were injected before are evaluated all the
    same. run, config: as in `train`. score: ranks the suspects, by default the best score of the
    run. k: number of suspects in the evaluation, by default the number of mistakes. first_look:
    whether to take a first look before training (up to 100,000 samples). features: as in
    `first_look`. train: whether to train a model, too. By
    default one is trained for small images (up to 96 pixels), and if `run` or `config` is given: on
    photographs, pretrained features find more than a small network trained from scratch. After a
    sync, the earlier model predicts the new images instead, and so does the fit of the first look,
    unless over 10 % of the labels are new or changed since, or most labels of a class;
    `training_note` of the result says so. `first_look` fits the first look again in any case.
    on: "here", or "ray" to extract features, train, predict and score on a Ray cluster: the one at
    RAY_ADDRESS, or all cores of this machine. It needs the extra `cluster` (docs/scale.md).
    label_field: audit this own field instead of `ground_truth`. Its labels become those of another
    dataset, `<dataset>.<field>`, with the same ids and images, which is audited and returned.
    A stop during training continues with the finished epochs. Without keep_going it raises
    StoppedError, and `resume_audit` can continue later.
    """
    from .features.device import choose_device  # importing torch takes seconds

    timer, steps = StepTimer(), cluster.steps(on)
    target = load_dataset(dataset, task=task) if isinstance(dataset, str) else opened(dataset)
    if label_field is not None:
        target = with_label_field(as_dataset(target, "audit with label_field"), label_field)
    dataset = as_dataset(target)
    timer.finish("load")
    # check all arguments before anything is changed
    earlier, look_note = None, ""
    if train is None:
        asked = run is not None or config is not None
        train = asked or trains_by_default(dataset)
        if train and not asked and target is dataset and noise is None:
            earlier = earlier_training(dataset)
        train = train and not (earlier and earlier.serves)
    config = config or TrainConfig()
    if on == cluster.HERE:
        choose_device(config.device)
    if run is not None:
        check_name(run, "run")
    _check_ranking(score, k)
    if config.folds > 1:  # duplicates must be in the same fold, and may not be known yet
        ensure_duplicates(dataset, task)
    plan = make_plan(target, config) if train else None
    noise_report = None
    if noise is not None:
        noise_report = noise_module.inject(target, noise, noise_kind, seed)
        timer.finish("noise")
    looks = first_look and run != FIRST_LOOK_RUN and len(dataset) <= FIRST_LOOK_SAMPLES
    looks = looks or not train
    kept = None
    if looks and target is dataset and noise is None:
        kept = earlier_first_look(dataset, features)
    if looks:
        whole = target is dataset and not (kept and kept.serves)
        task = _preview(dataset, features, task, steps) if whole else task
        timer.finish("preview")
    if len(dataset) <= DUPLICATE_SAMPLES:
        ensure_duplicates(dataset, task)
        timer.finish("duplicates")
        plan = make_plan(target, config) if train else None  # duplicates are held out together
    if looks:
        look, look_note = _look(target, kept, features, steps, task)
        task = _with_first_look(task, look)
        timer.finish("first look")
        _measure_quality(dataset, task)
        timer.finish("image quality")
    notes = look_note, earlier.training_note if earlier else ""
    note = " ".join(filter(None, notes)) or None
    if earlier and not train:
        with steps.session():
            _predict_new(earlier.run, dataset, steps, task)
            timer.finish("predict")
            steps.compute_scores(dataset, earlier.run.name, task=task)
            timer.finish("score")
        return _ranked_result(dataset, earlier.run, None, timer, score, k, training_note=note)
    if not train:
        look_run = dataset.run(FIRST_LOOK_RUN)
        return _ranked_result(target, look_run, noise_report, timer, score, k, training_note=note)
    with steps.session():
        trained = steps.train(target, run, config, task)
        timer.finish("train")
        task = _task_after_training(trained, task, keep_going)
        job = _ScoringJob(target, trained, plan, noise_report, steps, timer, task)
        return replace(job.run(score, k), training_note=note)


def resume_audit(
    dataset: Target,
    run: str | Run | None = None,
    *,
    score: str | None = None,
    k: int | None = None,
    on: str = "here",
    task: Task = QUIET,
    keep_going: bool = True,
) -> AuditResult:
    """Continue an interrupted audit: train from the last finished epoch, predict, score.

    run: by default the run with the latest interrupted training. If its training is finished, it is
    only predicted and scored. Labels do not change: noise is not injected again. on: where to
    predict and score; the rest of the training is done on this machine. Other arguments are as in
    `audit`.
    """
    dataset = as_dataset(dataset, "resume_audit")
    from .learn.train import resume

    timer, steps = StepTimer(), cluster.steps(on)
    _check_ranking(score, k)
    trained = _finished_run(dataset, run)
    if trained is None:
        trained = resume(dataset, run, task)
        task = _task_after_training(trained, task, keep_going)
    timer.finish("train")
    plan = make_plan(dataset, TrainConfig.from_dict(trained.info["config"]))
    with steps.session():
        return _ScoringJob(dataset, trained, plan, None, steps, timer, task).run(score, k)


def take_first_look(
    target: Dataset | View,
    run: str = FIRST_LOOK_RUN,
    task: Task = QUIET,
    **how,
) -> dict:
    """Make a first look and score it. Returns its run's name and its number of suspects.

    how: further arguments of `first_look`.
    """
    from .learn.first_look import first_look

    first_look(target, run, task, **how)
    return _scored_look(Dataset(target.name), run, task)


def _scored_look(dataset: Dataset, run: str, task: Task) -> dict:
    compute_scores(dataset, run, task=task)
    return {"run": run, "suspects": len(suspects(dataset, run))}


def _look(
    target: Dataset | View,
    kept: EarlierRun | None,
    features: str,
    steps: cluster.Steps,
    task: Task,
) -> tuple[dict, str]:
    """Take a first look, or add new images to an earlier one that serves. Returns as
    `take_first_look`, and a sentence for the user, "" if there was none before."""
    from .learn.first_look_update import update_first_look

    serves = kept is not None and kept.serves
    if serves:
        dataset, compute = as_dataset(target), steps.first_look.compute_features
        if done := update_first_look(kept.run, dataset, task, compute):
            note = f"{done}: {kept.why} (labelaudit.first_look or the command first-look fits it "
            return _scored_look(dataset, kept.run.name, task), f"{note}again)."
    look = take_first_look(target, task=task, features=features, backend=steps.first_look)
    if not kept:
        return look, ""
    other = "its stored fit is of other features or of another version"
    return look, f"The first look was fitted to all images again: {other if serves else kept.why}."


def _predict_new(run: Run, dataset: Dataset, steps: cluster.Steps, task: Task) -> None:
    """Predict the samples that a run has not predicted yet."""
    known, view = run.predicted_ids(), dataset.view().exclude_tag(REMOVED)
    missing = np.setdiff1d(view.ids, known)
    if len(missing):
        steps.predict(view.select(missing), run.name, run.info["config"]["device"], task)


def trains_by_default(dataset: Dataset) -> bool:
    """Return whether an audit trains a model unless told otherwise: for small images."""
    from .features.image_size import SMALL_SIDE, usual_size

    return usual_size(dataset.view().frame, dataset.view().ids) <= SMALL_SIDE


def _preview(dataset: Dataset, features: str, task: Task, steps: cluster.Steps) -> Task:
    """Take a first look at some images if all take long. Returns a task that reports it."""
    if len(dataset) < PREVIEW_FROM or trains_by_default(dataset):
        return task
    ids = np.sort(np.random.default_rng(0).permutation(dataset.view().ids)[:PREVIEW_SAMPLES])
    try:
        look = take_first_look(
            dataset.view().select(ids),
            task=task,
            features=features,
            backend=steps.first_look,
        )
    except BadInputError:  # these images are all of one class
        return task
    return _with_first_look(task, look)


def _measure_quality(dataset: Dataset, task: Task) -> None:
    from .features.quality import measure_quality  # importing torch takes seconds

    frame = dataset.view().frame
    measure_quality(frame, frame.ids, task)


def _ranked_result(
    target: Dataset | View,
    run: Run,
    noise: noise_module.NoiseReport | None,
    timer: StepTimer,
    score: str | None,
    k: int | None,
    held_out: np.ndarray = NO_IDS,
    training_note: str | None = None,
) -> AuditResult:
    """Rank a scored run. held_out: ids that a trained run did not learn, int (n,)."""
    score, info = check_score(run, score), run.info
    view = as_view(target, run.name)
    evaluation, found = evaluate(view, k), suspects(view, score=score)
    timer.finish("rank")
    return AuditResult(
        dataset=as_dataset(target),
        run=run.name,
        score=score,
        suspects=found,
        evaluation=evaluation,
        noise=noise,
        validation_accuracy=info.get("validation_accuracy"),
        true_accuracy=_true_accuracy(view, held_out),
        stopped=info.get("stopped", False),
        seconds=timer.seconds,
        weakness=weakness(view),
        duplicates=_duplicate_counts(as_dataset(target)),
        training_note=training_note,
    )


def _duplicate_counts(dataset: Dataset) -> tuple[int, int, int] | None:
    found = duplicates(dataset)
    if found is None:
        return None
    groups = list_groups(dataset, CONFLICTS)
    return len(found.ids), len(groups), int(groups.exact.sum())


def _check_ranking(score: str | None, k: int | None) -> None:
    if score is not None:
        check_score_name(score)
    check_k(k)


def _finished_run(dataset: Dataset, run: str | Run | None) -> Run | None:
    """Return the run if its training is finished, else None."""
    if isinstance(run, Run):
        return run if run.state == FINISHED else None
    is_finished = run in dataset.runs and run not in dataset.unfinished_runs
    return dataset.run(run) if is_finished else None


def _with_first_look(task: Task, look: dict) -> Task:
    """Return a task with the first look in all its reports."""
    return replace(task, progress=lambda report: task.progress(replace(report, first_look=look)))


def _task_after_training(trained: Run, task: Task, keep_going: bool) -> Task:
    """Return the task for prediction and scoring.

    If training was stopped, the same stop must not end the next steps too.
    Raises StoppedError if training was stopped, unless keep_going.
    """
    info = trained.info
    if not info["stopped"]:
        return task
    if not keep_going:
        raise StoppedError(
            f"training was stopped after {info['epochs']} of {info['config']['epochs']} epochs: "
            f"run {trained.name!r} is stored, but has no predictions and scores yet."
        )
    return replace(task, stop=never)


@dataclass(frozen=True)
class _ScoringJob:
    """The second half of an audit: predict, score, rank."""

    target: Dataset | View
    trained: Run
    plan: Plan
    noise: noise_module.NoiseReport | None
    steps: cluster.Steps
    timer: StepTimer
    task: Task

    def run(self, score: str | None, k: int | None) -> AuditResult:
        target, run = self.target, self.trained.name
        device = self.trained.info["config"]["device"]
        self.steps.predict(target, run, device, self.task)
        self.timer.finish("predict")
        self.steps.compute_scores(as_dataset(target), run, task=self.task)
        self.timer.finish("score")
        held_out = self.plan.ids[self.plan.held_out]
        return _ranked_result(target, self.trained, self.noise, self.timer, score, k, held_out)


def _true_accuracy(view: View, held_out: np.ndarray) -> float | None:
    """Return the accuracy on held-out samples against their labels before noise.

    None without injected mistakes or held-out samples.
    """
    with view.steady():
        if noise_module.MISTAKE not in view.frame.tags or not len(held_out):
            return None
        before = noise_module.labels_before_noise(view.frame)
        at = view.frame.positions(held_out)
        return float((view.fields.predictions()[at] == before[at]).mean())
