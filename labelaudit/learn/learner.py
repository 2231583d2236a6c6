"""One model that learns: its steps, its running average, and what it leaves out."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F

from ..features.device import autocast
from .compute import Copy
from .config import SMALL, TrainConfig
from .team import Alone


class Learner:
    """A model, its optimizer and its random numbers, learning some places of a plan.

    model: on its device. places: int64, what it learns. labels: int64 (n,) of the whole plan, as
    they are taught. shift, mirror: augmentation. team: who learns it together, of which each takes
    its share of a batch.
    """

    def __init__(
        self, model: torch.nn.Module, places: np.ndarray, labels: np.ndarray, config: TrainConfig,
        device: torch.device, rng: np.random.Generator, shift: int, mirror: bool,
        team: Alone | None = None,
    ) -> None:  # fmt: skip
        team = team or Alone()
        self.model, self._taught = model, team.spread(model)
        self.average = copy.deepcopy(model)  # after the team has agreed where to begin
        self.places, self.config, self.device, self.rng = places, config, device, rng
        self.labels, self._labels = labels, torch.from_numpy(labels).to(device)
        self.shift, self.mirror = shift, mirror
        self.batch_size = min(-(-config.batch_size // team.size), len(places))
        self.steps = max(len(places) // self.batch_size, 1)  # an epoch, at most
        self.updates = 0
        self.rate = config.learning_rate or (0.1 if config.model == SMALL else 0.01)
        self.optimizer = torch.optim.SGD(
            [weight for weight in model.parameters() if weight.requires_grad],
            lr=self.rate, momentum=config.momentum, nesterov=config.momentum > 0,
            weight_decay=config.weight_decay,
        )  # fmt: skip

    def order(self, epoch: int, margin: np.ndarray) -> np.ndarray:
        """Places to learn in this epoch, shuffled, a multiple of the batch size.

        margin: float (n,) of the whole plan, recent ones: what they contradict is left out, later.
        """
        order = self.rng.permutation(self._worth_learning(epoch, margin))
        return order[: max(len(order) // self.batch_size, 1) * self.batch_size]

    def _worth_learning(self, epoch: int, margin: np.ndarray) -> np.ndarray:
        config, labels = self.config, self.labels[self.places]
        if epoch - 1 <= config.leave_out_after * config.epochs:
            return self.places
        keep = margin[self.places] >= config.leave_out_below
        share = np.bincount(labels, weights=keep) / np.maximum(np.bincount(labels), 1)
        return self.places[keep | (share < 1 - config.leave_out_share)[labels]]

    def learn(self, places: np.ndarray, batch: torch.Tensor, done: float) -> float:
        """One step on uint8 images (n, 3, S, S). done: share of the training, for the learning
        rate. Returns the loss."""
        self._set_rate(done)
        self._taught.train()
        with autocast(self.device):
            logits = self._taught(self._augmented(batch))
        labels = self._labels[torch.from_numpy(places).to(self.device)]
        loss = F.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.updates += 1
        self._follow()
        return loss.item()

    def _set_rate(self, done: float) -> None:
        """One cycle: a straight line up, then down to nothing."""
        up = self.config.warmup
        share = done / up if done < up else (1 - done) / max(1 - up, 1e-9)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * share

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
