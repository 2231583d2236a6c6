"""A training in progress: its epochs, their training dynamics, checkpoints, and the result."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import torch

from ..core.errors import LabelAuditError, StoppedError
from ..core.progress import Task
from ..dataset.runs import Run
from ..features.image_batches import Images, unreadable_note
from . import checkpoint
from .checkpoint import Checkpoint
from .config import SMALL, TrainConfig
from .epoch_measures import EpochMeasures, class_medians, merge
from .forward import forward
from .model_trainer import ModelTrainer
from .models import build_model, load_pretrained
from .plan import Plan
from .process_group import ProcessGroup
from .saved_models import save_models
from .thread_tuner import ThreadTuner

FIT_INPUT_IMAGES = 500  # enough to estimate pixel statistics
BACKWARD_COST = 3  # a training image costs about as much as three evaluated images
MEDIANS = "class_medians"  # of a row of the curves: median p(label) of each class
NAMED_CLASSES = 10  # classes that a note names


class DivergedError(LabelAuditError):
    """The loss is not finite. Resuming would lead to the same loss, so there is no checkpoint."""


class Training:
    """A training: its models and their progress.

    Without folds, one model learns all samples. With K folds, K models learn all folds but one
    each. They advance epoch by epoch together, so that the training can stop after any epoch.

    group: the processes that train together. Each has a share of the samples: `plan` and `images`
    contain the share, `full_plan` all samples, and `own_places`, int64, the places of the share in
    the full plan. Only the first process writes.
    """

    def __init__(
        self,
        plan: Plan,
        images: Images,
        run: Run,
        config: TrainConfig,
        device: torch.device,
        task: Task,
        saved: Checkpoint | None = None,
        *,
        group: ProcessGroup | None = None,
        full_plan: Plan | None = None,
        own_places: np.ndarray | None = None,
    ) -> None:
        self.plan, self.images, self.run, self.config = plan, images, run, config
        self.device, self.task = device, task
        self.group, self.full_plan = group or ProcessGroup(), full_plan or plan
        self.own_places = np.arange(len(plan.ids)) if own_places is None else own_places
        self.marks = run.marks
        self.notes: list[str] = []
        self.curves: list[dict] = []
        self.threads = ThreadTuner(config.threads)
        self.loss: float | None = None
        self.recent_margin = np.full(len(plan.ids), np.nan)
        self.mirror, self.shift = config.mirror, round(config.shift * images.size)
        if saved:
            self.mirror, self.shift = saved.state["mirror"], saved.state["shift"]
        self.trainers = [self._trainer(k, is_new=saved is None) for k in range(config.folds)]
        self.evaluated = [images.readable(plan.evaluated_by(k)) for k in range(config.folds)]
        self.steps = sum(trainer.steps for trainer in self.trainers)
        if saved:
            checkpoint.restore(self, saved)
        self.seconds = self.curves[-1]["seconds"] if self.curves else 0.0  # before this process
        learned = sum(trainer.steps * trainer.batch_size for trainer in self.trainers)
        cost = sum(map(len, self.evaluated)) + BACKWARD_COST * learned
        self.stage = task.stage(
            "training",
            config.epochs * cost,
            done=len(self.curves) * cost,
            seconds=self.seconds,
            stoppable=False,  # the finished epochs are kept
        )

    def execute(self) -> Run:
        """Train the remaining epochs, and finish the run.

        Raises StoppedError after a stop in the first epoch; later stops end the training early.
        """
        started = time.monotonic() - self.seconds
        stopped = False
        first = len(self.curves) + 1
        self.stage.report(**self._details(min(first, self.config.epochs), 0))
        for epoch in range(first, self.config.epochs + 1):
            if not self._learn(epoch) or not self._record(epoch, time.monotonic() - started):
                if not self.curves:
                    raise StoppedError(
                        "Training was stopped before the first epoch ended, and nothing was stored."
                    )
                stopped = True
                break
            self.save_epoch()
            self.stage.report(**self._details(epoch, self.steps))
        self.stage.name = "saving"
        self.stage.report(**self._details(len(self.curves), self.steps))
        self._save(stopped)
        return self.run

    # --- steps that a training on several machines does differently ---

    def begin_epoch(self, epoch: int) -> None:
        """Prepare an epoch."""
        self.threads.begin_epoch()

    def save_epoch(self) -> None:
        """Write a checkpoint at the end of an epoch."""
        parts = self.group.gather((self.own_places, self.recent_margin))
        if parts is not None:
            (recent_margin,) = merge(parts, len(self.full_plan.ids))
            checkpoint.write(self, recent_margin)

    def save_result(self, models: list[torch.nn.Module], info: dict | None) -> None:
        """Finish the run. info: None in all processes but the first."""
        save_models(self.run, models, info)

    # --- models ---

    def _trainer(self, fold: int, is_new: bool) -> ModelTrainer:
        """is_new: initialise the model; otherwise a checkpoint will."""
        model = build_model(self.config, len(self.plan.classes))
        rng = np.random.default_rng([self.config.seed, fold] if fold else self.config.seed)
        places = self.images.readable(self.plan.learned_by(fold))
        if is_new:
            some = rng.permutation(places)[:FIT_INPUT_IMAGES]
            _, sample = next(self.images.batches(some, len(some)), (None, None))
            if sample is None:
                raise self.images.nothing_readable()
            if self.mirror is None:  # only colour images: grey ones have three equal channels
                self.mirror = bool((sample[:, 0] != sample[:, 1]).any())
            self.mirror = self.group.first(self.mirror)
            self._initialise(model, sample)
        return ModelTrainer(
            model.to(self.device),
            places,
            self.plan.labels,
            self.config,
            self.device,
            rng,
            self.shift,
            self.mirror,
            self.group,
        )

    def _initialise(self, model: torch.nn.Module, sample: torch.Tensor) -> None:
        if self.config.model == SMALL:
            model.fit_input(sample.cpu())
        elif self.config.pretrained and (note := load_pretrained(model, self.config.model)):
            self.notes += [] if note in self.notes else [note]

    # --- one epoch ---

    def _learn(self, epoch: int) -> bool:
        """Train every model on its samples once. Returns False after a stop."""
        self.begin_epoch(epoch)
        losses: list[float] = []
        step = 0
        for trainer in self.trainers:
            order, size = trainer.order(epoch, self.recent_margin), trainer.batch_size
            for share, places, batch in self._batches(order, size):
                step += 1
                if not self._step(trainer, places, batch, epoch, step, share):
                    return False
                losses.append(self.loss)
            left_out = trainer.steps * size - len(order)
            self.stage.advance(BACKWARD_COST * max(left_out, 0), **self._details(epoch, step))
        if not losses:  # for example after a disk was removed
            raise self.images.nothing_readable()
        self.loss = float(np.mean(losses))
        return True

    def _batches(
        self, order: np.ndarray, size: int
    ) -> Iterator[tuple[float, np.ndarray, torch.Tensor]]:
        """Yield (finished share of the epoch, places, images).

        The processes of a group get equally many batches with equal shares: they wait for each
        other in each step, and their weights stay equal.
        """
        batches = self.images.batches(order, size)
        if self.group.size == 1:
            for i, batch in enumerate(batches):
                yield min((i + 0.5) * size / len(order), 1), *batch
            return
        steps, last = self.group.minimum(-(-len(order) // size)), None
        for i in range(steps):
            last = next(batches, last)  # repeats a batch if images could not be read
            if last is None:
                raise self.images.nothing_readable()
            yield (i + 0.5) / steps, *last

    def _step(
        self,
        trainer: ModelTrainer,
        places: np.ndarray,
        batch: torch.Tensor,
        epoch: int,
        step: int,
        share: float,
    ) -> bool:
        """Train on one batch. Returns False after a stop."""
        self.threads.begin_step()
        done = (epoch - 1 + share) / self.config.epochs
        self.loss = self.group.mean(trainer.step(places, batch.to(self.device), done))
        self.threads.end_step()
        if not math.isfinite(self.loss):
            raise DivergedError(
                f"the loss became {self.loss} in epoch {epoch}, step {step}: "
                f"train again with a lower learning rate."
            )
        self.stage.advance(BACKWARD_COST * len(places), **self._details(epoch, step))
        return not self.group.any(self.task.stop())

    # --- after each epoch ---

    def _record(self, epoch: int, seconds: float) -> bool:
        """Evaluate the samples with the averaged models, and store margin and p(label).

        Returns False after a stop, with nothing stored.
        """
        measured = EpochMeasures(self.plan)
        is_single = self.group.size == 1
        for fold, trainer in enumerate(self.trainers):
            self.group.synchronise(trainer.average)
            batches = forward(trainer.average, self.images, self.evaluated[fold], self.device)
            for places, logits in batches:
                measured.add(fold, places, logits)
                self.stage.advance(len(places), **self._details(epoch, self.steps))
                if is_single and self.task.stop():
                    return False
        if not is_single and self.group.any(self.task.stop()):
            return False
        has_out = np.isfinite(measured.out_margin)
        margin = np.where(has_out, measured.out_margin, measured.margin)
        before = np.where(np.isnan(self.recent_margin), margin, self.recent_margin)
        self.recent_margin = (before + margin) / 2
        parts = self.group.gather((self.own_places, *measured.measures, measured.correct))
        row = None if parts is None else self._write_epoch(epoch, parts, seconds)
        self.curves.append(self.group.first(row))
        return True

    def _write_epoch(self, epoch: int, parts: list, seconds: float) -> dict:
        """Add the measures of all processes to the run. Returns the epoch's row of the curves."""
        plan = self.full_plan
        *measures, correct = merge(parts, len(plan.ids))
        fold = plan.fold if plan.folds > 1 else None
        self.run.append_dynamics(epoch, plan.ids, plan.labels, *measures, fold=fold)
        margin, p_label = measures[:2]
        measured = np.isfinite(margin)
        return {
            "epoch": epoch,
            "loss": self.loss,
            "train_accuracy": _share(correct[plan.learned][measured[plan.learned]]),
            "validation_accuracy": _share(correct[plan.held_out][measured[plan.held_out]]),
            "seconds": seconds,
            MEDIANS: class_medians(p_label[measured], plan.labels[measured], len(plan.classes)),
        }

    def _details(self, epoch: int, step: int) -> dict:
        """Return further fields of the progress report."""
        last = self.curves[-1]["validation_accuracy"] if self.curves else None
        return {
            "epoch": epoch,
            "epochs": self.config.epochs,
            "step": step,
            "steps": self.steps,
            "loss": self.loss,
            "accuracy": last,
            "curves": self._overall_curves(),
            "run": self.marks,
        }

    def _overall_curves(self) -> list[dict]:
        """Return the curves without those of the classes, which are too long for a report."""
        return [{k: v for k, v in row.items() if k != MEDIANS} for row in self.curves]

    # --- the result ---

    def _save(self, stopped: bool) -> None:
        part = (self.own_places, self.images.unreadable, self.images.example)
        parts = self.group.gather(part)
        models = [trainer.average for trainer in self.trainers]
        self.save_result(models, None if parts is None else self._info(stopped, parts))

    def _info(self, stopped: bool, parts: list) -> dict:
        """Return the info of the run."""
        last, plan = self.curves[-1] if self.curves else {}, self.full_plan
        (unreadable,) = merge([part[:2] for part in parts], len(plan.ids))
        learned = plan.learned[~unreadable[plan.learned]]
        not_learned = plan.classes_missing_in(learned)
        example = next((part[2] for part in parts if part[2]), "")
        count = int(unreadable.sum())
        notes = [unreadable_note(count, len(plan.ids), example)] if count else []
        return {
            "classes": plan.classes,
            "config": self.config.to_dict(),
            "image_size": self.images.size,
            "shift": self.shift,
            "mirror": self.mirror,
            "epochs": len(self.curves),
            "stopped": stopped,
            "learned": len(learned),
            "held_out": int((~unreadable[plan.held_out]).sum()),
            "unreadable": count,
            "validation_accuracy": last.get("validation_accuracy"),
            "seconds": last.get("seconds"),
            "curves": self._overall_curves(),
            "class_curves": [row[MEDIANS] for row in self.curves],
            "untaught": not_learned,
            "notes": self.notes + notes + _class_notes(plan, not_learned),
        }


def _share(correct: np.ndarray) -> float | None:
    return float(correct.mean()) if len(correct) else None


def _class_notes(plan: Plan, not_learned: list[str]) -> list[str]:
    """Return a note about classes that samples have but no model learned."""
    used = {plan.classes[code] for code in np.unique(plan.labels)}
    classes = [name for name in not_learned if name in used]
    if not classes:
        return []
    more = " …" if len(classes) > NAMED_CLASSES else ""
    names = ", ".join(map(repr, classes[:NAMED_CLASSES])) + more
    return [f"no sample of class {names} was learned, so samples with this label get no score"]
