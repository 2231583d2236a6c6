"""Trained models on disk: weights as safetensors (never a pickle), the rest as JSON."""

from __future__ import annotations

import safetensors.torch
import torch

from ..core.errors import NotFoundError
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..dataset.target import Target, as_dataset
from .config import TrainConfig
from .models import Ensemble, build_model


def save_models(run: Run, models: list[torch.nn.Module], info: dict) -> None:
    """Finish a run with its model, or the models of its folds. info: must contain `config`,
    `classes` and `image_size`."""
    run.finish(info, pack_weights(models))


def pack_weights(models: list[torch.nn.Module]) -> bytes:
    """Return the weights of a model, or of the models of the folds, in the safetensors format."""
    model = models[0] if len(models) == 1 else Ensemble(models)
    state = {key: value.cpu().contiguous() for key, value in model.state_dict().items()}
    return safetensors.torch.save(state)


def load_model(dataset: Target, run: str | None = None) -> tuple[torch.nn.Module, dict]:
    """Return a run's model, on the CPU in evaluation mode, and the run's info.

    The model takes uint8 images (n, 3, S, S), S = info["image_size"], and returns logits (n, C) in
    the order of info["classes"].
    Raises LabelAuditError for a run without a model, such as a first look.
    """
    dataset = as_dataset(dataset, "load_model")
    trained = trained_run(dataset, run)
    return load_weights(trained), trained.info


def trained_run(dataset: Dataset, name: str | None = None) -> Run:
    """Return the run of this name; without a name, the one trained last.

    Raises LabelAuditError if there is none.
    """
    if name is None:
        names = [name for name in dataset.trained_runs if dataset.run(name).has_model]
        if not names:
            raise NotFoundError(f"dataset {dataset.name!r} has no trained run yet: train first.")
        name = names[-1]
    return dataset.run(name)


def load_weights(run: Run) -> torch.nn.Module:
    """Return a run's model, or the Ensemble of its folds, on the CPU in evaluation mode."""
    weights = run.weights()  # before info: a run without a model has no config either
    return unpack_model(weights, run.info)


def unpack_model(weights: bytes, info: dict) -> torch.nn.Module:
    """Return the model of `pack_weights`. info: of the run, with `config` and `classes`."""
    config = TrainConfig.from_dict(info["config"])
    models = [build_model(config, len(info["classes"])) for _ in range(config.folds)]
    model = models[0] if config.folds == 1 else Ensemble(models)
    model.load_state_dict(safetensors.torch.load(weights))
    return model.eval()
