"""Trains a model and records, after every epoch, what it thinks of every sample."""

from __future__ import annotations

import copy
import math
import time
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..dataset import Dataset
from ..errors import LabelAuditError, StoppedError
from ..frame import MISSING, Frame
from ..progress import Meter, ProgressCallback, StopCheck, ignore, never
from ..runs import Run, begin_run
from ..schema import HELD_OUT_SPLITS, REMOVED
from ..scores.probability import best_other, of_label, probabilities
from ..view import View
from .compute import Copy, ThreadTuner, autocast, choose_device, forward
from .config import SMALL, SMALL_SIZES, TrainConfig
from .images import Images
from .models import build_model, load_pretrained
from .saved import save_model

FIT_INPUT_IMAGES = 500  # enough to estimate pixel statistics
BACKWARD_COST = 3  # a training image costs about as much as three evaluated ones
MEDIANS = "class_medians"  # of a row of the curves: median p(label) of each class
SIZE_PROBE = 16  # images opened to learn their size, where the dataset does not know it


def train(
    target: Dataset | View,
    run: str | None = None,
    config: TrainConfig | None = None,
    progress: ProgressCallback = ignore,
    stop: StopCheck = never,
) -> Run:
    """Train a model on a dataset or view; keep the model and each sample's training dynamics.

    Of a dataset its training split is learned, and its other splits serve for validation; of a
    view all of it, with the dataset's held-out splits that are not in the view. Where there is no
    such split, or nothing but it, a share of the samples is held out. After every epoch the
    logits of all of them, learned or held out, are taken in evaluation mode: margin and p(label)
    go to the run.

    run: its name, by default the next free one; an earlier run of that name is replaced once
    this one is finished.
    stop: asked after every step; a stopped run keeps its model and its finished epochs. Before the
    first of them ends it raises StoppedError, and nothing changes.
    Raises LabelAuditError for fewer than two classes or samples, or a loss that is not finite.
    """
    config = config or TrainConfig()
    plan = make_plan(target, config)
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    images = Images(plan.frame, plan.ids, image_size(plan.frame, plan.ids, config))
    if images.nbytes <= config.memory_gb * 2**30:
        images.hold(device, progress, stop)
    kept = begin_run(plan.frame, run)
    try:
        return _Training(plan, images, kept, config, device, progress, stop).execute()
    except BaseException:
        with suppress(Exception):  # the dataset may be gone; what went wrong first is what counts
            kept.abandon()
        raise


@dataclass(frozen=True)
class Plan:
    """Which samples are learned and which held out. Places count within `ids`."""

    frame: Frame
    classes: list[str]  # as they are now: more may be added while a model learns
    ids: np.ndarray  # of all labelled samples that take part, sorted
    labels: np.ndarray  # int64, their given classes
    learned: np.ndarray  # places
    held_out: np.ndarray  # places


def make_plan(target: Dataset | View, config: TrainConfig) -> Plan:
    view = target.view() if isinstance(target, Dataset) else target
    with view.store.steady():
        return _plan(view, isinstance(target, Dataset), config)


def _plan(view: View, whole: bool, config: TrainConfig) -> Plan:
    frame = view.frame
    removed = frame.tags.get(REMOVED, np.zeros(len(frame.ids), bool))
    labelled = (frame.label != MISSING) & ~removed
    chosen = np.sort(view.positions())
    chosen = chosen[labelled[chosen]]
    codes, names = frame.split()
    others = [code for code, name in enumerate(names) if name.lower() in HELD_OUT_SPLITS]
    evaluation = np.flatnonzero(np.isin(codes, others) & labelled)
    if whole and len(np.setdiff1d(chosen, evaluation)):
        chosen = np.setdiff1d(chosen, evaluation)
    held_out = np.setdiff1d(evaluation, chosen)
    if not len(chosen):
        raise LabelAuditError(
            f"nothing to learn from: no sample of {frame.store.name!r} that was chosen has a label."
        )
    if not len(held_out):
        rng = np.random.default_rng(config.seed)
        count = min(max(round(config.hold_out * len(chosen)), 1), len(chosen) - 1)
        held_out = np.sort(rng.choice(chosen, count, replace=False))
        chosen = np.setdiff1d(chosen, held_out)
    if len(np.unique(frame.label[chosen])) < 2:
        raise LabelAuditError(
            f"the {len(chosen):,} samples to learn from are all of one class: "
            "training needs at least two."
        )
    positions = np.sort(np.concatenate([chosen, held_out]))
    return Plan(
        frame,
        frame.classes,
        frame.ids[positions],
        frame.label[positions].astype(np.int64),
        np.searchsorted(positions, chosen),
        np.searchsorted(positions, held_out),
    )


def image_size(frame: Frame, ids: np.ndarray, config: TrainConfig) -> int:
    """Pixels a side that the model gets: as asked, else as most images are, within bounds."""
    if config.image_size:
        return config.image_size
    low, high = SMALL_SIZES if config.model == SMALL else (32, 224)
    positions = frame.positions(ids)
    width = frame.number("samples", "width", MISSING)[positions]
    height = frame.number("samples", "height", MISSING)[positions]
    sides = np.maximum(width, height)[width != MISSING]
    if not len(sides):
        probe = View(frame).select(ids[:SIZE_PROBE])
        sides = np.array([max(sample.image.size) for sample in probe])
    return int(np.clip(np.median(sides), low, high))


class _Training:
    """One training: its model, its running average, and where it is."""

    def __init__(self, plan, images, run, config, device, progress, stop) -> None:
        self.plan, self.images, self.run, self.config = plan, images, run, config
        self.device, self.stop = device, stop
        self.rng = np.random.default_rng(config.seed)
        self.labels = torch.from_numpy(plan.labels).to(device)
        self.notes: list[str] = []
        self.curves: list[dict] = []
        self.batch_size = min(config.batch_size, len(plan.learned))
        self.steps = max(len(plan.learned) // self.batch_size, 1)
        self.threads = ThreadTuner(config.threads)
        self.model = self._build()
        self.average = copy.deepcopy(self.model)
        self.optimizer, self.rate = self._optimizer()
        self.updates = 0
        everything = len(plan.ids) + BACKWARD_COST * self.steps * self.batch_size
        self.meter = Meter("training", config.epochs * everything, progress, interval=0.2)
        self.loss: float | None = None
        self.recent_margin = np.full(len(plan.ids), np.nan)

    def execute(self) -> Run:
        started = time.monotonic()
        stopped = False
        self.meter.report(**self._details(1, 0))
        for epoch in range(1, self.config.epochs + 1):
            if not self._learn(epoch):
                if not self.curves:
                    raise StoppedError(
                        "Training was stopped before the first epoch ended: nothing of it is kept."
                    )
                stopped = True
                break
            self._record(epoch, time.monotonic() - started)
        self._save(stopped)
        return self.run

    # --- before ---

    def _build(self) -> torch.nn.Module:
        model = build_model(self.config, len(self.plan.classes))
        some = self.rng.permutation(self.plan.learned)[:FIT_INPUT_IMAGES]
        _, sample = next(self.images.batches(some, len(some)))
        self.mirror = self.config.mirror
        if self.mirror is None:  # grey images have three equal channels
            self.mirror = bool((sample[:, 0] != sample[:, 1]).any())
        self.shift = round(self.config.shift * self.images.size)
        if self.config.model == SMALL:
            model.fit_input(sample.cpu())
        elif self.config.pretrained and (note := load_pretrained(model, self.config.model)):
            self.notes.append(note)
        return model.to(self.device)

    def _optimizer(self):
        rate = self.config.learning_rate or (0.1 if self.config.model == SMALL else 0.01)
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        optimizer = torch.optim.SGD(
            weights, lr=rate, momentum=self.config.momentum, nesterov=self.config.momentum > 0,
            weight_decay=self.config.weight_decay,
        )  # fmt: skip
        return optimizer, rate

    def _set_rate(self, done: float) -> None:
        """One cycle: a straight line up, then down to nothing. done: share of the training."""
        up = self.config.warmup
        share = done / up if done < up else (1 - done) / max(1 - up, 1e-9)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * share

    # --- one epoch ---

    def _learn(self, epoch: int) -> bool:
        """One pass over the learned samples. False if a stop was asked for."""
        self.model.train()
        self.threads.epoch_begins()
        order = self.rng.permutation(self._worth_learning(epoch))
        order = order[: max(len(order) // self.batch_size, 1) * self.batch_size]
        losses = []
        for step, (places, batch) in enumerate(self.images.batches(order, self.batch_size), 1):
            self.threads.step_begins()
            share_of_epoch = (step - 0.5) * self.batch_size / len(order)
            self._set_rate((epoch - 1 + min(share_of_epoch, 1)) / self.config.epochs)
            losses.append(self._step(places, batch.to(self.device)))
            self.threads.step_ends()
            self.loss = losses[-1]
            if not math.isfinite(self.loss):
                raise LabelAuditError(
                    f"the loss became {self.loss} in epoch {epoch}, step {step}: "
                    f"train again with a lower learning rate."
                )
            self.meter.advance(BACKWARD_COST * len(places), **self._details(epoch, step))
            if self.stop():
                return False
        self.loss = float(np.mean(losses))
        spared = self.steps * self.batch_size - len(order)
        self.meter.advance(BACKWARD_COST * max(spared, 0), **self._details(epoch, self.steps))
        return True

    def _worth_learning(self, epoch: int) -> np.ndarray:
        """Places to learn this epoch: all, later only those that the net does not contradict."""
        learned, config = self.plan.learned, self.config
        if epoch - 1 <= config.leave_out_after * config.epochs:
            return learned
        keep = self.recent_margin[learned] >= config.leave_out_below
        labels = self.plan.labels[learned]
        share = np.bincount(labels, weights=keep) / np.maximum(np.bincount(labels), 1)
        return learned[keep | (share < 1 - config.leave_out_share)[labels]]

    def _step(self, places: np.ndarray, batch: torch.Tensor) -> float:
        labels = self.labels[torch.from_numpy(places).to(self.device)]
        with autocast(self.device):
            logits = self.model(self._augmented(batch))
        loss = F.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.updates += 1
        self._follow()
        return loss.item()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged weights towards the model's; faster in the first steps."""
        keep = min(self.config.average, self.updates / (self.updates + 10))
        followers, leaders = self.average.state_dict(), self.model.state_dict()
        floats = [key for key, value in leaders.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [followers[key] for key in floats], [leaders[key] for key in floats], 1 - keep
        )

    def _augmented(self, batch: torch.Tensor) -> torch.Tensor:
        """A batch shifted together, and mirrored one by one. float32 (n, 3, S, S)."""
        batch, shift = batch.float(), self.shift
        if shift:
            batch = Copy(*self.rng.integers(-shift, shift + 1, 2).tolist()).of(batch)
        if self.mirror:
            flip = torch.from_numpy(self.rng.random(len(batch)) < 0.5).to(self.device)
            batch = torch.where(flip[:, None, None, None], batch.flip(3), batch)
        return batch

    # --- after each epoch ---

    def _record(self, epoch: int, seconds: float) -> None:
        """Take every sample's logits from the averaged model; store margin and p(label)."""
        count = len(self.plan.ids)
        margin, p_label = np.empty(count, np.float32), np.empty(count, np.float32)
        right = np.empty(count, bool)
        for at, logits in forward(self.average, self.images, np.arange(count), self.device):
            labels = self.plan.labels[at]
            margin[at] = of_label(logits, labels) - best_other(logits, labels)
            p_label[at] = of_label(probabilities(logits), labels)
            right[at] = logits.argmax(axis=1) == labels
            self.meter.advance(len(at), **self._details(epoch, self.steps))
        before = np.where(np.isnan(self.recent_margin), margin, self.recent_margin)
        self.recent_margin = (before + margin) / 2
        self.run.append_dynamics(epoch, self.plan.ids, self.plan.labels, margin, p_label)
        self.curves.append(
            {
                "epoch": epoch,
                "loss": self.loss,
                "train_accuracy": float(right[self.plan.learned].mean()),
                "validation_accuracy": float(right[self.plan.held_out].mean()),
                "seconds": seconds,
                MEDIANS: class_medians(p_label, self.plan.labels, len(self.plan.classes)),
            }
        )
        self.meter.report(**self._details(epoch, self.steps))

    def _details(self, epoch: int, step: int) -> dict:
        last = self.curves[-1]["validation_accuracy"] if self.curves else None
        return {
            "epoch": epoch, "epochs": self.config.epochs, "step": step, "steps": self.steps,
            "loss": self.loss, "accuracy": last, "curves": self._plain_curves(),
        }  # fmt: skip

    def _plain_curves(self) -> list[dict]:
        """The curves of the whole: those of a thousand classes are too much to report each time."""
        return [{k: v for k, v in row.items() if k != MEDIANS} for row in self.curves]

    def _save(self, stopped: bool) -> None:
        last = self.curves[-1] if self.curves else {}
        info = {
            "classes": self.plan.classes,
            "config": self.config.to_dict(),
            "image_size": self.images.size,
            "shift": self.shift,
            "mirror": self.mirror,
            "epochs": len(self.curves),
            "stopped": stopped,
            "learned": len(self.plan.learned),
            "held_out": len(self.plan.held_out),
            "validation_accuracy": last.get("validation_accuracy"),
            "seconds": last.get("seconds"),
            "curves": self._plain_curves(),
            "class_curves": [row[MEDIANS] for row in self.curves],
            "notes": self.notes,
        }
        save_model(self.run, self.average, info)


def class_medians(p_label: np.ndarray, labels: np.ndarray, classes: int) -> list[float | None]:
    """Median p(label) of the samples given each class, to four digits; None for an empty class.

    p_label: float (n,). labels: int (n,), 0 … classes - 1.
    """
    order = np.lexsort((p_label, labels))
    ends = np.cumsum(np.bincount(labels, minlength=classes))
    starts = np.concatenate([[0], ends[:-1]])
    lower, upper = (starts + ends - 1) // 2, (starts + ends) // 2
    there = starts < ends
    inside = order[np.stack([lower, upper])[:, there]]
    medians = np.full(classes, np.nan)
    medians[there] = p_label[inside].mean(axis=0)
    return [None if np.isnan(value) else round(value, 4) for value in medians.tolist()]
