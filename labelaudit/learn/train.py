"""Trains a model and records, after every epoch, what it thinks of every sample."""

from __future__ import annotations

import math
import time
from contextlib import suppress

import numpy as np
import torch

from ..core.errors import LabelAuditError, StoppedError
from ..core.progress import QUIET, Task
from ..dataset.dataset import Dataset
from ..dataset.run_lifecycle import begin_run, refuse_second_training
from ..dataset.runs import Run, unfinished_runs
from ..dataset.view import View
from ..features.device import choose_device
from ..features.duplicates import ensure_duplicates
from ..features.image_batches import Images, left_out
from ..storage.schema import BEGUN
from . import checkpoint
from .checkpoint import Checkpoint
from .compute import ThreadTuner, forward
from .config import SMALL, TrainConfig
from .learner import Learner
from .models import build_model, load_pretrained
from .plan import Plan, image_size, make_plan
from .sample_dynamics import Watched, class_medians, joined
from .saved_models import save_models
from .team import Alone

FIT_INPUT_IMAGES = 500  # enough to estimate pixel statistics
BACKWARD_COST = 3  # a training image costs about as much as three evaluated ones
MEDIANS = "class_medians"  # of a row of the curves: median p(label) of each class


def train(
    target: Dataset | View,
    run: str | None = None,
    config: TrainConfig | None = None,
    task: Task = QUIET,
) -> Run:
    """Train a model on a dataset or view; keep the model and each sample's training dynamics.

    Of a dataset its training split is learned, and its other splits serve for validation; of a
    view all of it, with the dataset's held-out splits that are not in the view. Where there is no
    such split, or nothing but it, a share of the samples is held out. After every epoch the
    logits of all of them, learned or held out, are taken in evaluation mode: margin and p(label)
    go to the run. With config.folds = K > 1 that many models learn, each all folds but one, and
    what the one that did not learn a sample says of it is recorded beside (`Dynamics.out_margin`);
    duplicates, which are looked for first, lie in one fold.

    run: its name, by default the next free one; an earlier run of that name is replaced once
    this one is finished.
    task: asked to stop after every batch; a stopped run keeps its model and its finished epochs.
    Before the first of them ends it raises StoppedError, and nothing changes.
    What ends it otherwise (a kill, a full disk) leaves the epochs finished till then: see `resume`.
    Images that cannot be read are left out, and counted in the run's notes.
    Raises LabelAuditError for fewer than two classes or samples, for images of which none can be
    read, and for a loss that is not finite.
    """
    config = config or TrainConfig()
    plan = make_plan(target, config)
    if config.folds > 1:  # a copy in another fold would give the label away
        ensure_duplicates(Dataset(plan.frame.name), task)
        plan = make_plan(target, config)
    if run is not None:
        refuse_second_training(plan.frame, run)
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    size = image_size(plan.frame, plan.ids, config)
    images = _images(plan, size, config, device, task)
    kept = begin_run(plan.frame, run)
    with kept.training():
        return _finished(plan, images, kept, config, device, task)


def resume(
    dataset: Dataset,
    run: str | Run | None = None,
    task: Task = QUIET,
) -> Run:
    """Go on with a training that was cut short, from the end of its last whole epoch.

    run: its name (`dataset.unfinished_runs` lists them), by default the one begun last. On a CPU
    with `threads=1` the outcome equals that of a training without a break. task: as in `train`.
    Raises LabelAuditError where the labels, samples or classes that it learned from were changed,
    and where another process trains it.
    """
    kept = run if isinstance(run, Run) else _unfinished(dataset, run)
    with kept.training():
        if kept.state != BEGUN:
            kept.checkpoint.unlink(missing_ok=True)  # killed between its end and this
            raise LabelAuditError(
                f"run {kept.name!r} of dataset {dataset.name!r} is not under way any more: there "
                "is nothing to resume."
            )
        saved = Checkpoint(kept.checkpoint)
        config = TrainConfig.from_dict(saved.state["config"])
        plan = saved.plan(dataset.view().frame)
        device = choose_device(config.device)
        images = _images(plan, saved.state["image_size"], config, device, task)
        kept.forget_dynamics_after(saved.epoch)  # recorded, but killed before the checkpoint
        return _finished(plan, images, kept, config, device, task, saved)


def _unfinished(dataset: Dataset, name: str | None) -> Run:
    frame = dataset.view().frame
    if name is not None:
        refuse_second_training(frame, name)
    runs = unfinished_runs(frame)
    for run in reversed(runs):
        if name in (None, run.name):
            return run
    names = ", ".join(run.name for run in runs)
    which = "no run" if name is None else f"no run {name!r}"
    raise LabelAuditError(
        f"dataset {dataset.name!r} has {which} that can be resumed here: "
        + (f"those that can are {names}." if runs else "no training was cut short after an epoch.")
    )


def _images(plan, size: int, config: TrainConfig, device, task) -> Images:
    images = Images(plan.frame, plan.ids, size)
    if images.nbytes <= config.memory_gb * 2**30:
        images.hold(device, task)
    learned = images.readable(plan.learned)
    if not len(learned):
        raise images.nothing_readable()
    if len(np.unique(plan.labels[learned])) < 2:
        raise LabelAuditError(
            f"the {len(learned):,} samples to learn from whose images can be read are all of one "
            f"class, and training needs two at least: {images.note}."
        )
    return images


def _finished(plan, images, kept: Run, *arguments) -> Run:
    """Train to the end. Where that fails, the run stays to be resumed if it can be."""
    try:
        return Training(plan, images, kept, *arguments).execute()
    except BaseException as error:
        if isinstance(error, DivergedError) or not kept.checkpoint.exists():
            with suppress(Exception):  # the dataset may be gone; what went wrong first counts
                kept.abandon()
        raise


class DivergedError(LabelAuditError):
    """The loss is not finite; resumed, it would come to the same."""


class Training:
    """One training: its learners, and where it is.

    Without folds one model learns all; with K folds K models learn, each all folds but its own.
    They go through the epochs side by side, so that any whole epoch is a place to stop.

    team: the processes that train together. Each has a share of the samples: `whole` is the plan of
    all, `own` the places in it of this one's, which `plan` and `images` are about. The first of
    them writes.
    """

    def __init__(
        self, plan, images, run, config, device, task, saved=None, *, team=None,
        whole=None, own=None,
    ) -> None:  # fmt: skip
        self.plan, self.images, self.run, self.config = plan, images, run, config
        self.device, self.task = device, task
        self.team, self.whole = team or Alone(), whole or plan
        self.own = np.arange(len(plan.ids)) if own is None else own
        self.marks = run.marks
        self.notes: list[str] = []
        self.curves: list[dict] = []
        self.threads = ThreadTuner(config.threads)
        self.loss: float | None = None
        self.recent_margin = np.full(len(plan.ids), np.nan)
        self.mirror, self.shift = config.mirror, round(config.shift * images.size)
        if saved:
            self.mirror, self.shift = saved.state["mirror"], saved.state["shift"]
        self.learners = [self._learner(k, fresh=saved is None) for k in range(config.folds)]
        self.looked_at = [images.readable(plan.looked_at_by(k)) for k in range(config.folds)]
        self.steps = sum(learner.steps for learner in self.learners)
        if saved:
            checkpoint.restore(self, saved)
        self.seconds = self.curves[-1]["seconds"] if self.curves else 0.0  # before this process
        learned = sum(learner.steps * learner.batch_size for learner in self.learners)
        everything = sum(map(len, self.looked_at)) + BACKWARD_COST * learned
        self.meter = task.stage(
            "training",
            config.epochs * everything,
            done=len(self.curves) * everything,
            seconds=self.seconds,
            stoppable=False,  # the finished epochs are kept
        )

    def execute(self) -> Run:
        started = time.monotonic() - self.seconds
        stopped = False
        first = len(self.curves) + 1
        self.meter.report(**self._details(min(first, self.config.epochs), 0))
        for epoch in range(first, self.config.epochs + 1):
            if not self._learn(epoch) or not self._record(epoch, time.monotonic() - started):
                if not self.curves:
                    raise StoppedError(
                        "Training was stopped before the first epoch ended: nothing of it is kept."
                    )
                stopped = True
                break
            self.keep_epoch()
            self.meter.report(**self._details(epoch, self.steps))
        self.meter.name = "saving"
        self.meter.report(**self._details(len(self.curves), self.steps))
        self._save(stopped)
        return self.run

    def keep_epoch(self) -> None:
        """Leave what it takes to go on from the end of this epoch."""
        parts = self.team.gathered((self.own, self.recent_margin))
        if parts is not None:
            self.recent_margins = joined(parts, len(self.whole.ids))[0]
            checkpoint.write(self)

    def keep_model(self, models: list[torch.nn.Module], info: dict | None) -> None:
        """The end. info: None for all but the first of the team."""
        save_models(self.run, models, info)

    def epoch_begins(self, epoch: int) -> None:
        """Before anything of it."""
        self.threads.epoch_begins()

    def _learner(self, fold: int, fresh: bool) -> Learner:
        model = build_model(self.config, len(self.plan.classes))
        rng = np.random.default_rng([self.config.seed, fold] if fold else self.config.seed)
        places = self.images.readable(self.plan.learned_by(fold))
        if fresh:  # else it will be filled from a checkpoint
            some = rng.permutation(places)[:FIT_INPUT_IMAGES]
            _, sample = next(self.images.batches(some, len(some)), (None, None))
            if sample is None:
                raise self.images.nothing_readable()
            if self.mirror is None:  # grey images have three equal channels
                self.mirror = bool((sample[:, 0] != sample[:, 1]).any())
            self.mirror = self.team.first(self.mirror)
            self._fill(model, sample)
        return Learner(model.to(self.device), places, self.plan.labels, self.config, self.device,
                       rng, self.shift, self.mirror, self.team)  # fmt: skip

    def _fill(self, model: torch.nn.Module, sample: torch.Tensor) -> None:
        if self.config.model == SMALL:
            model.fit_input(sample.cpu())
        elif self.config.pretrained and (note := load_pretrained(model, self.config.model)):
            self.notes += [] if note in self.notes else [note]

    # --- one epoch ---

    def _learn(self, epoch: int) -> bool:
        """One pass of every learner over its samples. False if a stop was asked for."""
        self.epoch_begins(epoch)
        losses: list[float] = []
        step = 0
        for learner in self.learners:
            order, size = learner.order(epoch, self.recent_margin), learner.batch_size
            for share, places, batch in self._batches(order, size):
                step += 1
                if not self._step(learner, places, batch, epoch, step, share):
                    return False
                losses.append(self.loss)
            spared = learner.steps * size - len(order)
            self.meter.advance(BACKWARD_COST * max(spared, 0), **self._details(epoch, step))
        if not losses:  # their disk is gone
            raise self.images.nothing_readable()
        self.loss = float(np.mean(losses))
        return True

    def _batches(self, order: np.ndarray, size: int):
        """Yield (share of the epoch, places, images) to learn; of a team as many for each, with the
        same share: they wait for each other at each step, and their weights stay equal."""
        if self.team.size == 1:
            for i, batch in enumerate(self.images.batches(order, size)):
                yield min((i + 0.5) * size / len(order), 1), *batch
            return
        steps = self.team.least(-(-len(order) // size))
        batches, last = self.images.batches(order, size), None
        for i in range(steps):
            last = next(batches, last)  # of some no image could be read
            if last is None:
                raise self.images.nothing_readable()
            yield (i + 0.5) / steps, *last

    def _step(self, learner: Learner, places, batch, epoch: int, step: int, share: float) -> bool:
        self.threads.step_begins()
        done = (epoch - 1 + share) / self.config.epochs
        self.loss = self.team.mean(learner.learn(places, batch.to(self.device), done))
        self.threads.step_ends()
        if not math.isfinite(self.loss):
            raise DivergedError(
                f"the loss became {self.loss} in epoch {epoch}, step {step}: "
                f"train again with a lower learning rate."
            )
        self.meter.advance(BACKWARD_COST * len(places), **self._details(epoch, step))
        return not self.team.any(self.task.stop())

    # --- after each epoch ---

    def _record(self, epoch: int, seconds: float) -> bool:
        """Take the samples' logits from the averaged models; store margin and p(label).

        False, with nothing stored, if a stop was asked for.
        """
        watched, alone = Watched(self.plan), self.team.size == 1
        for fold, learner in enumerate(self.learners):
            self.team.same(learner.average)
            for at, logits in forward(
                learner.average, self.images, self.looked_at[fold], self.device
            ):
                watched.add(fold, at, logits)
                self.meter.advance(len(at), **self._details(epoch, self.steps))
                if alone and self.task.stop():
                    return False
        if not alone and self.team.any(self.task.stop()):
            return False
        outside = np.isfinite(watched.out_margin)
        margin = np.where(outside, watched.out_margin, watched.margin)
        before = np.where(np.isnan(self.recent_margin), margin, self.recent_margin)
        self.recent_margin = (before + margin) / 2
        parts = self.team.gathered((self.own, *watched.measures, watched.right))
        row = None if parts is None else self._write_epoch(epoch, parts, seconds)
        self.curves.append(self.team.first(row))
        return True

    def _write_epoch(self, epoch: int, parts: list, seconds: float) -> dict:
        """What the team saw of all samples, into the run. Returns the epoch's row of the curves."""
        plan = self.whole
        *measures, right = joined(parts, len(plan.ids))
        self.run.append_dynamics(
            epoch, plan.ids, plan.labels, *measures, fold=plan.fold if plan.folds > 1 else None
        )
        margin, p_label = measures[:2]
        seen = np.isfinite(margin)
        return {
            "epoch": epoch,
            "loss": self.loss,
            "train_accuracy": _share(right[plan.learned][seen[plan.learned]]),
            "validation_accuracy": _share(right[plan.held_out][seen[plan.held_out]]),
            "seconds": seconds,
            MEDIANS: class_medians(p_label[seen], plan.labels[seen], len(plan.classes)),
        }

    def _details(self, epoch: int, step: int) -> dict:
        last = self.curves[-1]["validation_accuracy"] if self.curves else None
        return {
            "epoch": epoch, "epochs": self.config.epochs, "step": step, "steps": self.steps,
            "loss": self.loss, "accuracy": last, "curves": self._plain_curves(),
            "run": self.marks,
        }  # fmt: skip

    def _plain_curves(self) -> list[dict]:
        """The curves of the whole: those of a thousand classes are too much to report each time."""
        return [{k: v for k, v in row.items() if k != MEDIANS} for row in self.curves]

    def _save(self, stopped: bool) -> None:
        parts = self.team.gathered((self.own, self.images.unreadable, self.images.example))
        models = [learner.average for learner in self.learners]
        self.keep_model(models, None if parts is None else self._info(stopped, parts))

    def _info(self, stopped: bool, parts: list) -> dict:
        """What the run says of itself."""
        last, plan = self.curves[-1] if self.curves else {}, self.whole
        (unread,) = joined([part[:2] for part in parts], len(plan.ids))
        learned = plan.learned[~unread[plan.learned]]
        untaught = plan.untaught_by(learned)
        example = next((part[2] for part in parts if part[2]), "")
        notes = [left_out(int(unread.sum()), len(plan.ids), example)] if unread.any() else []
        return {
            "classes": plan.classes,
            "config": self.config.to_dict(),
            "image_size": self.images.size,
            "shift": self.shift,
            "mirror": self.mirror,
            "epochs": len(self.curves),
            "stopped": stopped,
            "learned": len(learned),
            "held_out": int((~unread[plan.held_out]).sum()),
            "unreadable": int(unread.sum()),
            "validation_accuracy": last.get("validation_accuracy"),
            "seconds": last.get("seconds"),
            "curves": self._plain_curves(),
            "class_curves": [row[MEDIANS] for row in self.curves],
            "untaught": untaught,
            "notes": self.notes + notes + _about_untaught(plan, untaught),
        }


def _share(right: np.ndarray) -> float | None:
    return float(right.mean()) if len(right) else None


def _about_untaught(plan: Plan, untaught: list[str]) -> list[str]:
    """Of those classes that some sample has."""
    had = {plan.classes[code] for code in np.unique(plan.labels)}
    classes = [name for name in untaught if name in had]
    if not classes:
        return []
    names = ", ".join(map(repr, classes[:10])) + (" …" if len(classes) > 10 else "")
    return [f"no sample of class {names} was learned, so those that have it get no score"]
