"""A training on disk after an epoch: all that it takes to go on as if nothing had happened.

One safetensors file (never a pickle): tensors, and the rest as JSON in its metadata. It is put in
place by renaming, so a kill leaves the one of the epoch before. It lies beside the dataset, not in
it: written every epoch, it would leave a version in the database each time.
"""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from ..core.errors import LabelAuditError, StorageError
from ..core.files import atomic_write
from ..dataset.arrays import find
from ..dataset.columns import Frame
from .config import TrainConfig
from .plan import Plan

MODEL, AVERAGE, MOMENTUM = "model.", "average.", "momentum."
_BUFFER = "momentum_buffer"  # torch.optim.SGD's name of it


class Checkpoint:
    """What `write` has kept of a training: `tensors` by name, and `state`, JSON values."""

    def __init__(self, path: Path) -> None:
        """Raises LabelAuditError where the file is not there, or damaged."""
        try:
            with safetensors.safe_open(path, "pt") as file:
                self.tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                self.state = json.loads(file.metadata()["state"])
        except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise LabelAuditError(
                f"checkpoint {path} cannot be read ({error}): train again from the start."
            ) from error

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.state["curves"])

    def plan(self, frame: Frame) -> Plan:
        """What it learned from. Raises LabelAuditError where that is not there any more: margins
        of one label are not to be continued with those of another."""
        ids, labels = self.tensors["ids"].numpy(), self.tensors["labels"].numpy()
        if "fold" not in self.tensors:
            raise LabelAuditError(
                f"the training of run {self.state['run']!r} of dataset {frame.name!r} was "
                "begun by an earlier version, and cannot be resumed: train again from the start."
            )
        fold = self.tensors["fold"].numpy()
        classes = self.state["classes"]
        with frame.steady():
            places, known = find(frame.ids, ids)
            gone = int((~known).sum())
            changed = int((frame.label[places[known]] != labels[known]).sum())
            # samples added since, and their classes, take no part: nor would they without a break
            renamed = frame.classes[: len(classes)] != classes
        for is_so, what in (
            (renamed, "the classes are others"),
            (gone, f"{gone:,} of its samples are gone"),
            (changed, f"{changed:,} of its labels were changed"),
        ):
            if is_so:
                raise LabelAuditError(
                    f"the training of run {self.state['run']!r} of dataset {frame.name!r} "
                    f"cannot be resumed: since its last epoch {what}. Train again from the start."
                )
        folds = TrainConfig.from_dict(self.state["config"]).folds
        return Plan(frame, classes, ids, labels, fold, folds)

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors whose name begins so, without that beginning."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def write(training) -> None:
    """Keep a training (train.py's) as it is now, in place of its epoch before."""
    plan = training.whole
    tensors = {
        "ids": torch.from_numpy(plan.ids),
        "labels": torch.from_numpy(plan.labels),
        "fold": torch.from_numpy(plan.fold),
        "recent_margin": torch.from_numpy(training.recent_margins),
        "torch_rng": torch.get_rng_state(),
    }
    for k, learner in enumerate(training.learners):
        parts = ((MODEL, learner.model.state_dict()), (AVERAGE, learner.average.state_dict()),
                 (MOMENTUM, dict(_momentum(learner))))  # fmt: skip
        for prefix, part in parts:
            tensors |= {f"{k}.{prefix}{name}": tensor for name, tensor in part.items()}
    if training.device.type == "cuda":
        tensors["cuda_rng"] = torch.cuda.get_rng_state(training.device)
    state = {
        "run": training.marks["name"],
        "classes": plan.classes,
        "config": training.config.to_dict(),
        "image_size": training.images.size,
        "shift": training.shift,
        "mirror": training.mirror,
        "curves": training.curves,
        "loss": training.loss,
        "updates": [learner.updates for learner in training.learners],
        "notes": training.notes,
        "numpy_rng": [learner.rng.bit_generator.state for learner in training.learners],
    }
    path = training.run.checkpoint
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_write(path) as partial:
            safetensors.torch.save_file(tensors, partial, {"state": json.dumps(state)})
    except (OSError, safetensors.SafetensorError) as error:
        raise StorageError(
            f"the training could not be kept in {path.parent} ({error}): free some space and "
            "resume it."
        ) from error


def restore(training, saved: Checkpoint) -> None:
    """Bring a training that was just built to where `saved` was."""
    state = saved.state
    for k, learner in enumerate(training.learners):
        learner.model.load_state_dict(saved.part(f"{k}.{MODEL}"))
        learner.average.load_state_dict(saved.part(f"{k}.{AVERAGE}"))
        momentum = saved.part(f"{k}.{MOMENTUM}")
        for name, weight in learner.model.named_parameters():
            if name in momentum:  # in the weight's own memory format
                buffer = torch.empty_like(weight, requires_grad=False).copy_(momentum[name])
                learner.optimizer.state[weight][_BUFFER] = buffer
        learner.updates = state["updates"][k]
        learner.rng.bit_generator.state = state["numpy_rng"][k]
    training.recent_margin = saved.tensors["recent_margin"].numpy()[training.own]
    for name in ("curves", "loss", "notes"):
        setattr(training, name, state[name])
    torch.set_rng_state(saved.tensors["torch_rng"])
    if "cuda_rng" in saved.tensors and training.device.type == "cuda":
        torch.cuda.set_rng_state(saved.tensors["cuda_rng"], training.device)


def _momentum(learner):
    for name, weight in learner.model.named_parameters():
        buffer = learner.optimizer.state.get(weight, {}).get(_BUFFER)
        if buffer is not None:
            yield name, buffer
