"""Trains a model, and continues a training that was interrupted."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch

from ..core.errors import BadInputError, NotFoundError
from ..core.progress import QUIET, Task
from ..dataset.dataset import Dataset
from ..dataset.run_lifecycle import begin_run, refuse_second_training
from ..dataset.runs import Run, unfinished_runs
from ..dataset.target import Target, as_dataset, opened
from ..features.device import choose_device
from ..features.duplicates import ensure_duplicates
from ..features.image_batches import Images
from ..storage.schema import BEGUN
from .checkpoint import Checkpoint
from .config import TrainConfig
from .plan import Plan, image_size, make_plan
from .training import DivergedError, Training


def train(
    target: Target,
    run: str | None = None,
    config: TrainConfig | None = None,
    task: Task = QUIET,
) -> Run:
    """Train a model on a dataset or view; store the model and each sample's training dynamics.

    For a dataset, its training split is learned, and its other splits serve for validation. For a
    view, all of it is learned, and the dataset's test and validation samples outside the view serve
    for validation. If there are none, or nothing else, a share of the samples is held out. After
    each epoch all samples, learned or held out, are evaluated, and their margin and p(label) are
    added to the run. With config.folds = K > 1, K models are trained, each on all folds but one;
    the prediction of the model that did not learn a sample is recorded too
    (`Dynamics.out_margin`). Duplicates are searched for first, and lie in the same fold.

    run: name of the run, by default the next free one; an earlier run of that name is replaced when
    this one is finished.
    task: checked after every batch; a stopped run keeps its model and its finished epochs. If it is
    stopped before the first epoch ends, StoppedError is raised and nothing changes.
    If a kill or an error ends the training, the finished epochs stay: see `resume`.
    Images that cannot be read are left out, and counted in the run's notes.
    Raises LabelAuditError for fewer than two classes or samples, if no image can be read, and if
    the loss is not finite.
    """
    target = opened(target)
    config = config or TrainConfig()
    plan = make_plan(target, config)
    if config.folds > 1:  # a copy in another fold would reveal the label
        ensure_duplicates(Dataset(plan.frame.name), task)
        plan = make_plan(target, config)
    if run is not None:
        refuse_second_training(plan.frame, run)
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    size = image_size(plan.frame, plan.ids, config)
    images = _load_images(plan, size, config, device, task)
    new_run = begin_run(plan.frame, run)
    with new_run.training():
        return _train_to_end(plan, images, new_run, config, device, task)


def resume(
    dataset: Target,
    run: str | Run | None = None,
    task: Task = QUIET,
) -> Run:
    """Continue an interrupted training from the end of its last whole epoch.

    run: its name (see `dataset.unfinished_runs`), by default the one started last. On a CPU with
    `threads=1` the outcome equals that of an uninterrupted training. task: as in `train`.
    Raises NotFoundError if there is nothing to resume, BadInputError if the labels, samples or
    classes that it learned from were changed, and BusyError if another process trains it.
    """
    dataset = as_dataset(dataset, "resume_training")
    unfinished = run if isinstance(run, Run) else _unfinished_run(dataset, run)
    with unfinished.training():
        if unfinished.state != BEGUN:
            # left by a kill between finishing the run and deleting the checkpoint
            unfinished.checkpoint.unlink(missing_ok=True)
            raise NotFoundError(
                f"run {unfinished.name!r} of dataset {dataset.name!r} is already finished or "
                "deleted: there is nothing to resume."
            )
        saved = Checkpoint(unfinished.checkpoint)
        config = TrainConfig.from_dict(saved.state["config"])
        plan = saved.plan(dataset.view().frame)
        device = choose_device(config.device)
        images = _load_images(plan, saved.state["image_size"], config, device, task)
        # left by a kill between recording an epoch and writing its checkpoint
        unfinished.forget_dynamics_after(saved.epoch)
        return _train_to_end(plan, images, unfinished, config, device, task, saved)


def _unfinished_run(dataset: Dataset, name: str | None) -> Run:
    frame = dataset.view().frame
    if name is not None:
        refuse_second_training(frame, name)
    runs = unfinished_runs(frame)
    for run in reversed(runs):
        if name in (None, run.name):
            return run
    missing = "no run" if name is None else f"no run {name!r}"
    names = ", ".join(run.name for run in runs)
    others = f"choose one of {names}." if runs else "no training was interrupted after an epoch."
    raise NotFoundError(
        f"dataset {dataset.name!r} has {missing} that can be resumed here: {others}"
    )


def _load_images(plan: Plan, size: int, config: TrainConfig, device, task: Task) -> Images:
    """Raises LabelAuditError if no image to learn from can be read, or all are of one class."""
    images = Images(plan.frame, plan.ids, size)
    if images.nbytes <= config.memory_gb * 2**30:
        images.load(device, task)
    learned = images.readable(plan.learned)
    if not len(learned):
        raise images.nothing_readable()
    if len(np.unique(plan.labels[learned])) < 2:
        raise BadInputError(
            f"the {len(learned):,} samples to learn from with readable images are all of one "
            f"class, and training needs at least two: {images.note}."
        )
    return images


def _train_to_end(plan: Plan, images: Images, run: Run, *arguments) -> Run:
    """Train to the end. After an error, the run can be resumed if it has a checkpoint."""
    try:
        return Training(plan, images, run, *arguments).execute()
    except BaseException as error:
        if isinstance(error, DivergedError) or not run.checkpoint.exists():
            with suppress(Exception):  # the dataset may be deleted; the first error matters more
                run.abandon()
        raise
