"""Trains one model: optimizer steps, running average of the weights, and samples to leave out."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F

from ..features.device import autocast
from .config import SMALL, TrainConfig
from .forward import Copy
from .process_group import ProcessGroup


class ModelTrainer:
    """A model with its optimizer and random numbers, trained on some places of a plan.

    model: on its device. places: int64, the samples to train on. labels: int64 (n,), given classes
    of the whole plan. shift, mirror: augmentation. group: the processes that train the model
    together; each takes its share of a batch.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        places: np.ndarray,
        labels: np.ndarray,
        config: TrainConfig,
        device: torch.device,
        rng: np.random.Generator,
        shift: int,
        mirror: bool,
        group: ProcessGroup | None = None,
    ) -> None:
        group = group or ProcessGroup()
        self.model, self._wrapped = model, group.wrap(model)
        self.average = copy.deepcopy(model)  # after the processes agreed on the first weights
        self.places, self.config, self.device, self.rng = places, config, device, rng
        self.labels, self._labels = labels, torch.from_numpy(labels).to(device)
        self.shift, self.mirror = shift, mirror
        self.batch_size = min(-(-config.batch_size // group.size), len(places))
        self.steps = max(len(places) // self.batch_size, 1)  # at most, in an epoch
        self.updates = 0
        self.rate = config.learning_rate or (0.1 if config.model == SMALL else 0.01)
        self.optimizer = torch.optim.SGD(
            [weight for weight in model.parameters() if weight.requires_grad],
            lr=self.rate,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
            weight_decay=config.weight_decay,
        )

    def order(self, epoch: int, margin: np.ndarray) -> np.ndarray:
        """Return the places to train on in this epoch, shuffled, a multiple of the batch size.

        margin: float (n,), recent margins of the whole plan. In later epochs, samples that the
        model contradicts are left out.
        """
        order = self.rng.permutation(self._places_of(epoch, margin))
        return order[: max(len(order) // self.batch_size, 1) * self.batch_size]

    def _places_of(self, epoch: int, margin: np.ndarray) -> np.ndarray:
        config, labels = self.config, self.labels[self.places]
        if epoch - 1 <= config.leave_out_after * config.epochs:
            return self.places
        keep = margin[self.places] >= config.leave_out_below
        share = np.bincount(labels, weights=keep) / np.maximum(np.bincount(labels), 1)
        return self.places[keep | (share < 1 - config.leave_out_share)[labels]]

    def step(self, places: np.ndarray, batch: torch.Tensor, done: float) -> float:
        """Train on uint8 images (n, 3, S, S). Returns the loss.

        done: finished share of the training, which sets the learning rate.
        """
        self._set_rate(done)
        self._wrapped.train()
        with autocast(self.device):
            logits = self._wrapped(self._augmented(batch))
        labels = self._labels[torch.from_numpy(places).to(self.device)]
        loss = F.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.updates += 1
        self._update_average()
        return loss.item()

    def _set_rate(self, done: float) -> None:
        """One cycle: a linear rise, then a linear fall to zero."""
        up = self.config.warmup
        share = done / up if done < up else (1 - done) / max(1 - up, 1e-9)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * share

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the averaged weights towards the model's, faster in the first steps."""
        keep = min(self.config.average, self.updates / (self.updates + 10))
        averaged, current = self.average.state_dict(), self.model.state_dict()
        names = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [averaged[name] for name in names], [current[name] for name in names], 1 - keep
        )

    def _augmented(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the batch shifted as a whole and mirrored image by image, float32."""
        batch, shift = batch.float(), self.shift
        if shift:
            batch = Copy(*self.rng.integers(-shift, shift + 1, 2).tolist()).of(batch)
        if self.mirror:
            flip = torch.from_numpy(self.rng.random(len(batch)) < 0.5).to(self.device)
            batch = torch.where(flip[:, None, None, None], batch.flip(3), batch)
        return batch
