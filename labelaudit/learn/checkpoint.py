"""A training on disk after an epoch: everything needed to continue it with the same outcome.

One safetensors file (never a pickle): tensors, and the rest as JSON in its metadata. A new file
replaces the previous one by renaming, so a kill leaves the checkpoint of the epoch before. It is
stored beside the dataset, because in it every epoch would add a version to the database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors
import safetensors.torch
import torch

from ..core.errors import DamagedError, StorageError
from ..core.files import atomic_write
from ..dataset.columns import Frame
from .config import TrainConfig
from .model_trainer import ModelTrainer
from .plan import Plan
from .resuming import check_unchanged

if TYPE_CHECKING:
    from .training import Training

MODEL, AVERAGE, MOMENTUM = "model.", "average.", "momentum."
_SGD_MOMENTUM = "momentum_buffer"  # its name in torch.optim.SGD
_RESTART = "Train again from the start."


class Checkpoint:
    """A checkpoint that was read: `tensors` by name, and `state`, JSON values."""

    def __init__(self, path: Path) -> None:
        """Raises LabelAuditError if the file is missing or damaged."""
        try:
            with safetensors.safe_open(path, "pt") as file:
                self.tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                self.state = json.loads(file.metadata()["state"])
        except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(
                f"checkpoint {path} cannot be read ({error}): train again from the start."
            ) from error

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.state["curves"])

    def plan(self, frame: Frame) -> Plan:
        """Return the plan of the training.

        Raises LabelAuditError if its samples, labels or classes changed since.
        """
        work = f"the training of run {self.state['run']!r}"
        if "fold" not in self.tensors:
            raise DamagedError(
                f"{work} of dataset {frame.name!r} was started by an earlier version and "
                f"cannot be resumed. {_RESTART}"
            )
        ids, labels, fold = (self.tensors[name].numpy() for name in ("ids", "labels", "fold"))
        classes = self.state["classes"]
        check_unchanged(frame, ids, labels, classes, work, _RESTART)
        folds = TrainConfig.from_dict(self.state["config"]).folds
        return Plan(frame, classes, ids, labels, fold, folds)

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """Return the tensors whose names start with `prefix`, by the rest of their names."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def write(training: Training, recent_margin: np.ndarray) -> None:
    """Replace the checkpoint of a training by its present state.

    recent_margin: float (n,), of all samples of the full plan.
    """
    tensors = _tensors(training, recent_margin)
    state = {
        "run": training.marks["name"],
        "classes": training.full_plan.classes,
        "config": training.config.to_dict(),
        "image_size": training.images.size,
        "shift": training.shift,
        "mirror": training.mirror,
        "curves": training.curves,
        "loss": training.loss,
        "updates": [trainer.updates for trainer in training.trainers],
        "notes": training.notes,
        "numpy_rng": [trainer.rng.bit_generator.state for trainer in training.trainers],
    }
    path = training.run.checkpoint
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_write(path) as partial:
            safetensors.torch.save_file(tensors, partial, {"state": json.dumps(state)})
    except (OSError, safetensors.SafetensorError) as error:
        raise StorageError(
            f"the checkpoint could not be written to {path.parent} ({error}): free some space and "
            "resume the training."
        ) from error


def _tensors(training: Training, recent_margin: np.ndarray) -> dict[str, torch.Tensor]:
    plan = training.full_plan
    tensors = {
        "ids": torch.from_numpy(plan.ids),
        "labels": torch.from_numpy(plan.labels),
        "fold": torch.from_numpy(plan.fold),
        "recent_margin": torch.from_numpy(recent_margin),
        "torch_rng": torch.get_rng_state(),
    }
    for k, trainer in enumerate(training.trainers):
        parts = {
            MODEL: trainer.model.state_dict(),
            AVERAGE: trainer.average.state_dict(),
            MOMENTUM: dict(_momentum(trainer)),
        }
        for prefix, part in parts.items():
            tensors |= {f"{k}.{prefix}{name}": tensor for name, tensor in part.items()}
    if training.device.type == "cuda":
        tensors["cuda_rng"] = torch.cuda.get_rng_state(training.device)
    return tensors


def restore(training: Training, saved: Checkpoint) -> None:
    """Set a new training to the state of a checkpoint."""
    state = saved.state
    for k, trainer in enumerate(training.trainers):
        trainer.model.load_state_dict(saved.part(f"{k}.{MODEL}"))
        trainer.average.load_state_dict(saved.part(f"{k}.{AVERAGE}"))
        momentum = saved.part(f"{k}.{MOMENTUM}")
        for name, weight in trainer.model.named_parameters():
            if name in momentum:  # copied into the memory format of the weight
                buffer = torch.empty_like(weight, requires_grad=False).copy_(momentum[name])
                trainer.optimizer.state[weight][_SGD_MOMENTUM] = buffer
        trainer.updates = state["updates"][k]
        trainer.rng.bit_generator.state = state["numpy_rng"][k]
    training.recent_margin = saved.tensors["recent_margin"].numpy()[training.own_places]
    for name in ("curves", "loss", "notes"):
        setattr(training, name, state[name])
    torch.set_rng_state(saved.tensors["torch_rng"])
    if "cuda_rng" in saved.tensors and training.device.type == "cuda":
        torch.cuda.set_rng_state(saved.tensors["cuda_rng"], training.device)


def _momentum(trainer: ModelTrainer) -> Iterator[tuple[str, torch.Tensor]]:
    for name, weight in trainer.model.named_parameters():
        buffer = trainer.optimizer.state.get(weight, {}).get(_SGD_MOMENTUM)
        if buffer is not None:
            yield name, buffer
