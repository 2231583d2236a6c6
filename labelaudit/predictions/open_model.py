"""Opens a model of the user's own, whatever it is; see `own.predict_with`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..core.errors import LabelAuditError
from ..features.device import choose_device
from ..learn.models import IMAGENET_MEAN, IMAGENET_STD
from .external_model import PREPROCESS, UINT8, UNIT, Network, Outside, to_numbers
from .model_files import open_exported, open_named, open_scripted
from .numbers import PROBABILITIES

NAMED = ("timm", "torchvision")


def open_model(
    model, classes: Sequence | None, weights, preprocess, device: str, count: int
) -> Outside:
    """See `predict_with`. count: classes of the dataset, for a network that is named."""
    if isinstance(preprocess, str) and preprocess not in PREPROCESS:
        raise LabelAuditError(
            f"preprocess={preprocess!r}: give a function, or one of {', '.join(PREPROCESS)}."
        )
    if isinstance(model, str) and model.partition(":")[0] in NAMED:
        return open_named(model, classes, weights, preprocess, device, count)
    if weights is not None:
        raise LabelAuditError("weights= goes with a model that is named: timm:… or torchvision:….")
    if isinstance(model, str | Path):
        path = Path(model).expanduser()
        if not path.is_file():
            raise LabelAuditError(
                f"there is no file {path}: give the path of a TorchScript or torch.export (.pt2) "
                "file, or a name such as timm:resnet18 or torchvision:resnet18."
            )
        opened = open_exported if path.suffix == ".pt2" else open_scripted
        return opened(path, preprocess, device)
    if isinstance(model, nn.Module):
        where = None if device == "auto" else choose_device(device)
        return Outside(Network(model, preprocess or UNIT, where), type(model).__name__)
    if hasattr(model, "predict_proba"):
        return _estimator(model, preprocess)
    if callable(model):
        name = getattr(model, "__name__", type(model).__name__)
        return Outside(partial(_of_pixels, model, preprocess), f"the function {name}")
    raise LabelAuditError(
        f"a model of type {type(model).__name__}: give a function, a torch module, an estimator "
        "with predict_proba, a path or a name."
    )


# --- functions and estimators: NumPy in, NumPy out ---


def _of_pixels(model: Callable, preprocess, images: torch.Tensor):
    return to_numbers(model(_prepared(preprocess, UINT8, _pixels(images)))), None


def _estimator(model, preprocess) -> Outside:
    features = getattr(model, "n_features_in_", None)
    side = round((features / 3) ** 0.5) if features and preprocess is None else 0
    fits = side and 3 * side * side == features

    def ask(images: torch.Tensor):
        pixels = _prepared(preprocess, UINT8, _pixels(images))
        if preprocess is None:
            pixels = pixels.reshape(len(pixels), -1).astype(np.float32) / 255
            if features not in (None, pixels.shape[1]):
                raise LabelAuditError(
                    f"the estimator learned {features:,} features, and an image has "
                    f"{pixels.shape[1]:,} (pixels x 3 colours): give preprocess=, which makes the "
                    "features of uint8 (n, S, S, 3)."
                )
        return to_numbers(model.predict_proba(pixels)), None

    classes = getattr(model, "classes_", None)
    classes = None if classes is None else np.asarray(classes).tolist()
    size = side if fits else None
    return Outside(ask, type(model).__name__, classes, size, kind=PROBABILITIES)


def _pixels(images: torch.Tensor) -> np.ndarray:
    """uint8 (n, S, S, 3)."""
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())


def _prepared(preprocess, usual: str, pixels: np.ndarray) -> np.ndarray:
    if callable(preprocess):
        return preprocess(pixels)
    if (preprocess or usual) == UINT8:
        return pixels
    values = pixels.astype(np.float32)
    if preprocess == UNIT:
        return values / 255
    return (values - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
