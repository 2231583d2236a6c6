"""A trained model on disk: weights as safetensors (never a pickle), the rest as JSON."""

from __future__ import annotations

import safetensors.torch
import torch

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from .config import TrainConfig
from .models import Ensemble, build_model


def save_models(run: Run, models: list[torch.nn.Module], info: dict) -> None:
    """Keep a run's model, or those of its folds. `info` must hold `config`, `classes` and
    `image_size`."""
    run.finish(info, weights_of(models))


def weights_of(models: list[torch.nn.Module]) -> bytes:
    """A model, or those of the folds, in the safetensors format."""
    model = models[0] if len(models) == 1 else Ensemble(models)
    state = {key: value.cpu().contiguous() for key, value in model.state_dict().items()}
    return safetensors.torch.save(state)


def load_model(dataset: Dataset, run: str | None = None) -> tuple[torch.nn.Module, dict]:
    """A run's model, on the CPU in evaluation mode, and the run's info.

    The model takes uint8 images (n, 3, S, S), S = info["image_size"], and gives logits (n, C) in
    the order of info["classes"].
    Raises LabelAuditError for a run without a model, such as a first look.
    """
    kept = newest_run(dataset, run)
    return load_weights(kept), kept.info


def newest_run(dataset: Dataset, name: str | None = None) -> Run:
    """The run of this name; without one, the one that was trained last."""
    if name is None:
        names = [name for name in dataset.trained_runs if dataset.run(name).has_model]
        if not names:
            raise LabelAuditError(f"dataset {dataset.name!r} has no trained run yet: train first.")
        name = names[-1]
    return dataset.run(name)


def load_weights(kept: Run) -> torch.nn.Module:
    """A run's model, or the Ensemble of those of its folds, on the CPU in evaluation mode."""
    weights = kept.weights()  # first: a run without a model has no config either
    return model_of(weights, kept.info)


def model_of(weights: bytes, info: dict) -> torch.nn.Module:
    """The same, of the bytes that are kept and what the run says of itself."""
    config = TrainConfig.from_dict(info["config"])
    models = [build_model(config, len(info["classes"])) for _ in range(config.folds)]
    model = models[0] if config.folds == 1 else Ensemble(models)
    model.load_state_dict(safetensors.torch.load(weights))
    return model.eval()
