"""Opens a model of the user's own, in any of its forms; see `predict_with`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..core.errors import BadInputError, NotFoundError
from ..features.device import choose_device
from ..learn.models import IMAGENET_MEAN, IMAGENET_STD
from .external_model import PREPROCESS, UINT8, UNIT, ExternalModel, Network, to_numbers
from .model_files import open_exported, open_named, open_scripted
from .numbers import PROBABILITIES

LIBRARIES = ("timm", "torchvision")


def open_model(
    model, classes: Sequence | None, weights, preprocess, device: str, count: int
) -> ExternalModel:
    """Open the model of `predict_with`; see there for the arguments.

    count: classes of the dataset, for a named network. Raises LabelAuditError if it is not a model.
    """
    if isinstance(preprocess, str) and preprocess not in PREPROCESS:
        raise BadInputError(
            f"preprocess={preprocess!r}: give a function, or one of {', '.join(PREPROCESS)}."
        )
    if isinstance(model, str) and model.partition(":")[0] in LIBRARIES:
        return open_named(model, classes, weights, preprocess, device, count)
    if weights is not None:
        raise BadInputError("weights= needs a named model: timm:… or torchvision:….")
    if isinstance(model, str | Path):
        path = Path(model).expanduser()
        if not path.is_file():
            raise NotFoundError(
                f"there is no file {path}: give the path of a TorchScript or torch.export (.pt2) "
                "file, or a name such as timm:resnet18 or torchvision:resnet18."
            )
        opened = open_exported if path.suffix == ".pt2" else open_scripted
        return opened(path, preprocess, device)
    if isinstance(model, nn.Module):
        torch_device = None if device == "auto" else choose_device(device)
        network = Network(model, preprocess or UNIT, torch_device)
        return ExternalModel(network, type(model).__name__)
    if hasattr(model, "predict_proba"):
        return _estimator(model, preprocess)
    if callable(model):
        name = getattr(model, "__name__", type(model).__name__)
        return ExternalModel(partial(_call, model, preprocess), f"the function {name}")
    raise BadInputError(
        f"a model of type {type(model).__name__}: give a function, a torch module, an estimator "
        "with predict_proba, a path or a name."
    )


# --- functions and estimators: NumPy in, NumPy out ---


def _call(model: Callable, preprocess, images: torch.Tensor):
    return to_numbers(model(_prepared(preprocess, UINT8, _pixels(images)))), None


def _estimator(model, preprocess) -> ExternalModel:
    features = getattr(model, "n_features_in_", None)
    side = round((features / 3) ** 0.5) if features and preprocess is None else 0
    fits = side and 3 * side * side == features

    def predict(images: torch.Tensor):
        pixels = _prepared(preprocess, UINT8, _pixels(images))
        if preprocess is None:
            pixels = pixels.reshape(len(pixels), -1).astype(np.float32) / 255
            if features not in (None, pixels.shape[1]):
                raise BadInputError(
                    f"the estimator learned {features:,} features, and an image has "
                    f"{pixels.shape[1]:,} (pixels x 3 colours): give preprocess=, a function of "
                    "uint8 (n, S, S, 3) that returns the features."
                )
        return to_numbers(model.predict_proba(pixels)), None

    classes = getattr(model, "classes_", None)
    classes = None if classes is None else np.asarray(classes).tolist()
    size = side if fits else None
    return ExternalModel(predict, type(model).__name__, classes, size, kind=PROBABILITIES)


def _pixels(images: torch.Tensor) -> np.ndarray:
    """Return the images as uint8 (n, S, S, 3)."""
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())


def _prepared(preprocess, default: str, pixels: np.ndarray) -> np.ndarray:
    if callable(preprocess):
        return preprocess(pixels)
    if (preprocess or default) == UINT8:
        return pixels
    values = pixels.astype(np.float32)
    if preprocess == UNIT:
        return values / 255
    return (values - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
